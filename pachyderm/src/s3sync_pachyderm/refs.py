"""How a repo's parts are named in messages."""

from dataclasses import dataclass

from s3sync_pachyderm.proto import pfs_pb2 as pfs


@dataclass(frozen=True)
class RepoRef:
    """A repo of a project, for users' data."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"

    @property
    def message(self) -> pfs.Repo:
        """The repo itself."""
        return pfs.Repo(name=self.name, type="user", project=pfs.Project(name=self.project))

    def branch(self, name: str) -> pfs.Branch:
        """Name a branch."""
        return pfs.Branch(repo=self.message, name=name)

    def commit(self, commit: str) -> pfs.Commit:
        """Name a commit by its ID."""
        return pfs.Commit(repo=self.message, id=commit)

    def head(self, branch: str) -> pfs.Commit:
        """Name the commit that a branch ends with."""
        return pfs.Commit(repo=self.message, branch=self.branch(branch))

    def file(self, commit: str, path: str) -> pfs.File:
        """Name a file or a directory of a commit by its absolute path."""
        return pfs.File(commit=self.commit(commit), path=path)
