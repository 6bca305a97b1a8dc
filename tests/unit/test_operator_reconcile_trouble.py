"""What a reconcile does where something is missing that it would need, on a cluster in memory."""

from datetime import UTC, datetime, timedelta

from s3sync_operator.access import Credentials, Tls
from s3sync_operator.api import Phase, Reason
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.settings import Settings
from tests.support import objects
from tests.support.memory_cluster import MemoryCluster

NOON = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
SETTINGS = Settings(max_attempts=2)
TOKEN = "tok-a1b2c3d4e5"
LOG = f"pachd refuses {TOKEN}\n"


class OpenGateway:
    async def ensure_bucket(self, endpoint: str, bucket: str, credentials: Credentials, tls: Tls) -> bool:
        return False


class LoggedCluster(MemoryCluster):
    """Its pods have a log that quotes a token; where `secret_gone`, nobody can tell any more that it is one."""

    secret_gone = False

    async def pod_log(self, namespace: str, pod: str) -> str:
        return LOG

    async def get_secret(self, namespace: str, name: str, field: str) -> dict[str, str]:
        if self.secret_gone:
            raise TemporarySyncError(Reason.SECRET_NOT_FOUND, "create it")
        return {"token": TOKEN}


async def reconcile(cluster: MemoryCluster, now: datetime = NOON) -> None:
    metrics = Metrics()
    await Reconciler(cluster, OpenGateway(), GrpcPachd(1), SETTINGS, lambda: now, metrics).reconcile(
        ("kubeflow", "books")
    )


async def test_a_run_that_waited_for_the_one_before_and_then_cannot_start_uses_up_its_attempts() -> None:
    cluster = MemoryCluster()
    cluster.pods = [objects.pod_object("earlier-job", "Running", state=objects.RUNNING)]
    await reconcile(cluster)
    assert cluster.status.conditions[0].reason == Reason.PREVIOUS_RUN_TERMINATING
    cluster.pods = []
    cluster.refuse_lists = TemporarySyncError(Reason.TFJOB_CRD_NOT_INSTALLED, "install it")
    await reconcile(cluster)
    assert (cluster.status.phase, cluster.status.attempt) == (Phase.RETRYING, 1)
    await reconcile(cluster, NOON + timedelta(hours=1))
    assert (cluster.status.phase, cluster.status.attempt) == (Phase.FAILED, 2)


async def ended_badly(*, secret_gone: bool) -> str:
    """Return all that the status says of a run whose pod has crashed."""
    cluster = LoggedCluster(secretRef={"name": "credentials"})
    await reconcile(cluster)
    job = cluster.jobs[0]["metadata"]["name"]
    cluster.pods = [objects.pod_object(job, "Failed", state=objects.terminated(139, LOG))]
    cluster.secret_gone = secret_gone
    await reconcile(cluster)
    assert cluster.status.phase == Phase.RETRYING
    return cluster.status.model_dump_json()


async def test_a_log_is_shown_without_the_secrets_that_it_quotes() -> None:
    said = await ended_badly(secret_gone=False)
    assert "pachd refuses" in said
    assert TOKEN not in said


async def test_a_log_is_not_shown_once_the_secret_is_gone_that_it_may_quote() -> None:
    said = await ended_badly(secret_gone=True)
    assert TOKEN not in said
