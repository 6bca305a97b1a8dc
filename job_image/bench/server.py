"""The Pachyderm that is copied to: the stand-in with its model of what things cost, or a real one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs

from pachyderm_standin.process import StandinProcess
from s3sync_job.settings import PLACEHOLDER_KEY

BRANCH = "master"


@dataclass(frozen=True)
class Server:
    """A Pachyderm: the S3 gateway's URL, pachd's address (`grpc://host:port`), what it is called, and the token."""

    endpoint: str
    pachd_address: str
    kind: str
    token: str = field(default=PLACEHOLDER_KEY, repr=False)

    def client(self) -> Client:
        """Return a client of its gRPC API."""
        return Client.from_pachd_address(self.pachd_address, auth_token=self.token)

    @contextmanager
    def repo(self) -> Iterator[str]:
        """Yield the name of a new repo with a branch, and remove it afterwards with all that is in it."""
        api, name = self.client().pfs, f"bench-{uuid.uuid4().hex[:12]}"
        repo = pfs.Repo(name=name, type="user", project=pfs.Project(name="default"))
        api.create_repo(repo=repo)
        try:
            api.create_branch(branch=pfs.Branch(repo=repo, name=BRANCH))
            yield name
        finally:
            api.delete_repo(repo=repo, force=True)

    def files(self, repo: str) -> dict[str, tuple[int, str]]:
        """Return the size and the hash of each file at the head of the repo's branch, by its path."""
        named = pfs.Repo(name=repo, type="user", project=pfs.Project(name="default"))
        head = pfs.Commit(repo=named, branch=pfs.Branch(repo=named, name=BRANCH))
        walked = self.client().pfs.walk_file(file=pfs.File(commit=head, path="/"))
        return {
            info.file.path: (info.size_bytes, info.hash.hex()) for info in walked if info.file_type == pfs.FileType.FILE
        }


@contextmanager
def standin() -> Iterator[Server]:
    """Yield a stand-in whose clients wait as they would on a real Pachyderm."""
    with StandinProcess(costs="pachyderm") as process:
        yield Server(process.endpoint, process.pachd_address, "the stand-in; what things cost there is MODELLED")


def real(endpoint: str, pachd_address: str, token: str, called: str | None = None) -> Server:
    """Return a real Pachyderm, called by its version if not otherwise; ConnectionError where it cannot be reached."""
    endpoint = endpoint.rstrip("/") if "://" in endpoint else f"http://{endpoint}"
    address = pachd_address if "://" in pachd_address else f"grpc://{pachd_address}"
    version = Client.from_pachd_address(address, auth_token=token).get_version()
    kind = f"a real Pachyderm {version.major}.{version.minor}.{version.micro}{version.additional}"
    return Server(endpoint, address, called or kind, token)
