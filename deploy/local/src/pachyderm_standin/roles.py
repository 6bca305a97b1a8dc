"""Pure: what a token may do whose owner has a role on one repo alone, as Pachyderm 2.12 has it.

Seen there with robot tokens of `repoWriter` and `repoOwner`. The permission that each call asks for, and the words of a
refusal, were read in its source.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pachyderm_standin.model import PfsError, RepoRef

READ = frozenset({"REPO_READ", "REPO_INSPECT_COMMIT", "REPO_LIST_COMMIT", "REPO_LIST_BRANCH", "REPO_LIST_FILE"})
WRITE = READ | {"REPO_WRITE", "REPO_CREATE_BRANCH", "REPO_DELETE_BRANCH"}
ROLES: Mapping[str, frozenset[str]] = {
    "repoReader": READ,
    "repoWriter": WRITE,
    "repoOwner": WRITE | {"REPO_DELETE"},
}
ON_REPO: Mapping[str, str] = {
    "DeleteRepo": "REPO_DELETE",
    "CreateBranch": "REPO_CREATE_BRANCH",
    "DeleteBranch": "REPO_DELETE_BRANCH",
    "StartCommit": "REPO_WRITE",
    "FinishCommit": "REPO_WRITE",
    "ClearCommit": "REPO_WRITE",
    "ModifyFile": "REPO_WRITE",
    "AddFileSet": "REPO_WRITE",
    "GetFileSet": "REPO_READ",
    "InspectCommit": "REPO_INSPECT_COMMIT",
    "ListCommit": "REPO_LIST_COMMIT",
    "ListFile": "REPO_LIST_FILE",
    "WalkFile": "REPO_LIST_FILE",
    "GlobFile": "REPO_LIST_FILE",
    "InspectFile": "REPO_LIST_FILE",
    "DiffFile": "REPO_READ",
    "GetFile": "REPO_READ",
    "GetFileTAR": "REPO_READ",
}
ON_CLUSTER: Mapping[str, str] = {
    "DropCommit": "REPO_DELETE_COMMIT",
    "SquashCommit": "REPO_DELETE_COMMIT",
    "DropCommitSet": "REPO_DELETE_COMMIT",
    "SquashCommitSet": "REPO_DELETE_COMMIT",
}
FILE_SETS_REPO = "__filesets__"


class NotAuthorizedError(PfsError):
    """Who calls lacks a permission; the text is the real server's."""

    def __init__(self, permission: str, resource: str) -> None:
        super().__init__(
            f"robot:standin is not authorized to perform this operation - needs permissions [{permission}] on "
            f"{resource}. Run `pachctl auth roles-for-permission` to find roles that grant a given permission."
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on a repo."""

    role: str
    repo: RepoRef

    def check(self, operation: str, repo: RepoRef | None) -> None:
        """Raise `NotAuthorizedError`, or `PfsError` for the repo of file sets, if a call about a repo is refused."""
        if permission := ON_CLUSTER.get(operation):
            raise NotAuthorizedError(permission, "CLUSTER ")
        permission = ON_REPO.get(operation)
        if permission is None or repo is None:
            return
        if repo.name == FILE_SETS_REPO:
            raise PfsError(f"no role binding exists for REPO {repo.project}/{repo.name}")
        if repo != self.repo or permission not in ROLES[self.role]:
            raise NotAuthorizedError(permission, f"REPO {repo.project}/{repo.name}")


def read_grants(text: str) -> dict[str, Grant | None]:
    """Return the tokens of a file, one a line: alone it may do everything, else `TOKEN ROLE PROJECT/REPO`.

    Raises ValueError that says what is wrong with which line.
    """
    found: dict[str, Grant | None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        token, *granted = line.split() or [""]
        if not token:
            continue
        if granted and (len(granted) != 2 or granted[0] not in ROLES or granted[1].count("/") != 1):
            raise ValueError(f"line {number} is neither TOKEN nor TOKEN ROLE PROJECT/REPO, ROLE of {', '.join(ROLES)}")
        found[token] = _grant(*granted) if granted else None
    return found


def _grant(role: str, named: str) -> Grant:
    project, _, repo = named.partition("/")
    return Grant(role, RepoRef(repo, project))
