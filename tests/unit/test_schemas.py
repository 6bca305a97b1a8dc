"""The schemas' validator: what it needs late is what it would have had from the start."""

import sys
from types import SimpleNamespace

import pytest

from tests.support.schemas import jsonschema, validator


def test_the_grammar_of_iris_is_asked_once_a_format_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = SimpleNamespace(is_valid_syntax=lambda term, value: (term, value) == ("iri", "http://good"))
    monkeypatch.setitem(sys.modules, "rfc3987_syntax", grammar)
    formats = jsonschema.FormatChecker(("iri",))
    assert [formats.conforms(f"http://{name}", "iri") for name in ("good", "bad")] == [True, False]


def test_what_is_no_schema_is_refused() -> None:
    with pytest.raises(jsonschema.SchemaError):
        validator({"type": "txet"})
