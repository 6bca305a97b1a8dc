"""What a sync is rendered to does not depend on the process that renders it."""

import os
import subprocess
import sys
from pathlib import Path

CASES = sorted(Path(__file__).parent.parent.glob("golden/cases/*/resource.yaml"))
SCRIPT = "import sys; from s3sync_cli.__main__ import main; sys.argv = ['s3sync', *sys.argv[1:]]; main()"


def test_processes_render_the_same_bytes() -> None:
    """The order of a set differs from process to process."""
    argv = [sys.executable, "-c", SCRIPT, "render", *(f"--filename={path}" for path in CASES)]
    outputs = {
        subprocess.run(
            argv, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for seed in ("1", "2")
    }
    (output,) = outputs
    assert len(CASES) > 1
    assert output.count("\nspec:\n") == len(CASES)
