"""A publish that fails for good leaves the branch to others at once; Kubernetes is one in memory here."""

from pathlib import Path

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_operator.api import Phase, Reason
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from tests.integration.conftest import plant
from tests.integration.test_publish_interrupted import BEFORE, KEY, TREE, Place, staged
from tests.support.pachd import Pachd, is_open


@pytest.fixture
def place(standin: StandinProcess, pachd: Pachd, tmp_path: Path) -> Place:
    plant(tmp_path, "tree", TREE)
    return Place(standin, pachd, tmp_path)


async def test_a_publish_that_is_given_up_leaves_no_commit_open(
    place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd, pachd: Pachd, standin: StandinProcess
) -> None:
    reconciler = await staged(place, gateway, grpc_pachd)
    standin.reset_requests()
    standin.set_faults(
        [{"action": "status", "code": "PERMISSION_DENIED", "operation": "FinishCommit", "message": "no"}]
    )
    await reconciler.reconcile(KEY)
    assert (place.cluster.status.phase, place.cluster.status.conditions[0].reason) == (
        Phase.FAILED,
        Reason.ACCESS_DENIED,
    )
    standin.wait_for_requests("StartCommit")
    assert not is_open(pachd.api.inspect_commit(commit=pachd.head(place.branch)))
    assert place.files() == BEFORE


async def test_a_publish_that_is_given_up_spares_what_somebody_else_has_open(
    place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd, pachd: Pachd, standin: StandinProcess
) -> None:
    reconciler = await staged(place, gateway, grpc_pachd)
    theirs = pachd.start(place.branch, "somebody else's")
    rule = {"action": "status", "code": "PERMISSION_DENIED", "operation": "ListCommit", "message": "no", "times": 1}
    standin.set_faults([rule])
    await reconciler.reconcile(KEY)
    assert place.cluster.status.phase == Phase.FAILED
    assert pachd.head(place.branch).id == theirs.id
    assert is_open(pachd.api.inspect_commit(commit=theirs))
