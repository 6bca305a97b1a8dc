"""A deleted sync takes from Pachyderm what its policy says, and nothing that was there before."""

from typing import Any

import pytest

from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import Target
from tests.e2e.test_seed import BOOKS, stored
from tests.support.syncs import conditions


def buckets(s3: Any, repo: str) -> set[str]:
    """Return the branches of a repo, as the gateway names them."""
    return {item["Name"].split(".")[0] for item in s3.list_buckets()["Buckets"] if item["Name"].split(".")[1] == repo}


@pytest.mark.fields("spec.deletionPolicy")
def test_a_repo_or_a_branch_goes_with_the_sync_that_made_it_and_what_was_there_before_stays(
    syncs: OwnSyncs, target: Target, s3: Any
) -> None:
    if not target.pachd_address:
        pytest.skip("no PACHD_ADDRESS was given")
    shared = target.unique("shared")
    s3.create_bucket(Bucket=f"theirs.{shared}")
    syncs.buckets.append(f"theirs.{shared}")
    plain: dict[str, Any] = {"pachdAddress": target.pachd_address, "client": "pfs", "verify": "Checksum"}
    repo = syncs.apply(**plain, deletionPolicy="DeleteRepo")
    branch = syncs.apply(**plain, repo=shared, deletionPolicy="DeleteBranch")
    careful = syncs.apply(**plain, repo=shared, branch="theirs", deletionPolicy="DeleteRepo")
    retained = syncs.apply(**plain)
    names = (repo, branch, careful, retained)
    for name in names:
        assert conditions(syncs.wait_ready(name))["Ready"]["reason"] == "Verified"
    held = {name: syncs.get(name)["metadata"].get("finalizers", []) for name in names}
    finalizer = ["sync.pachyderm.io/cleanup"]
    assert held == {repo: finalizer, branch: finalizer, careful: finalizer, retained: []}
    assert buckets(s3, shared) == {"master", "theirs"}
    syncs.kubectl("delete", "ps3", *names, "--timeout=60s", timeout=90)
    assert buckets(s3, repo) == set()
    assert buckets(s3, shared) == {"theirs"}
    assert stored(s3, f"theirs.{shared}") == BOOKS
    assert stored(s3, f"master.{retained}") == BOOKS
    assert [syncs.events(name)[-1] for name in (repo, branch, careful)] == [
        "RepoDeleted",
        "BranchDeleted",
        "BranchKept",
    ]
