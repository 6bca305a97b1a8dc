import operator
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_package_of_this_project_shadows_the_standard_librarys_operator() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert Path(operator.__file__).parent != ROOT / "operator"
    code = "import operator; print(operator.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    assert ROOT not in Path(found.stdout.strip()).parents


def test_the_top_level_holds_only_what_the_house_is_laid_out_for() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    folders = {"operator", "crd", "job_image", "pachyderm", "deploy", "tests", "testdata", "docs", ".ci"}
    files = {
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml", "uv.lock"),
        *(".gitignore", ".dockerignore"),
    }
    assert top <= folders | files


def test_the_demo_copies_the_two_books_and_nothing_else() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "testdata"], cwd=ROOT, capture_output=True, timeout=30, check=True
    )
    assert listed.stdout.decode().split("\0")[:-1] == [
        "testdata/A Tale of Two Cities/Chapter 1 The Period.txt",
        "testdata/Moby Dick/Chapter 1 Loomings.txt",
    ]
