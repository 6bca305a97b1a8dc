"""JSON Schema for the tests: a schema is checked once, and the library loads at once.

On its own, jsonschema loads a grammar of IRIs, which takes 2.6 s of CPU, for a format that is checked only where a
schema names it and its user asks for that. Here the grammar is loaded when it is first needed.
"""

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["jsonschema", "validator"]

_GRAMMAR = "rfc3987_syntax"


class _LateGrammar(ModuleType):
    """Stands for the grammar while jsonschema looks for it."""

    @staticmethod
    def is_valid_syntax(term: str, value: str) -> bool:
        """Tell what the grammar itself tells."""
        return bool(importlib.import_module(_GRAMMAR).is_valid_syntax(term, value))


_loaded = sys.modules.setdefault(_GRAMMAR, _LateGrammar(_GRAMMAR))
try:
    import jsonschema
finally:
    if isinstance(_loaded, _LateGrammar):
        del sys.modules[_GRAMMAR]


def validator(schema: Mapping[str, Any]) -> Any:
    """Return what holds documents to a schema, which must be one itself."""
    kind: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    kind.check_schema(schema)
    return kind(schema)
