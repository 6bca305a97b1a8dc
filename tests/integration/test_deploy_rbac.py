"""What the operator's service account may do, asked of the real API server as that account, and what it is refused."""

import json
import time

import pytest
import yaml

from s3sync_local.cluster import LocalCluster
from s3sync_local.errors import KubectlError
from tests.support.deploy import BARE_CLUSTER, OPERATOR, SYSTEM, Call, allowed, overlay, overlay_in
from tests.support.objects import sync_object

pytestmark = pytest.mark.xdist_group(BARE_CLUSTER)

CLUSTERWIDE = f"system:serviceaccount:{SYSTEM}:{OPERATOR}"
NAMESPACED = f"system:serviceaccount:s3sync-own:{OPERATOR}"
SYNCS, KUBEFLOW, EVENTS = "sync.pachyderm.io", "kubeflow.org", "events.k8s.io"
RBAC, DEFINITIONS = "rbac.authorization.k8s.io", "apiextensions.k8s.io"
OWN, TEAM, OTHER = "s3sync-own", "team-a", "team-b"
EVERYWHERE = ""
AGGREGATION_SECONDS = 30


def needed(namespace: str) -> list[Call]:
    """Return each call that cluster.py and kopf's watches make, in a namespace or everywhere."""
    return [
        *(Call(verb, "pachydermsyncs", namespace, SYNCS) for verb in ("get", "list", "watch", "patch")),
        Call("patch", "pachydermsyncs", namespace, SYNCS, "status"),
        Call("update", "pachydermsyncs", namespace, SYNCS, "finalizers"),
        *(Call(verb, "tfjobs", namespace, KUBEFLOW) for verb in ("get", "list", "watch", "create", "delete")),
        *(Call(verb, "jobs", namespace, "batch") for verb in ("get", "list", "watch", "create", "delete")),
        *(Call(verb, "pods", namespace) for verb in ("list", "watch")),
        Call("get", "pods", namespace, subresource="log"),
        Call("get", "secrets", namespace, name="pachyderm-token"),
        *(Call(verb, "events", namespace, EVENTS) for verb in ("create", "list")),
    ]


WRITES = ("create", "update", "patch", "delete", "deletecollection")
DEFINITION_CALLS = [Call(verb, "customresourcedefinitions", group=DEFINITIONS) for verb in ("list", "watch")]


def never(namespace: str) -> list[Call]:
    """Return calls that no operator of this kind may make, in a namespace that it serves or anywhere."""
    return [
        *(Call(verb, "pachydermsyncs", namespace, SYNCS) for verb in WRITES if verb != "patch"),
        *(Call(verb, "tfjobs", namespace, KUBEFLOW) for verb in ("update", "patch", "deletecollection")),
        *(Call(verb, "tfjobs", namespace, KUBEFLOW, "status") for verb in ("update", "patch")),
        *(Call(verb, "secrets", namespace) for verb in ("list", "watch", *WRITES)),
        *(Call(verb, "pods", namespace) for verb in ("get", *WRITES)),
        *(Call("create", "pods", namespace, subresource=sub) for sub in ("exec", "attach", "portforward", "eviction")),
        *(Call("get", "pods", namespace, subresource=sub) for sub in ("exec", "attach", "proxy")),
        Call("patch", "pods", namespace, subresource="ephemeralcontainers"),
        *(Call(verb, "configmaps", namespace) for verb in ("get", "list", *WRITES)),
        *(Call(verb, "serviceaccounts", namespace) for verb in ("get", "list", *WRITES)),
        Call("create", "serviceaccounts", namespace, subresource="token"),
        Call("impersonate", "serviceaccounts", namespace),
        *(Call(verb, "services", namespace) for verb in ("get", "list", *WRITES)),
        *(Call(verb, "events", namespace, EVENTS) for verb in ("get", "watch", "update", "patch", "delete")),
        *(Call(verb, "events", namespace) for verb in ("create", "list")),
        *(Call(verb, "deployments", namespace, "apps") for verb in ("get", "list", *WRITES)),
        *(Call(verb, "jobs", namespace, "batch") for verb in ("update", "patch", "deletecollection")),
        *(Call(verb, "jobs", namespace, "batch", "status") for verb in ("update", "patch")),
        *(Call(verb, "cronjobs", namespace, "batch") for verb in ("get", "list", *WRITES)),
        *(Call(verb, "leases", namespace, "coordination.k8s.io") for verb in ("get", *WRITES)),
        *(Call(verb, "networkpolicies", namespace, "networking.k8s.io") for verb in WRITES),
        *(
            Call(verb, kind, namespace, RBAC)
            for kind in ("roles", "rolebindings")
            for verb in ("get", "list", *WRITES, "bind", "escalate")
        ),
    ]


NEVER_IN_THE_CLUSTER = [
    *(Call(verb, "namespaces") for verb in ("get", "list", "watch", *WRITES)),
    *(Call(verb, "nodes") for verb in ("get", "list", "watch", *WRITES)),
    Call("get", "nodes", subresource="proxy"),
    *(Call(verb, "persistentvolumes") for verb in ("get", "list", *WRITES)),
    *(
        Call(verb, kind, group=RBAC)
        for kind in ("clusterroles", "clusterrolebindings")
        for verb in ("get", "list", *WRITES, "bind", "escalate")
    ),
    *(Call(verb, "customresourcedefinitions", group=DEFINITIONS) for verb in ("get", *WRITES)),
    *(
        Call(verb, kind, group="admissionregistration.k8s.io")
        for kind in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
        for verb in ("get", "list", *WRITES)
    ),
    *(Call("impersonate", kind) for kind in ("users", "groups")),
    Call("create", "tokenreviews", group="authentication.k8s.io"),
    Call("create", "subjectaccessreviews", group="authorization.k8s.io"),
    *(
        Call(verb, "certificatesigningrequests", group="certificates.k8s.io")
        for verb in ("get", "create", "update", "patch")
    ),
]


@pytest.fixture(scope="module")
def api(fresh: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> LocalCluster:
    """A cluster with both kinds of install: overlay `cluster`, and overlay `namespaced` in OWN that serves TEAM too."""
    found = overlay_in(OWN, "namespaced", tmp_path_factory.mktemp("own"))
    served = overlay_in(TEAM, "namespaced/served", tmp_path_factory.mktemp("served"))
    for item in served:
        for subject in item.get("subjects", ()):
            subject["namespace"] = OWN
    for namespace in (TEAM, OTHER):
        fresh.create_namespace(namespace)
        fresh.kubectl("create", "secret", "generic", "pachyderm-token", "-n", namespace, "--from-literal=token=made-up")
    for items in (overlay("cluster"), found, served):
        fresh.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(items))
    fresh.wait_for("crd/pachydermsyncs.sync.pachyderm.io", "Established")
    return fresh


def refused(answers: dict[Call, bool]) -> list[str]:
    return [str(call) for call, yes in answers.items() if not yes]


def granted(answers: dict[Call, bool]) -> list[str]:
    return [str(call) for call, yes in answers.items() if yes]


def test_where_it_serves_the_cluster_each_call_it_makes_is_allowed(api: LocalCluster) -> None:
    calls = [*needed(EVERYWHERE), *needed(OTHER), *DEFINITION_CALLS]
    assert refused(allowed(api, CLUSTERWIDE, calls)) == []


def test_where_it_serves_the_cluster_all_else_is_refused(api: LocalCluster) -> None:
    calls = [*never(EVERYWHERE), *never(OTHER), *never(SYSTEM), *never("kube-system"), *NEVER_IN_THE_CLUSTER]
    assert granted(allowed(api, CLUSTERWIDE, calls)) == []


def test_the_list_of_refused_calls_would_notice_a_role_that_is_too_wide(api: LocalCluster) -> None:
    calls = [*never(OTHER), *NEVER_IN_THE_CLUSTER]
    api.kubectl(
        "create",
        "clusterrolebinding",
        "too-wide",
        "--clusterrole=cluster-admin",
        f"--serviceaccount={SYSTEM}:{OPERATOR}",
    )
    try:
        assert refused(allowed(api, CLUSTERWIDE, calls)) == []
    finally:
        api.kubectl("delete", "clusterrolebinding", "too-wide")


def test_the_api_server_answers_a_refused_call_with_forbidden(api: LocalCluster) -> None:
    as_operator = f"--as={CLUSTERWIDE}"
    assert "made-up" not in api.kubectl(as_operator, "get", "secret", "pachyderm-token", "-n", TEAM, "-o", "name")
    for call in (
        ("get", "secrets", "-n", TEAM),
        ("get", "secrets", "-A"),
        ("delete", "pod", "any", "-n", TEAM),
        ("get", "nodes"),
        ("create", "namespace", "mine"),
        ("create", "token", OPERATOR, "-n", SYSTEM),
        ("create", "rolebinding", "mine", "--clusterrole=admin", f"--serviceaccount={SYSTEM}:{OPERATOR}", "-n", TEAM),
    ):
        with pytest.raises(KubectlError, match="orbidden"):
            api.kubectl(as_operator, *call)


def test_who_may_view_or_edit_a_namespace_may_view_or_edit_its_syncs_and_no_status(api: LocalCluster) -> None:
    reads = [Call(verb, "pachydermsyncs", TEAM, SYNCS) for verb in ("get", "list", "watch")]
    reads.append(Call("get", "pachydermsyncs", TEAM, SYNCS, "status"))
    writes = [Call(verb, "pachydermsyncs", TEAM, SYNCS) for verb in WRITES]
    status = [Call(verb, "pachydermsyncs", TEAM, SYNCS, "status") for verb in ("update", "patch")]
    for role, may, may_not in (
        ("view", reads, [*writes, *status]),
        ("edit", [*reads, *writes], status),
        ("admin", [*reads, *writes], status),
    ):
        user = f"{role}er"
        api.kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", "-n", TEAM)
        wait_until_none_is_refused(api, user, may)
        assert granted(allowed(api, user, may_not)) == []
        api.kubectl("delete", "rolebinding", user, "-n", TEAM)


def wait_until_none_is_refused(api: LocalCluster, user: str, calls: list[Call]) -> None:
    """Wait until the API server's controller has added our rules to the built-in roles."""
    deadline = time.monotonic() + AGGREGATION_SECONDS
    while (left := refused(allowed(api, user, calls))) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


def test_a_jobs_account_may_do_nothing_with_the_api(api: LocalCluster) -> None:
    calls = [*needed(TEAM), *never(TEAM), *NEVER_IN_THE_CLUSTER, *DEFINITION_CALLS]
    assert granted(allowed(api, f"system:serviceaccount:{TEAM}:default", calls)) == []


def test_where_it_serves_single_namespaces_each_call_it_makes_there_is_allowed(api: LocalCluster) -> None:
    assert refused(allowed(api, NAMESPACED, [*needed(OWN), *needed(TEAM)])) == []


def test_where_it_serves_single_namespaces_all_else_is_refused_there(api: LocalCluster) -> None:
    calls = [*never(OWN), *never(TEAM), *NEVER_IN_THE_CLUSTER, *DEFINITION_CALLS]
    assert granted(allowed(api, NAMESPACED, calls)) == []


def test_where_it_serves_single_namespaces_nothing_at_all_is_allowed_elsewhere(api: LocalCluster) -> None:
    calls = [call for where in (OTHER, SYSTEM, "kube-system", EVERYWHERE) for call in (*needed(where), *never(where))]
    assert granted(allowed(api, NAMESPACED, calls)) == []
    with pytest.raises(KubectlError, match="orbidden"):
        api.kubectl(f"--as={NAMESPACED}", "get", "secret", "pachyderm-token", "-n", OTHER)


def test_where_it_serves_single_namespaces_no_cluster_role_is_bound_to_it(api: LocalCluster) -> None:
    found = json.loads(api.kubectl("get", "clusterrolebindings", "-o", "json"))["items"]
    assert {item["metadata"]["name"] for item in found if SYSTEM in json.dumps(item)} == {OPERATOR}
    assert [item["metadata"]["name"] for item in found if OWN in json.dumps(item)] == []


def test_where_it_serves_single_namespaces_a_real_read_works_there_and_nowhere_else(api: LocalCluster) -> None:
    raw = sync_object()
    raw["metadata"] = {"name": raw["metadata"]["name"], "namespace": TEAM}
    api.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(raw))
    assert "books" in api.kubectl(f"--as={NAMESPACED}", "get", "pachydermsyncs", "-n", TEAM)
    with pytest.raises(KubectlError, match="orbidden"):
        api.kubectl(f"--as={NAMESPACED}", "get", "pachydermsyncs", "-n", OTHER)
    api.kubectl("delete", "pachydermsyncs", "books", "-n", TEAM)
