"""What a deleted sync leaves to others: a branch that they name in another way, and their own finalizers."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from s3sync_operator.api import FINALIZER, Status
from s3sync_operator.deletion import Deletion, Going, what_goes
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.settings import Settings
from s3sync_operator.staging import RepoSeen
from tests.support import objects
from tests.support.memory_cluster import MemoryCluster

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({}, {"branch": "master"}),
        ({"branch": "master"}, {}),
        ({"project": "default"}, {}),
        ({}, {"project": "default", "branch": "master"}),
    ],
    ids=["theirs", "mine", "my project", "their project and branch"],
)
def test_a_branch_stays_that_another_sync_names_with_or_without_its_defaults_written_out(
    mine: dict[str, str], theirs: dict[str, str]
) -> None:
    of = replace(objects.sync(deletionPolicy="DeleteBranch", **mine), status=Status(branch_created_at=NOON))
    other = replace(objects.sync("other", **theirs), uid="uid-of-other")
    assert of.spec
    kept = Going("nothing", "sync 'kubeflow/other' names it too")
    assert what_goes(of, of.spec, RepoSeen("", {"master": NOON}), [other]) == kept


async def nobody_is_left(_: object) -> None:
    return None


async def test_the_finalizers_of_others_stay_when_the_operators_own_goes() -> None:
    cluster = MemoryCluster()
    cluster.raw["metadata"] |= {
        "finalizers": ["theirs.example.com", FINALIZER, "more.example.com"],
        "deletionTimestamp": NOON.isoformat(),
    }
    deletion = Deletion(cluster, GrpcPachd(1), Settings(), lambda: NOON)
    assert await deletion.go_on(cluster.sync, nobody_is_left) is None
    assert cluster.sync.finalizers == ("theirs.example.com", "more.example.com")
