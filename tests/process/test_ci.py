"""The script of CI: which commands it runs, and what it says of them. `make` and Python are stubs here."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEPS = ["verify", "demo", "demo", "test", "e2e"]


class Script:
    """A checkout that holds the script, and a `make` that writes down what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        shutil.copytree(ROOT / ".ci", folder / ".ci")
        self._program("bin/make", 'echo "$1" >> log; if [ "$1" = "$(cat failing)" ]; then exit 3; fi')
        self.fails("none")
        self.covered_is_green(True)

    def fails(self, target: str) -> None:
        (self.folder / "failing").write_text(target)

    def covered_is_green(self, green: bool) -> None:
        self._program(".venv/bin/python", f"exit {0 if green else 1}")

    def run(self) -> tuple[int, str, list[str]]:
        """Return its exit code, what it prints, and what `make` was asked for."""
        ran = subprocess.run(
            ["bash", ".ci/run"],
            cwd=self.folder,
            env={"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ran.returncode, ran.stdout, self.log.read_text().split()

    def _program(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "checkout")


def test_it_runs_the_steps_in_order_and_says_why_it_leaves_one_out(script: Script) -> None:
    code, said, asked = script.run()
    assert (code, asked) == (0, STEPS)
    assert "make test-local is skipped: what it covers has the hash in tests/local/last-green" in said
    assert said.count("### make demo: ") == 2


def test_where_the_scaffold_has_changed_its_tests_run_too(script: Script) -> None:
    script.covered_is_green(False)
    code, said, asked = script.run()
    assert (code, asked) == (0, [*STEPS[:4], "test-local", "e2e"])
    assert "skipped" not in said


def test_the_first_failure_ends_it_with_its_exit_code_and_the_times_are_shown(script: Script) -> None:
    script.fails("test")
    code, said, asked = script.run()
    assert (code, asked) == (3, STEPS[:4])
    assert "### all: " in said.splitlines()[-5]
    assert [line.split(maxsplit=2)[2] for line in said.splitlines()[-4:]] == [f"make {step}" for step in STEPS[:4]]


def test_a_step_that_takes_twice_its_usual_time_is_told_and_fails_nothing(script: Script) -> None:
    (script.folder / ".ci/usual-seconds").write_text("# seconds\n1 make verify\n900 make test\n")
    script._program("bin/make", 'echo "$1" >> log; if [ "$1" = verify ]; then sleep 3.1; fi')
    code, said, asked = script.run()
    assert (code, asked) == (0, STEPS)
    assert "### make verify took more than twice its usual 1 s" in said
    assert said.count("slow: more than twice") == 1
