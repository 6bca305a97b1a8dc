"""What the scaffold's tests cover, and its hash, by which CI tells whether they must run again.

`python -m tests.local.covered --check` compares the files with the last green run, `--write` notes a green one.
"""

import argparse
import ast
import hashlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAST_GREEN = Path("tests/local/last-green")
FOLDERS = ("deploy/local/", "tests/local/")
FILES = ("uv.lock",)
BEGIN = ("tests/conftest.py", "tests/__init__.py")
"""What pytest itself imports for any of them."""


def covered(root: Path = ROOT) -> tuple[str, ...]:
    """Return the paths of all files whose change asks for another run, sorted: the folders, and what their tests
    import from the other tests' folders."""
    listed = listed_files(root)
    own = {path for path in listed if path.startswith(FOLDERS) or path in FILES}
    tests = sorted(path for path in own if path.startswith("tests/") and path.endswith(".py"))
    return tuple(sorted((own | imported(root, [*BEGIN, *tests])) - {str(LAST_GREEN)}))


def listed_files(root: Path) -> set[str]:
    """Return the files of the tree that are committed, or would be by `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=True)
    return {path for path in ran.stdout.split("\0") if path and (root / path).is_file()}


def imported(root: Path, begin: Iterable[str]) -> set[str]:
    """Return these files and all that they import, one from the other, from the package `tests`."""
    found: set[str] = set()
    left = [path for path in begin if (root / path).is_file()]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += [name for name in _modules(root / path) if (root / name).is_file()]
    return found


def _modules(file: Path) -> Iterator[str]:
    """Yield the files in which the modules of `tests` may lie that a file imports."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == "tests":
                yield f"{'/'.join(parts)}.py"
                yield from (f"{'/'.join(parts[: end + 1])}/__init__.py" for end in range(len(parts)))


def digest(root: Path, paths: Iterable[str]) -> str:
    """Return the hash of the files: of their paths, of whether they can be executed, and of their contents."""
    found = hashlib.sha256()
    for path in sorted(paths):
        file = root / path
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        found.update(f"{content} {'x' if file.stat().st_mode & 0o100 else '-'} {path}\n".encode())
    return found.hexdigest()


def is_green(root: Path = ROOT) -> bool:
    """Tell whether the files are those of the last green run."""
    file = root / LAST_GREEN
    return file.exists() and file.read_text().split("\n")[0] == digest(root, covered(root))


def main() -> None:
    """Compare with the last green run (exit code 1 where something differs), or note a green one."""
    parser = argparse.ArgumentParser(prog="python -m tests.local.covered", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true")
    what.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        (ROOT / LAST_GREEN).write_text(f"{digest(ROOT, covered())}\n")
        sys.stdout.write(f"{LAST_GREEN} holds the hash of what was tested: commit it\n")
        return
    sys.exit(0 if is_green() else 1)


if __name__ == "__main__":
    main()
