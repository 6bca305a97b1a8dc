"""What an image is made from: the files that its build may see, their digest, and the commit they come from."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from s3sync_local.errors import ImageError

GIT_SECONDS = 30
_SCP_LIKE = re.compile(r"\w+@(?P<host>[\w.-]+):(?P<path>[^:]+?)(\.git)?")


@dataclass(frozen=True)
class Allowed:
    """What an ignore file of the strict form lets through: these paths, without anything that has one of the names."""

    paths: tuple[str, ...]
    never: tuple[str, ...]


@dataclass(frozen=True)
class Revision:
    """The last commit that changed an image's inputs, and its time (seconds since 1970), which its files get."""

    commit: str
    time: int


def parse_ignorefile(text: str, name: str) -> Allowed:
    """Read an ignore file that forbids all (`*`), allows paths (`!path`) and forbids names anywhere (`**/name`).

    The strict form lets one file serve Docker and this code alike. Raises ImageError for anything else.
    """
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    allowed = tuple(line[1:] for line in lines if line.startswith("!"))
    never = tuple(line[3:] for line in lines if line.startswith("**/"))
    understood = {"*", *(f"!{path}" for path in allowed), *(f"**/{each}" for each in never)}
    other = [line for line in lines if line not in understood or any(c in line[3:] for c in "*?[")]
    if lines[:1] != ["*"] or other:
        raise ImageError(f"{name}: begin with `*`, then write `!path` and `**/name` lines only; found {other}")
    return Allowed(allowed, never)


def collect(root: Path, allowed: Allowed) -> dict[str, Path]:
    """Return the files that are allowed, by their path relative to root; raises ImageError where one is missing."""
    absent = [path for path in allowed.paths if not (root / path).exists()]
    if absent:
        raise ImageError(f"{root} lacks {', '.join(absent)}; run from a complete checkout")
    found = (file for path in allowed.paths for file in _files(root / path))
    named = {str(file.relative_to(root)): file for file in found}
    return {name: named[name] for name in sorted(named) if not set(Path(name).parts) & set(allowed.never)}


def _files(path: Path) -> Iterable[Path]:
    return (each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def digest(files: Mapping[str, Path], facts: Iterable[str] = ()) -> str:
    """Return 64 hex digits that change with any file's name, content or right to be run, and with any fact."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{is_program(files[name])}\0{file_digest(files[name])}\n".encode())
    for fact in facts:
        total.update(f"{len(fact)} {fact}\n".encode())
    return total.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_program(path: Path) -> bool:
    """Tell whether its owner may run the file: the one part of the mode that git keeps, and so all that counts."""
    return bool(path.stat().st_mode & 0o100)


def stage(files: Mapping[str, Path], context: Path) -> None:
    """Copy the files into an empty folder, with modes that do not depend on the umask of whoever cloned."""
    context.mkdir()
    for name, source in files.items():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if is_program(source) else 0o644)
    for folder in context.rglob("*/"):
        folder.chmod(0o755)


def revision(root: Path, paths: Sequence[str]) -> Revision:
    """Return the revision of the paths; a commit that others changed since then gets `-dirty`, no git at all `unknown`.

    Naming the commit that changed the image's own inputs, instead of the newest, keeps an image the same while
    others change.
    """
    log = _git(root, "log", "-1", "--format=%H %ct", "--", *paths)
    if not log:
        return Revision("unknown", 0)
    commit, time = log.split()
    dirty = _git(root, "status", "--porcelain", "--", *paths)
    return Revision(f"{commit}-dirty" if dirty else commit, int(time))


def source_url(root: Path) -> str | None:
    """Return the web address of the repository's origin, without user or password, or None where it has none."""
    return web_address(_git(root, "config", "--get", "remote.origin.url"))


def web_address(remote: str) -> str | None:
    """Return the https form of a git remote (`https://…` or `git@host:path`), or None, say for a local path."""
    if found := _SCP_LIKE.fullmatch(remote):
        return f"https://{found['host']}/{found['path']}"
    parts = urlsplit(remote)
    if parts.scheme not in {"https", "ssh"} or not parts.hostname:
        return None
    return f"https://{parts.hostname}{parts.path.removesuffix('.git')}"


def _git(root: Path, *arguments: str) -> str:
    """Return git's answer, or nothing where there is no git or no repository of ours."""
    try:
        done = subprocess.run(
            ["git", "-C", root, *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
