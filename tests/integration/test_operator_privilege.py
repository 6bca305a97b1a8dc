"""The operator's role is what the operator does: nothing is refused to it, and nothing is granted that it does not use.

Its whole life is led as its service account, and the API server's audit log tells what it asked for.
"""

import json
from pathlib import Path

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_local.demo import OPERATOR_USER
from s3sync_local.errors import KubectlError
from s3sync_operator.api import parse_sync
from s3sync_operator.desired import run_name
from s3sync_operator.reconcile import utc_now
from s3sync_operator.runs import current_run
from tests.integration.conftest import QUICK, Syncs
from tests.support import audit
from tests.support.operator_process import SECOND_CLUSTER, OperatorProcess

# What only syncs with runner: Job or a deletionPolicy, or whose pods cannot be made, need; their own tests show it.
OF_OTHER_SYNCS = {
    ("create", "batch", "jobs"),
    ("get", "batch", "jobs"),
    ("delete", "batch", "jobs"),
    ("patch", "sync.pachyderm.io", "pachydermsyncs"),
    ("list", "events.k8s.io", "events"),
}

# Not asked for by a request: the API server's admission plugin OwnerReferencesPermissionEnforcement, where it is on,
# wants it of whoever makes an object whose owner reference holds up the owner's deletion.
ASKED_BY_ADMISSION = {("update", "sync.pachyderm.io", "pachydermsyncs/finalizers")}


pytestmark = pytest.mark.xdist_group(SECOND_CLUSTER)


@pytest.fixture
def installed(second_cluster: LocalCluster) -> LocalCluster:
    """The cluster of these tests, in place of the session's: nobody else's operator is in its audit log."""
    return second_cluster


def in_the_way(syncs: Syncs, sync: str, kind: str = "TFJob") -> str:
    """Create a job that is nobody's by the name that the sync's first run will give its own."""
    parsed = parse_sync(syncs.get(sync))
    assert parsed.spec
    name = run_name(parsed, current_run(parsed, parsed.spec, utc_now()))
    container = {"name": "tensorflow", "image": "registry.invalid/nobody/nothing:1"}
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    worker = {"replicas": 1, "restartPolicy": "Never", "template": template}
    version, spec = {
        "TFJob": ("kubeflow.org/v1", {"tfReplicaSpecs": {"Worker": worker}}),
        "Job": ("batch/v1", {"template": template, "suspend": True}),
    }[kind]
    job = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    syncs.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
    return name


def wait_for_event(syncs: Syncs, name: str, reason: str) -> None:
    """Wait for what the status tells for a moment only: the next attempt's job has another name."""
    syncs.wait_for(name, lambda _: reason in syncs.events(name), f"told {reason}")


def lead_a_whole_life(syncs: Syncs, operator: OperatorProcess, standin: StandinProcess) -> None:
    """Have the operator do all that it ever does: succeed, fail, retry, run a changed spec, meet a job in its way, read
    a Secret, ask why no pod is made, and see a sync deleted that it is to clean up after."""
    syncs.kubectl("create", "secret", "generic", "keys", "--from-literal=token=a-token")
    blocked = syncs.apply()
    foreign = in_the_way(syncs, blocked)
    plain = syncs.apply(runner="Job")
    other = in_the_way(syncs, plain, "Job")
    operator.start()
    for name in (blocked, plain):
        wait_for_event(syncs, name, "NameConflict")
    syncs.kubectl("delete", "tfjob", foreign)
    syncs.kubectl("delete", "job", other)
    syncs.wait_ready(blocked)
    syncs.wait_ready(plain)
    # Nothing but an Event tells that a pod is not made since its account is missing.
    syncs.apply(plain, runner="Job", podTemplate={"serviceAccountName": "nobody"})
    syncs.wait_for(plain, lambda status: '"nobody" not found' in str(status.get("conditions")), "told the reason")

    good = syncs.apply(secretRef={"name": "keys"})
    syncs.wait_ready(good)
    syncs.apply(good, inputPath="testdata")
    syncs.wait_stalled(syncs.apply_tree("no-such-directory"))

    standin.set_faults([{"action": "cut", "method": "PUT", "key": ".+"}])
    retried = syncs.apply()
    syncs.wait_phase(retried, "Retrying")
    standin.clear_faults()
    assert syncs.wait_ready(retried)["attempt"] > 1

    owned = syncs.apply(pachdAddress=standin.pachd_address, client="pfs", deletionPolicy="DeleteRepo")
    syncs.wait_ready(owned)
    syncs.kubectl("delete", "ps3", owned, "--timeout=60s", timeout=90)

    job = syncs.get(good)["status"]["tfJobName"]
    syncs.kubectl("delete", "ps3", good)
    syncs.kubectl("wait", "--for=delete", f"tfjob/{job}", "--timeout=60s")
    assert operator.stop() == 0


@pytest.mark.parametrize("served", ["all namespaces", "one namespace"])
def test_all_that_it_does_is_granted_and_all_that_is_granted_is_done(
    installed: LocalCluster, syncs: Syncs, standin: StandinProcess, tmp_path: Path, served: str
) -> None:
    start = audit.mark(installed)
    namespaces = "" if served == "all namespaces" else syncs.namespace
    log = tmp_path / "log"
    operator = OperatorProcess(installed, log, **QUICK, namespaces=namespaces)
    try:
        lead_a_whole_life(syncs, operator, standin)
    finally:
        operator.stop()
    rules = json.loads(installed.kubectl("get", "clusterrole", "s3sync-operator", "-o", "json"))["rules"]
    if namespaces:
        rules = [rule for rule in rules if rule["resources"] != ["customresourcedefinitions"]]
    assert audit.refused(installed, OPERATOR_USER, start) == []
    used = audit.used(installed, OPERATOR_USER, start)
    assert used | OF_OTHER_SYNCS == audit.granted(rules) - ASKED_BY_ADMISSION


def test_a_sync_runs_where_restricted_pods_alone_are_admitted(
    syncs: Syncs, own_operator: OperatorProcess, namespace: str
) -> None:
    syncs.cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        syncs.kubectl("run", "unhardened", "--image=registry.invalid/nobody/nothing:1", "--dry-run=server")
    assert syncs.wait_ready(syncs.apply())["counts"]["verified"] == 2
