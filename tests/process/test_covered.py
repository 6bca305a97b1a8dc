"""The hash of what the scaffold's tests cover misses nothing that they are made of."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.covered import FOLDERS, LAST_GREEN, ROOT, covered, digest, is_green

IMPORT_ALL = """
import importlib, pathlib, sys
for path in sorted(pathlib.Path("tests/local").glob("*.py")):
    importlib.import_module(f"tests.local.{path.stem}")
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project of the same shape, committed."""
    files = {
        "deploy/local/src/a.py": "a = 1\n",
        "tests/__init__.py": "",
        "tests/conftest.py": "from tests.support.one import one\n",
        "tests/support/one.py": "import tests.support.two\n",
        "tests/support/two.py": "two = 2\n",
        "tests/support/other.py": "other = 3\n",
        "tests/local/test_a.py": "def test_a(): ...\n",
        "uv.lock": "locked\n",
        "operator/src/b.py": "b = 1\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True, timeout=30)
    return tmp_path


def test_the_folders_the_lock_and_what_the_tests_import_are_covered(tree: Path) -> None:
    assert covered(tree) == (
        "deploy/local/src/a.py",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/local/test_a.py",
        "tests/support/one.py",
        "tests/support/two.py",
        "uv.lock",
    )


@pytest.mark.parametrize("path", ["deploy/local/src/a.py", "tests/support/two.py", "uv.lock", "tests/local/new.py"])
def test_a_change_of_what_is_covered_asks_for_another_run(tree: Path, path: str) -> None:
    (tree / LAST_GREEN).write_text(digest(tree, covered(tree)) + "\n")
    assert is_green(tree)
    (tree / path).write_text("changed\n" if path.endswith(".lock") else "changed = 1\n")
    assert not is_green(tree)


def test_a_file_that_becomes_executable_asks_for_another_run(tree: Path) -> None:
    (tree / LAST_GREEN).write_text(digest(tree, covered(tree)) + "\n")
    (tree / "deploy/local/src/a.py").chmod(0o755)
    assert not is_green(tree)


@pytest.mark.parametrize("path", ["tests/support/other.py", "operator/src/b.py"])
def test_a_change_of_anything_else_does_not(tree: Path, path: str) -> None:
    (tree / LAST_GREEN).write_text(digest(tree, covered(tree)) + "\n")
    (tree / path).write_text("changed = 1\n")
    assert is_green(tree)


def test_without_a_green_run_one_is_due(tree: Path) -> None:
    assert not is_green(tree)


def test_every_module_that_the_scaffolds_tests_load_is_covered() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {Path(line) for line in ran.stdout.splitlines() if line.startswith(f"{ROOT}/")}
    names = {str(path.relative_to(ROOT)) for path in loaded}
    mine = {name for name in names if name.startswith(("tests/", *FOLDERS))}
    assert len(mine) > 30
    assert mine - set(covered()) == set()
