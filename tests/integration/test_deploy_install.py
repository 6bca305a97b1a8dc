"""Installing by kustomize on a real API server, what Pod Security says of the pods, and what an uninstall leaves."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from s3sync_local.cluster import LocalCluster
from s3sync_local.errors import KubectlError
from s3sync_local.manifests import DEPLOY
from s3sync_operator.api import parse_sync
from s3sync_operator.desired import Found, Run
from s3sync_operator.rendering import job_object
from s3sync_operator.settings import Settings
from tests.support.deploy import BARE_CLUSTER, OPERATOR, OURS, OVERLAYS, SYSTEM, Helm, only, overlay
from tests.support.objects import sync_object

pytestmark = pytest.mark.xdist_group(BARE_CLUSTER)

SYNC = "pachydermsyncs.sync.pachyderm.io"
JOBS = "jobs"
INSTALLS = [f"overlays/{name}" for name in OVERLAYS]


@pytest.fixture(scope="module")
def api(fresh: LocalCluster) -> LocalCluster:
    """A cluster with the operator installed, and namespace JOBS that enforces the restricted standard."""
    install(fresh)
    fresh.create_namespace(JOBS)
    fresh.kubectl("label", "namespace", JOBS, "pod-security.kubernetes.io/enforce=restricted")
    return fresh


@pytest.fixture
def removable(api: LocalCluster) -> Iterator[LocalCluster]:
    """The same cluster for a test that removes what is installed, which is installed again for the others."""
    yield api
    install(api)


def install(cluster: LocalCluster) -> None:
    cluster.kubectl("apply", "-f", str(DEPLOY / "install.yaml"))
    cluster.wait_for(f"crd/{SYNC}", "Established")


def test_after_kubectl_apply_of_install_yaml_kubectl_diff_shows_nothing(api: LocalCluster) -> None:
    api.kubectl("apply", "-f", str(DEPLOY / "install.yaml"))
    assert api.kubectl("diff", "-f", str(DEPLOY / "install.yaml")) == ""


@pytest.mark.parametrize("folder", ["base", *INSTALLS])
def test_after_a_server_side_apply_kubectl_diff_shows_nothing(api: LocalCluster, folder: str) -> None:
    flags = ("--server-side", "--force-conflicts", "-k", str(DEPLOY / folder))
    api.kubectl("apply", *flags)
    assert api.kubectl("diff", *flags) == ""


def test_kubectl_diff_shows_what_was_changed_by_hand(api: LocalCluster) -> None:
    api.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(DEPLOY / "overlays/cluster"))
    api.kubectl("scale", "deployment", OPERATOR, "-n", SYSTEM, "--replicas=2")
    with pytest.raises(KubectlError, match="diff"):
        api.kubectl("diff", "--server-side", "--force-conflicts", "-k", str(DEPLOY / "overlays/cluster"))


def pod_of(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the pod that the Deployment's controller would create."""
    template: dict[str, Any] = copy.deepcopy(only(items, "Deployment")["spec"]["template"])
    template["metadata"] |= {"name": "trial", "namespace": SYSTEM}
    return {"apiVersion": "v1", "kind": "Pod"} | template


def try_pod(api: LocalCluster, pod: dict[str, Any]) -> dict[str, Any]:
    """Have the API server admit a pod without keeping it, and return what it makes of it."""
    return dict(
        json.loads(api.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=yaml.safe_dump(pod)))
    )


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_operators_pod_is_admitted_under_the_restricted_standard(api: LocalCluster, name: str) -> None:
    admitted = try_pod(api, pod_of(overlay(name)))
    assert any("projected" in volume for volume in admitted["spec"]["volumes"]), "it has its account's token"


def test_the_charts_pod_is_admitted_under_the_restricted_standard(api: LocalCluster, helm: Helm) -> None:
    try_pod(api, pod_of(helm.template()))


WEAKENED = [
    ("runAsNonRoot", lambda pod: pod["spec"].pop("securityContext")),
    (
        "allowPrivilegeEscalation",
        lambda pod: pod["spec"]["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    ),
    ("capabilities", lambda pod: pod["spec"]["containers"][0]["securityContext"].pop("capabilities")),
    ("hostPath", lambda pod: pod["spec"].update(volumes=[{"name": "host", "hostPath": {"path": "/"}}])),
]


@pytest.mark.parametrize(("said", "weaken"), WEAKENED, ids=[case[0] for case in WEAKENED])
def test_a_weaker_operators_pod_is_refused(api: LocalCluster, said: str, weaken: Any) -> None:
    pod = pod_of(overlay("cluster"))
    weaken(pod)
    with pytest.raises(KubectlError) as refusal:
        try_pod(api, pod)
    assert 'violates PodSecurity "restricted' in str(refusal.value)
    assert said in str(refusal.value)


@pytest.mark.parametrize("namespace", [SYSTEM, JOBS])
def test_no_other_pod_gets_a_token_of_the_operators_account_unasked(api: LocalCluster, namespace: str) -> None:
    account = OPERATOR if namespace == SYSTEM else "default"
    pod = pod_of(overlay("cluster"))
    pod["metadata"]["namespace"] = namespace
    pod["spec"] |= {"serviceAccountName": account}
    del pod["spec"]["automountServiceAccountToken"]
    admitted = try_pod(api, pod)
    mounted = [volume for volume in admitted["spec"].get("volumes", ()) if "projected" in volume]
    # Of the namespace's own account every pod gets one that does not say no: jobs' pods do, as the next test shows.
    assert bool(mounted) == (account == "default")


def sync_applied(api: LocalCluster, name: str) -> dict[str, Any]:
    raw = sync_object(name)
    raw["metadata"] = {"name": name, "namespace": JOBS}
    del raw["status"]
    return dict(json.loads(api.kubectl("apply", "-f", "-", "-o", "json", stdin=yaml.safe_dump(raw))))


def job_of(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the TFJob that the operator would create for a sync."""
    sync = parse_sync(raw)
    assert sync.spec
    return job_object(sync, sync.spec, Run(1, 1, sync.spec.digest), Settings(), Found())


def test_the_jobs_pod_is_admitted_under_the_restricted_standard_and_has_no_token(api: LocalCluster) -> None:
    job = job_of(sync_applied(api, "pod-security"))
    name = f"{job['metadata']['name']}-worker-0"
    api.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
    api.wait_for(f"pod/{name}", namespace=JOBS)
    pod = json.loads(api.kubectl("get", "pod", name, "-n", JOBS, "-o", "json"))["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert [sorted(set(volume) - {"name"}) for volume in pod["volumes"]] == [["emptyDir"]]
    assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == ["/tmp"]
    assert pod["serviceAccountName"] == "default"


def ours(api: LocalCluster) -> set[str]:
    """Return what there is of ours in the cluster: kind/name."""
    kinds = "crd,clusterroles,clusterrolebindings,namespaces,roles,rolebindings,deployments,services,serviceaccounts"
    listed = api.kubectl("get", f"{kinds},networkpolicies", "-A", "-l", OURS, "-o", "name")
    return set(listed.split())


def test_removing_the_operator_alone_leaves_the_definition_and_every_sync(removable: LocalCluster) -> None:
    removable.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(DEPLOY / "overlays/cluster"))
    sync_applied(removable, "kept")
    removable.kubectl("delete", "namespace", SYSTEM, timeout=120)
    removable.kubectl("delete", "clusterroles,clusterrolebindings", "-l", OURS)
    assert ours(removable) == {f"customresourcedefinition.apiextensions.k8s.io/{SYNC}"}
    assert "kept" in removable.kubectl("get", SYNC, "-n", JOBS)


def test_removing_the_syncs_and_then_all_that_was_installed_leaves_nothing(removable: LocalCluster) -> None:
    removable.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(DEPLOY / "overlays/cluster"))
    job = job_of(sync_applied(removable, "going"))
    removable.kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
    # In the foreground kubectl waits for the TFJobs too. Once the definition is gone, the garbage collector cannot tell
    # that an owner is, unless it watched the kind before, which it begins up to 30 s after the installation.
    removable.kubectl("delete", SYNC, "--all", "-A", "--cascade=foreground", timeout=120)
    assert removable.kubectl("get", "tfjobs", "-A", "-o", "name") == ""
    removable.kubectl("delete", "-k", str(DEPLOY / "overlays/cluster"), timeout=120)
    assert ours(removable) == set()
    assert SYNC not in removable.kubectl("get", "crd", "-o", "name")
