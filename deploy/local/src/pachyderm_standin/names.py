"""Pachyderm's rules for names: repos and branches, file paths, and how a bucket's name points at a commit."""

import posixpath
import re
from dataclasses import dataclass

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_COMMIT_ID = re.compile(r"[0-9a-f]{12}4[0-9a-f]{19}")
_PRINTABLE = re.compile(r"[ -~]+")
_GLOB = re.compile(r"[*?\[\]{}!()@+^]")


def is_valid_name(name: str) -> bool:
    """Tell whether a project, repo or branch may be called so."""
    return _NAME.fullmatch(name) is not None


def is_commit_id(text: str) -> bool:
    """Tell whether this is a commit ID: a version 4 UUID in 32 lower-case hex digits."""
    return _COMMIT_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class PathError:
    """Why Pachyderm refuses a path; a relative one is refused in another way by the gateway."""

    message: str
    is_relative: bool = False


def path_error(path: str) -> PathError | None:
    """Tell what is wrong with a file path, or `None`."""
    if not _PRINTABLE.fullmatch(path):
        return PathError(f"path ({path}) invalid: only printable ASCII characters allowed")
    if found := _GLOB.search(path):
        return PathError(f"path ({path}) invalid: globbing character ({found[0]}) not allowed in path")
    if not {".", ".."}.isdisjoint(path.split("/")):
        return PathError(f"path ({path}) invalid: relative file paths are not allowed", is_relative=True)
    return None


def clean_path(path: str) -> str:
    """Bring a path into the one form in which the model keeps it: no doubled, leading or trailing slashes."""
    return posixpath.normpath(f"/{path}").strip("/")


@dataclass(frozen=True, slots=True)
class BucketName:
    """The parts of `[commit.]branch.repo[.project]`; `commit` is empty for the branch's head."""

    commit: str
    branch: str
    repo: str
    project: str


def parse_bucket(name: str) -> BucketName:
    """Take a bucket's name apart, or raise `ValueError` for too many or too few parts.

    One part is a repo (branch `master`, project `default`), two are always branch and repo.
    """
    parts = name.split(".")
    commit = parts.pop(0) if is_commit_id(parts[0]) else ""
    match parts:
        case [repo]:
            return BucketName(commit, "master", repo, "default")
        case [branch, repo]:
            return BucketName(commit, branch, repo, "default")
        case [branch, repo, project]:
            return BucketName(commit, branch, repo, project)
        case []:
            raise ValueError(f'invalid bucket name "{name}"; must include a repo')
        case _:
            raise ValueError(f'invalid bucket name: "{name}"')


def canonical_bucket(branch: str, repo: str, project: str) -> str:
    """Name the bucket of a branch as listings do."""
    return f"{branch}.{repo}.{project}"
