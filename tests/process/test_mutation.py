"""The mutation check itself: what runs in its copy has the fault, and what fails without the fault finds nothing."""

import subprocess
from pathlib import Path

import pytest

from s3sync_operator import __version__
from tests.mutation.check import Check
from tests.mutation.faults import Fault
from tests.mutation.scratch import Scratch, environment

ROOT = Path(__file__).parents[2]
PRODUCT = "def double(number: int) -> int:\n    return 2 * number\n"
TESTS = """
import subprocess
import sys

from product import double


def test_fails_in_any_case():
    assert double(1) == 3


def test_sees_zero_alone():
    assert double(0) == 0


def test_sees_it_in_another_process():
    said = subprocess.check_output([sys.executable, "-c", "import product; print(product.double(4))"], text=True)
    assert said == "8\\n"
"""


def run(*command: str | Path) -> str:
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=True).stdout


def test_whatever_runs_in_the_copy_has_the_fault_until_it_is_undone(tmp_path: Path) -> None:
    scratch = Scratch(ROOT, tmp_path / "copy")
    program = scratch.root / ".venv/bin/s3sync-operator"
    fault = Fault(
        id="version",
        area="x",
        files=("operator/src/s3sync_operator/__init__.py",),
        old=f'"{__version__}"',
        new='"9.8.7"',
        harm="x",
        tests=(),
    )
    with scratch.with_fault(fault):
        assert run(program, "--version") == "s3sync-operator 9.8.7\n"
        assert run(scratch.python, "-m", "s3sync_operator", "--version") == "s3sync-operator 9.8.7\n"
    assert run(program, "--version") == f"s3sync-operator {__version__}\n"
    assert run(ROOT / ".venv/bin/s3sync-operator", "--version") == f"s3sync-operator {__version__}\n"


@pytest.fixture
def check(tmp_path: Path) -> Check:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "product.py").write_text(PRODUCT)
    (tree / "test_product.py").write_text(TESTS)
    (tree / ".gitignore").write_text(".venv\n")
    (tree / ".venv").symlink_to(ROOT / ".venv")
    run("git", "init", "-q", tree)
    return Check(Scratch(tree, tmp_path / "copy"), time_limit=60)


def fault(old: str, new: str) -> Fault:
    tests = ("gone.py", "test_product.py")
    return Fault(id="x", area="x", files=("product.py",), old=old, new=new, harm="x", tests=tests)


def test_the_test_that_finds_a_fault_is_named_and_not_one_that_fails_anyway(check: Check) -> None:
    verdict = check.judge(fault("2 * number", "3 * number"))
    assert (verdict.result, verdict.by) == ("found", "test_product.py::test_sees_it_in_another_process")


def test_a_fault_that_only_what_fails_anyway_tells_of_is_not_found(check: Check) -> None:
    assert check.judge(fault("2 * number", "number + number")).result == "not found"


def test_a_fault_that_keeps_the_tests_from_being_collected_is_no_fault_that_is_found(check: Check) -> None:
    assert check.judge(fault("def double", "def triple")).result == "broken"
