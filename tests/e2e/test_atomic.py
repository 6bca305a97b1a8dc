"""With Pachyderm's gRPC API, a sync arrives whole, in one commit, whoever carried which part of it."""

from typing import Any

import pytest

from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import Target
from tests.e2e.test_seed import BOOKS, stored
from tests.support.syncs import conditions


@pytest.fixture
def atomic(syncs: OwnSyncs, target: Target) -> OwnSyncs:
    """Syncs where the gRPC API is known."""
    if not target.pachd_address:
        pytest.skip("no PACHD_ADDRESS was given")
    return syncs


@pytest.mark.fields("spec.pachdAddress", "spec.client", "spec.workers")
@pytest.mark.parametrize("client", ["file_io", "minio", "pfs"])
def test_two_workers_make_one_commit(atomic: OwnSyncs, target: Target, s3: Any, client: str) -> None:
    name = atomic.apply(pachdAddress=target.pachd_address, client=client, workers=2)
    status = atomic.wait_ready(name)
    assert stored(s3, f"master.{name}") == BOOKS
    assert status["counts"]["verified"] == len(BOOKS)
    assert len(status["podNames"]) == 2
    assert status["commit"]
    buckets = [item["Name"] for item in s3.list_buckets()["Buckets"] if f".{name}" in item["Name"]]
    assert buckets == [f"master.{name}.default"], "no staging branch is left"
    if target.control:
        changed = [commit["id"] for commit in target.control.commits(name) if commit["changes"]]
        assert changed == [status["commit"]]


def test_the_same_tree_again_makes_no_commit(atomic: OwnSyncs, target: Target) -> None:
    first = atomic.apply(pachdAddress=target.pachd_address)
    commit = atomic.wait_ready(first)["commit"]
    again = atomic.apply(repo=first, pachdAddress=target.pachd_address)
    status = atomic.wait_ready(again)
    assert conditions(status)["Ready"]["reason"] == "Unchanged"
    assert status["commit"] == commit
