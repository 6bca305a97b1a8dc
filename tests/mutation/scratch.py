"""A copy of a tree, in which faults are made: whatever runs there, in whichever process, runs the copy's sources."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutation.faults import Fault, FaultError

PLUGIN = "s3sync_mutation_note"
NOTE = '''"""Notes each failure in the file beside, for the mutation check."""

import json
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


def _note(report):
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        said = crash.message if crash else str(report.longrepr)
        with FILE.open("a") as file:
            file.write(json.dumps([report.nodeid, said[:300]]) + "\\n")


pytest_runtest_logreport = pytest_collectreport = _note
'''


class Scratch:
    """A tree's tracked and new files in `root`, with an environment of its own."""

    def __init__(self, tree: Path, root: Path) -> None:
        self.root = root
        self._written = 0
        _copy_files(tree, root)
        _copy_environment(tree, root)
        self._packages = next((root / ".venv/lib").glob("python*/site-packages"))
        (self._packages / f"{PLUGIN}.py").write_text(NOTE)
        self._git("init", "-q")
        self._git("add", "-A")
        self._modified = {
            name: (root / name).stat().st_mtime for name in self._git("ls-files", "-z").split("\0") if name
        }

    @property
    def python(self) -> Path:
        """The copy's interpreter."""
        return self.root / ".venv/bin/python"

    @property
    def note(self) -> Path:
        """Where the plugin notes failures."""
        return self._packages / f"{PLUGIN}.json"

    @contextmanager
    def with_fault(self, fault: Fault) -> Iterator[None]:
        """Make the fault, and undo it after the block."""
        name = fault.file_in(self.root)
        text = (self.root / name).read_text()
        try:
            self._write(name, text.replace(fault.old, fault.new))
            if fault.generate:
                self._generate(fault)
            yield
        finally:
            self._restore()

    def _write(self, name: str, text: str) -> None:
        """Write a file with a time that it never had: by time and size Python knows whether byte code is stale."""
        (self.root / name).write_text(text)
        self._written += 1
        moment = self._modified[name] + self._written
        os.utime(self.root / name, (moment, moment))

    def _restore(self) -> None:
        for name in self._git("diff", "--name-only", "-z").split("\0"):
            if name:
                self._git("checkout", "-q", "--", name)
                os.utime(self.root / name, (self._modified[name], self._modified[name]))

    def _generate(self, fault: Fault) -> None:
        ran = self._run("make", "generate")
        if ran.returncode:
            raise FaultError(
                f"{fault.id}: make generate fails, so this is no subtle fault: {ran.stderr.strip()[-300:]}"
            )

    def _git(self, *arguments: str) -> str:
        return self._run("git", *arguments, check=True).stdout

    def _run(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.root, env=environment(), capture_output=True, text=True, timeout=120, check=check
        )


def environment() -> dict[str, str]:
    """Return this process's environment without what would lead to another tree's sources."""
    dropped = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    return {name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("PYTEST_")}


def _copy_files(tree: Path, root: Path) -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=tree, env=environment(), capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (tree / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree / name, root / name)


def _copy_environment(tree: Path, root: Path) -> None:
    """Make a Python environment like the tree's, in which what leads to the tree leads to the copy.

    Its packages are links, but for the few files that name the tree: the editable installs and the programs. So the
    processes that tests start see the faults, too.
    """
    ours, theirs = root / ".venv", tree / ".venv"
    if not (theirs / "bin/python").exists():
        raise FaultError(f"{tree} has no Python environment: run make setup there")
    packages = next((theirs / "lib").glob("python*/site-packages")).relative_to(theirs)
    for folder in (Path("bin"), packages):
        (ours / folder).mkdir(parents=True)
        for entry in (theirs / folder).iterdir():
            _link_or_rewrite(entry, ours / folder / entry.name, tree, root)
    for name in ("pyvenv.cfg", ".synced"):
        if (theirs / name).exists():
            shutil.copy2(theirs / name, ours / name)


def _link_or_rewrite(entry: Path, ours: Path, tree: Path, root: Path) -> None:
    if entry.is_symlink():
        ours.symlink_to(entry.readlink())
        return
    content = entry.read_bytes() if entry.is_file() and entry.stat().st_size < 100_000 else b""
    if str(tree).encode() in content and (entry.parent.name == "bin" or entry.suffix == ".pth"):
        ours.write_bytes(content.replace(str(tree).encode(), str(root).encode()))
        shutil.copymode(entry, ours)
    else:
        ours.symlink_to(entry)
