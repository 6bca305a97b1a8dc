"""Prove that a pruned environment still loads what an image runs, and compile what that loads.

Usage: prove.py MODULE[:FUNCTION]... imports each module, and calls the function with one empty mapping. The bytecode
is of the unchecked kind, so that an image does not depend on the files' times and a read-only one starts as fast.
"""

import importlib
import os
import py_compile
import sys
from pathlib import Path


def load(name: str) -> None:
    """Import a module and call its function, where one is named; a pruned file that is needed raises here."""
    module, _, function = name.partition(":")
    loaded = importlib.import_module(module)
    if function:
        getattr(loaded, function)({})


def loaded_sources() -> list[Path]:
    """Return the source files below the environment of the modules that are loaded now."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    sources = {Path(file) for file in files if file and file.endswith(".py")}
    return sorted(source for source in sources if Path(sys.prefix) in source.parents)


def main() -> None:
    """Load, compile, and end at once: TensorFlow's S3 plugin crashes in a regular exit."""
    sys.dont_write_bytecode = True
    for name in sys.argv[1:]:
        load(name)
    sources = loaded_sources()
    for source in sources:
        py_compile.compile(str(source), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    print(f"{', '.join(sys.argv[1:])}: loads; compiled {len(sources)} modules", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
