"""Provide the S3 clients of others that the tests and the benchmark run, each pinned and kept outside the tree.

The MinIO client and rclone are built from Go modules. The AWS CLI and s3cmd are installed from requirements files with
hashes (`deploy/local/tools`), each into an environment of its own: the AWS CLI pins another botocore than the job.

`python -m s3sync_local.clients [NAME…]` provides those named, else those of the tests, and says where they are.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from s3sync_local.binaries import ensure_modules
from s3sync_local.errors import BuildError, LocalClusterError, MissingToolError
from s3sync_local.gobuild import GoModule, Progress
from s3sync_local.paths import BOOTSTRAP_UV, GO_MODULES, PYTHON_TOOLS, cache_dir
from s3sync_local.sandbox.marker import refuse_inside

MC = GoModule("mc", {"mc": "github.com/minio/mc"})
RCLONE = GoModule("rclone", {"rclone": "github.com/rclone/rclone"})
GO_CLIENTS = {"mc": MC, "rclone": RCLONE}
PYTHON_CLIENTS = {"aws": "awscli", "s3cmd": "s3cmd"}
"""Programs and the requirements files that they come from."""

PLOTTER = "matplotlib"
"""The requirements file of what draws the benchmark's plot."""

TESTED = ("aws", "mc", "s3cmd")
INSTALL_SECONDS = 300.0


def ensure_clients(names: Sequence[str], progress: Progress) -> dict[str, Path]:
    """Return the path of each program (of `aws`, `s3cmd`, `mc`, `rclone`), made where the cache lacks it.

    Raises MissingToolError and BuildError.
    """
    go = ensure_modules([GO_CLIENTS[name] for name in names if name in GO_CLIENTS], progress)
    python = {name: _ensure_python(PYTHON_CLIENTS[name], name, progress) for name in names if name in PYTHON_CLIENTS}
    return {name: (go | python)[name] for name in names}


def environment_key(requirements: bytes, python: str) -> str:
    """Return 16 hex digits that change with the requirements and with the Python they are installed for."""
    return hashlib.sha256(python.encode() + b"\n" + requirements).hexdigest()[:16]


def client_version(name: str) -> str:
    """Return a client's version as its pinning file has it."""
    if name in PYTHON_CLIENTS:
        return _pinned(PYTHON_TOOLS / f"{PYTHON_CLIENTS[name]}.txt", PYTHON_CLIENTS[name], "==")
    module = GO_CLIENTS[name]
    return _pinned(GO_MODULES / module.folder / "go.mod", module.packages[name], " ")


def _pinned(file: Path, name: str, separator: str) -> str:
    lines = (line.strip() for line in file.read_text().splitlines())
    found = next((line for line in lines if line.startswith(f"{name}{separator}")), None)
    if found is None:
        raise MissingToolError(f"{file} pins no {name}; run from a complete checkout")
    return found.removeprefix(f"{name}{separator}").split()[0]


def ensure_plotter(progress: Progress) -> Path:
    """Return a Python that has matplotlib; raises MissingToolError and BuildError."""
    return _ensure_python(PLOTTER, "python", progress)


def _ensure_python(tool: str, program: str, progress: Progress) -> Path:
    """Return a program of the environment made from the tool's requirements file."""
    requirements = PYTHON_TOOLS / f"{tool}.txt"
    if not requirements.is_file():
        raise MissingToolError(f"{requirements} is missing; run from a complete checkout")
    key = environment_key(requirements.read_bytes(), sys.version)
    target = cache_dir() / "tools" / f"{tool}-{key}"
    if not (target / "bin" / program).exists():
        refuse_inside(program)
        progress(f"installing {tool} from {requirements.name}")
        _install(requirements, target)
    return target / "bin" / program


def _install(requirements: Path, target: Path) -> None:
    """Install into a folder beside the target and rename it in one step: relocatable, so it works there too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="part-") as folder:
        part = Path(folder) / "venv"
        uv = _output([sys.executable, str(BOOTSTRAP_UV)]).strip()
        _output([uv, "venv", "--quiet", "--relocatable", "--no-project", "--python", sys.executable, str(part)])
        pip = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", str(part)]
        _output([*pip, "--requirements", str(requirements)])
        # Where another process was faster, what it installed is the same.
        with suppress(OSError):
            part.rename(target)
        if not (target / "bin").is_dir():
            raise BuildError(f"{target} is not what was installed; remove it and try again")


def _output(command: Sequence[str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"`{' '.join(command[:3])}` did not end within {INSTALL_SECONDS:.0f} s") from None
    if done.returncode:
        raise BuildError(f"`{' '.join(command[:3])}` failed:\n{done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
    """Provide what is named and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([*PYTHON_CLIENTS, *GO_CLIENTS])}")
    names = parser.parse_args().names or TESTED
    if unknown := [name for name in names if name not in PYTHON_CLIENTS | GO_CLIENTS]:
        parser.error(f"{unknown[0]!r} is none of {', '.join([*PYTHON_CLIENTS, *GO_CLIENTS])}")
    try:
        for name, path in ensure_clients(names, lambda text: print(f"==> {text}", file=sys.stderr)).items():
            print(f"{name} {path}")
    except LocalClusterError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
