"""What a token may do whose owner has a role on one repo and no other right: so little is what a sync should need."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pachyderm_sdk.api import auth, pfs

from tests.contract.conftest import Target, repo_of, target_client, token_of, with_auth
from tests.support.pachd import Message, Pachd, add, refused

pytestmark = with_auth


@dataclass(frozen=True)
class Holder:
    """A client of somebody with a role on a repo, that repo's branch master, and an administrator's client."""

    role: str
    pachd: Pachd
    master: Message
    admin: Pachd


@pytest.fixture(params=["repoWriter", "repoOwner"])
def holder(request: pytest.FixtureRequest, guarded: Target) -> Iterator[Holder]:
    """Somebody who may write to a repo."""
    yield from having(str(request.param), guarded)


@pytest.fixture
def reader(guarded: Target) -> Iterator[Holder]:
    """Somebody who may read a repo."""
    yield from having("repoReader", guarded)


def having(role: str, guarded: Target) -> Iterator[Holder]:
    admin = target_client(guarded, guarded.access_key)
    branch = admin.branch(repo_of(role))
    admin.api.create_repo(repo=branch.repo)
    try:
        admin.commit(branch, {"/old": b"x"})
        token = token_of(role) if guarded.standin else robot_token(admin, role, branch.repo.name)
        yield Holder(role, target_client(guarded, token), branch, admin)
    finally:
        admin.api.delete_repo(repo=branch.repo, force=True)


def robot_token(admin: Pachd, role: str, repo: str) -> str:
    """A real Pachyderm's token of a robot that has the role on the repo."""
    robot = f"contract-{role}"
    api: Any = admin.client.auth
    resource = auth.Resource(type=auth.ResourceType.REPO, name=f"default/{repo}")
    api.modify_role_binding(resource=resource, principal=f"robot:{robot}", roles=[role])
    return str(api.get_robot_token(robot=robot, ttl=3600).token)


def test_who_may_write_publishes_a_file_set_proves_it_and_finishes(holder: Holder) -> None:
    pachd, api = holder.pachd, holder.pachd.api
    streamed = api.create_file_set(iter([add("/in/a", b"A")])).file_set_id
    api.renew_file_set(file_set_id=streamed, ttl_seconds=60)
    joined = api.compose_file_set(file_set_ids=[streamed], ttl_seconds=60).file_set_id
    commit = pachd.start(holder.master)
    api.add_file_set(commit=commit, file_set_id=joined)
    assert set(pachd.walk(commit)) == {"/", "/in/", "/in/a", "/old"}
    assert pachd.read(commit, "/in/a") == b"A"
    assert pachd.finish(commit).error == ""
    assert pachd.files(commit) == {"/in/a": b"A", "/old": b"x"}


def test_who_may_write_takes_back_what_is_not_proved(holder: Holder) -> None:
    pachd, api = holder.pachd, holder.pachd.api
    commit = pachd.start(holder.master)
    pachd.modify(commit, [add("/wrong", b"x")])
    taken = api.get_file_set(commit=commit, type=pfs.GetFileSetRequestFileSetType.DIFF).file_set_id
    api.clear_commit(commit=commit)
    api.finish_commit(commit=commit, error="not proved")
    assert pachd.api.inspect_commit(commit=commit, wait=pfs.CommitState.FINISHED).error == "not proved"
    other = pachd.start(holder.master)
    api.add_file_set(commit=other, file_set_id=taken)
    pachd.finish(other)
    assert pachd.files(other) == {"/old": b"x", "/wrong": b"x"}


def test_who_may_write_makes_and_deletes_branches(holder: Holder) -> None:
    staging = holder.pachd.branch(holder.master.repo.name, "staging")
    holder.pachd.api.create_branch(branch=staging)
    holder.pachd.commit(staging, {"/a": b"x"})
    holder.pachd.api.delete_branch(branch=staging)
    assert [info.branch.name for info in holder.admin.api.list_branch(repo=staging.repo)] == ["master"]


@pytest.mark.parametrize("call", ["drop_commit", "squash_commit"])
def test_whoever_has_no_role_on_the_cluster_removes_no_commit(holder: Holder, call: str) -> None:
    staging = holder.pachd.branch(holder.master.repo.name, "staging")
    commit = holder.pachd.commit(staging, {"/a": b"x"})
    with refused("PERMISSION_DENIED", "needs permissions [REPO_DELETE_COMMIT] on CLUSTER"):
        getattr(holder.pachd.api, call)(commit=commit, recursive=True)


def test_a_file_set_is_read_by_nobody_but_an_administrator(holder: Holder) -> None:
    streamed = holder.pachd.api.create_file_set(iter([add("/a", b"A")])).file_set_id
    named = pfs.Commit(repo=pfs.Repo(name="__filesets__"), id=streamed)
    with refused("UNKNOWN", "no role binding exists"):
        holder.pachd.walk(named)
    assert "/a" in holder.admin.walk(named)


def test_who_may_read_writes_nothing(reader: Holder) -> None:
    head = reader.pachd.head(reader.master)
    assert reader.pachd.files(head) == {"/old": b"x"}
    streamed = reader.pachd.api.create_file_set(iter([add("/a", b"A")])).file_set_id
    commit = reader.admin.start(reader.master)
    for call in (
        lambda: reader.pachd.start(reader.master),
        lambda: reader.pachd.modify(commit, [add("/a", b"x")]),
        lambda: reader.pachd.api.add_file_set(commit=commit, file_set_id=streamed),
        lambda: reader.pachd.api.clear_commit(commit=commit),
        lambda: reader.pachd.api.finish_commit(commit=commit),
        lambda: reader.pachd.api.delete_branch(branch=reader.master),
    ):
        with refused("PERMISSION_DENIED", "not authorized to perform this operation"):
            call()


def test_a_role_on_one_repo_is_none_on_another(holder: Holder) -> None:
    other = holder.admin.branch(f"{holder.master.repo.name}-other")
    holder.admin.api.create_repo(repo=other.repo)
    try:
        with refused("PERMISSION_DENIED", "not authorized to perform this operation"):
            holder.pachd.start(other)
    finally:
        holder.admin.api.delete_repo(repo=other.repo)


def test_a_repo_is_deleted_by_its_owner_and_not_by_who_may_write(holder: Holder) -> None:
    if holder.role == "repoOwner":
        holder.pachd.api.delete_repo(repo=holder.master.repo)
        holder.admin.api.create_repo(repo=holder.master.repo)
        return
    with refused("PERMISSION_DENIED", "REPO_DELETE"):
        holder.pachd.api.delete_repo(repo=holder.master.repo)
