"""Holds these tests to what the hash covers: whoever reads another file of the project fails."""

import os
import sys
from pathlib import Path

import pytest

from tests.local.covered import LAST_GREEN, ROOT, covered

PRODUCT = ("operator/", "job_image/", "pachyderm/", "crd/", "deploy/", "testdata/", "pyproject.toml", "README.md")
"""What other suites prove. Here it is no more than an example: of an image's recipe, of a program to be run."""
TOOLS = (".venv/", ".git", ".pytest_cache/", ".hypothesis/")

_read: set[str] = set()


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(f"{ROOT}/"):
        _read.add(arguments[0])


sys.addaudithook(_hear)


def uncovered(paths: set[str]) -> list[str]:
    """Return the project's files among these that are neither covered nor of what other suites prove."""
    known = {*covered(), str(LAST_GREEN)}
    inside = (os.path.relpath(path, ROOT) for path in paths if Path(path).is_file())
    return sorted(
        path
        for path in inside
        if path not in known and not path.startswith((*PRODUCT, *TOOLS)) and "__pycache__/" not in path
    )


@pytest.fixture(scope="session", autouse=True)
def _all_that_is_read_is_covered() -> object:
    yield
    assert uncovered(_read) == [], "tests/local/covered.py does not cover what these tests read"
