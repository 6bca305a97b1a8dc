"""How long the operator lets a call of pachd take: what moves many files may take longer than anything else."""

from collections.abc import AsyncIterator

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_operator.access import Target
from s3sync_operator.api import Reason
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.pachd import GrpcPachd
from tests.support.pachd import Pachd
from tests.support.syncs import unique

LIMIT, LONGER = 1, 1.5


@pytest.fixture
async def impatient() -> AsyncIterator[GrpcPachd]:
    """The operator's side of pachd, with a short --gateway-timeout."""
    found = GrpcPachd(timeout=LIMIT)
    yield found
    found.close()


@pytest.fixture
def target(standin: StandinProcess, pachd: Pachd) -> Target:
    """A repo with one file."""
    repo = f"repo-{unique()}"
    pachd.api.create_repo(repo=pachd.branch(repo).repo)
    pachd.commit(pachd.branch(repo, "staged"), {"/data/x": b"x"})
    return Target(standin.pachd_address, "default", repo)


async def test_a_publish_may_take_longer_than_other_calls(
    impatient: GrpcPachd, target: Target, pachd: Pachd, standin: StandinProcess
) -> None:
    source = pachd.head(pachd.branch(target.repo, "staged")).id
    commit = await impatient.start_commit(target, "master", "a run's")
    standin.set_faults([{"action": "latency", "operation": "ModifyFile", "seconds": LONGER}])
    await impatient.modify(target, commit, [], [(source, "data")], files=1)
    await impatient.finish_commit(target, commit)
    assert pachd.files(pachd.head(pachd.branch(target.repo))) == {"/data/x": b"x"}


async def test_any_other_call_is_given_up_after_the_limit(
    impatient: GrpcPachd, target: Target, standin: StandinProcess
) -> None:
    standin.set_faults([{"action": "latency", "operation": "InspectBranch", "seconds": LONGER}])
    with pytest.raises(TemporarySyncError, match="did not answer in time") as refused:
        await impatient.history(target, "staged", None, 1)
    assert refused.value.reason == Reason.PACHD_UNREACHABLE
