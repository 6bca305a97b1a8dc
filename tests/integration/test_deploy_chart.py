"""The chart, rendered by Helm: the same as the overlays by default, and what each value changes."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
import yaml

from s3sync_local.manifests import CHART, ELSEWHERE, MONITORING, OPERATOR, value_name
from s3sync_operator import __version__
from s3sync_operator.settings import Settings, read_settings
from tests.support.deploy import SYSTEM, Helm, HelmError, by_key, comparable, container, environment, only, overlay

DIGEST = "sha256:" + "0f" * 32
PEER = {"podSelector": {"matchLabels": {"app": "prometheus"}}}


def pod(items: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(only(items, "Deployment")["spec"]["template"]["spec"])


def kinds(items: list[dict[str, Any]]) -> set[str]:
    return {item["kind"] for item in items}


def test_lint_finds_nothing(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_by_default_the_chart_is_the_cluster_overlay(helm: Helm) -> None:
    assert comparable(helm.template()) == comparable(overlay("cluster"))


def test_with_its_own_namespace_named_the_chart_is_the_namespaced_overlay(helm: Helm) -> None:
    assert comparable(helm.template({"namespaces": [SYSTEM]})) == comparable(overlay("namespaced"))


def test_the_comparison_with_the_overlays_notices_a_difference(helm: Helm) -> None:
    changed = comparable(helm.template({"resources": {"limits": {"memory": "1Gi"}}}))
    assert [key for key, item in changed.items() if item != comparable(overlay("cluster"))[key]] == [
        ("Deployment", SYSTEM, OPERATOR)
    ]


IMAGES = [
    ({}, f"pachyderm-s3-sync/operator:{__version__}"),
    ({"registry": "registry.example.com:5000"}, f"registry.example.com:5000/pachyderm-s3-sync/operator:{__version__}"),
    ({"registry": "registry.example.com/", "repository": "s3sync", "tag": "2"}, "registry.example.com/s3sync:2"),
    ({"digest": DIGEST}, f"pachyderm-s3-sync/operator@{DIGEST}"),
    ({"tag": "2", "digest": DIGEST}, f"pachyderm-s3-sync/operator:2@{DIGEST}"),
]


@pytest.mark.parametrize(("image", "reference"), IMAGES)
def test_an_image_is_named_by_registry_repository_tag_and_digest(helm: Helm, image: Any, reference: str) -> None:
    found = helm.template({"image": image, "jobImage": image})
    job = image.get("repository", "pachyderm-s3-sync/job")
    assert container(found)["image"] == reference
    assert environment(found)["S3SYNC_JOB_IMAGE"] == reference.replace("pachyderm-s3-sync/operator", job)


AFFINITY: dict[str, Any] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
# value, what is given, where in the pod it lands
IN_THE_POD = [
    ("nodeSelector", {"disk": "ssd"}, "nodeSelector"),
    ("tolerations", [{"key": "gpu", "operator": "Exists"}], "tolerations"),
    ("affinity", AFFINITY, "affinity"),
    ("priorityClassName", "system-cluster-critical", "priorityClassName"),
    ("imagePullSecrets", [{"name": "registry"}], "imagePullSecrets"),
]


@pytest.mark.parametrize(("value", "given", "field"), IN_THE_POD, ids=[case[0] for case in IN_THE_POD])
def test_a_value_of_the_pod_lands_there_and_is_absent_where_not_given(
    helm: Helm, value: str, given: Any, field: str
) -> None:
    assert pod(helm.template({value: given}))[field] == given
    assert field not in pod(helm.template())


def test_resources_and_the_pull_policy_are_the_containers(helm: Helm) -> None:
    given = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}
    found = container(helm.template({"resources": given, "image": {"pullPolicy": "Always"}}))
    # Helm merges maps: what the defaults have besides stays.
    assert found["resources"] == {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}
    assert found["imagePullPolicy"] == "Always"


def test_labels_and_annotations_are_added_to_the_pods_own(helm: Helm) -> None:
    template = only(
        helm.template({"podLabels": {"team": "data"}, "podAnnotations": {"sidecar.istio.io/inject": "false"}}),
        "Deployment",
    )["spec"]["template"]["metadata"]
    assert template["labels"]["team"] == "data"
    assert template["labels"]["app.kubernetes.io/name"] == OPERATOR
    assert template["annotations"]["sidecar.istio.io/inject"] == "false"


def test_endpoint_log_format_and_more_environment_reach_the_operator(helm: Helm) -> None:
    found = environment(
        helm.template(
            {
                "defaultEndpoint": "pachd.example.com:600",
                "logFormat": "full",
                "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
            }
        )
    )
    assert found["S3SYNC_DEFAULT_ENDPOINT"] == "pachd.example.com:600"
    assert found["S3SYNC_LOG_FORMAT"] == "full"
    assert found["HTTPS_PROXY"] == "http://proxy.example.com:3128"


SETTINGS = {
    "maxAttempts": 3,
    "retryDelay": 1,
    "retryDelayMax": 2,
    "startDeadline": 4,
    "runDeadline": 31536000,
    "publishDeadline": 7200,
    "sweepInterval": 60,
    "strayAge": 31536001,
    "deletionDeadline": 120,
    "jobMemoryRequest": "2Gi",
    "jobCpuRequest": "",
    "allowHostPath": ["/data", "/srv/books"],
    "gatewayTimeout": 5,
    "apiTimeout": 6,
    "resyncInterval": 7,
    "progressInterval": 8,
    "maxConcurrentRuns": 20,
    "maxConcurrentRunsPerEndpoint": 0,
    "concurrency": 9,
    "metricsSyncs": 0,
    "logLevel": "debug",
}


def test_pachds_address_and_each_setting_reach_the_operator(helm: Helm) -> None:
    given = {"defaultPachdAddress": "grpcs://pachd.example.com:650", "settings": SETTINGS}
    found = read_settings([], environment(helm.template(given)))
    assert found.default_pachd_address == "grpcs://pachd.example.com:650"
    shown = {value_name(name): value for name, value in asdict(found).items() if name not in ELSEWHERE}
    assert shown == {**SETTINGS, "allowHostPath": ("/data", "/srv/books")}


def test_what_is_not_given_or_null_is_as_the_operator_has_it_by_itself(helm: Helm) -> None:
    given = {"logFormat": "plain", "settings": {"maxAttempts": None}}
    found, plain = read_settings([], environment(helm.template(given))), Settings()
    assert found == replace(plain, default_endpoint=found.default_endpoint, job_image=found.job_image)


def test_namespaces_get_a_role_each_and_no_cluster_role_is_left(helm: Helm) -> None:
    found = helm.template({"namespaces": ["team-a", "team-b"], "aggregatedRoles": {"create": True}})
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds(found)
    for kind in ("Role", "RoleBinding"):
        assert {item["metadata"]["namespace"] for item in found if item["kind"] == kind} == {"team-a", "team-b"}
    subjects = [subject for item in found if item["kind"] == "RoleBinding" for subject in item["subjects"]]
    assert subjects == [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": SYSTEM}] * 2
    assert environment(found)["S3SYNC_NAMESPACES"] == "team-a,team-b"


def test_the_aggregated_roles_can_be_left_out(helm: Helm) -> None:
    names = {item["metadata"]["name"] for item in helm.template({"aggregatedRoles": {"create": False}})}
    assert not {"s3sync-viewer", "s3sync-editor"} & names


@pytest.mark.parametrize("namespaces", [[], ["team-a"]])
def test_without_rbac_the_operator_gets_no_role_at_all(helm: Helm, namespaces: list[str]) -> None:
    values = {"rbac": {"create": False}, "aggregatedRoles": {"create": False}, "namespaces": namespaces}
    assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & kinds(helm.template(values))


def test_a_service_account_of_ones_own_is_used_everywhere(helm: Helm) -> None:
    found = helm.template({"serviceAccount": {"create": False, "name": "mine"}})
    assert "ServiceAccount" not in kinds(found)
    assert pod(found)["serviceAccountName"] == "mine"
    assert only(found, "ClusterRoleBinding")["subjects"][0]["name"] == "mine"


def test_the_service_account_takes_annotations(helm: Helm) -> None:
    given = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/none"}
    assert (
        only(helm.template({"serviceAccount": {"annotations": given}}), "ServiceAccount")["metadata"]["annotations"]
        == given
    )


def test_the_definition_is_kept_upgraded_or_left_to_others(helm: Helm) -> None:
    kept, given_up, absent = (
        helm.template({"crds": crds}) for crds in ({}, {"keep": False}, {"install": False, "keep": True})
    )
    kind = "CustomResourceDefinition"
    assert only(kept, kind)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in only(given_up, kind)["metadata"]
    assert kind not in kinds(absent)


def test_the_network_policy_can_be_left_out(helm: Helm) -> None:
    assert "NetworkPolicy" not in kinds(helm.template({"networkPolicy": {"create": False}}))


def test_the_network_policy_takes_who_scrapes_the_api_servers_ports_and_more_egress(helm: Helm) -> None:
    more = {"to": [{"ipBlock": {"cidr": "169.254.7.0/24"}}]}
    values = {"metricsFrom": [PEER], "apiServerPorts": [7443], "extraEgress": [more]}
    spec = only(helm.template({"networkPolicy": values}), "NetworkPolicy")["spec"]
    assert [rule["from"] for rule in spec["ingress"]] == [[PEER]]
    assert {"ports": [{"port": 7443, "protocol": "TCP"}]} in spec["egress"]
    assert spec["egress"][-1] == more


def test_where_nobody_may_scrape_nothing_comes_in(helm: Helm) -> None:
    spec = only(helm.template({"networkPolicy": {"metricsFrom": []}}), "NetworkPolicy")["spec"]
    assert "Ingress" in spec["policyTypes"]
    assert "ingress" not in spec


def test_a_service_monitor_finds_the_service_and_comes_only_when_asked_for(helm: Helm) -> None:
    assert "ServiceMonitor" not in kinds(helm.template())
    found = helm.template({"serviceMonitor": {"create": True, "interval": "1m", "labels": {"release": "prometheus"}}})
    monitor, service = only(found, "ServiceMonitor"), only(found, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [port["name"] for port in service["spec"]["ports"]] == ["metrics"]
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "1m"}]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_alert_rules_come_as_they_are_and_only_when_asked_for(helm: Helm) -> None:
    assert "PrometheusRule" not in kinds(helm.template())
    found = only(helm.template({"prometheusRule": {"create": True, "labels": {"release": "x"}}}), "PrometheusRule")
    assert found["spec"] == yaml.safe_load((MONITORING / "rules.yaml").read_text())
    assert found["metadata"]["labels"]["release"] == "x"


def test_the_dashboard_comes_as_it_is_and_only_when_asked_for(helm: Helm) -> None:
    assert "ConfigMap" not in kinds(helm.template())
    found = only(helm.template({"dashboard": {"create": True}}), "ConfigMap")
    assert json.loads(found["data"]["s3sync.json"]) == json.loads((MONITORING / "dashboard.json").read_text())
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


NAMES = [
    ("s3sync-operator", {}, "s3sync-operator"),
    ("team-a", {}, "team-a-s3sync-operator"),
    ("team-a", {"nameOverride": "sync"}, "team-a-sync"),
    ("team-a", {"fullnameOverride": "sync"}, "sync"),
]


@pytest.mark.parametrize(("release", "values", "name"), NAMES)
def test_names_come_from_the_release(helm: Helm, release: str, values: Any, name: str) -> None:
    found = helm.template(values, release=release)
    named = {item["kind"]: item["metadata"]["name"] for item in found if item["kind"] not in PEOPLES}
    assert set(named.values()) == {name}
    assert pod(found)["serviceAccountName"] == name


PEOPLES = ("CustomResourceDefinition", "ClusterRole")


def test_no_object_is_rendered_twice_and_each_says_which_release_it_is_of(helm: Helm) -> None:
    for item in by_key(helm.template({"namespaces": ["team-a", "team-b"]})).values():
        assert item["metadata"]["labels"]["app.kubernetes.io/instance"] == OPERATOR
        assert item["metadata"]["labels"]["helm.sh/chart"] == f"s3sync-operator-{__version__}"


REFUSED = [
    ({"imagee": {}}, "imagee"),
    ({"image": {"name": "x"}}, "/image"),
    ({"image": {"digest": "0f0f"}}, "/image/digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"namespaces": "team-a"}, "/namespaces"),
    ({"namespaces": ["Team A"]}, "/namespaces/0"),
    ({"namespaces": ["a", "a"]}, "/namespaces"),
    ({"defaultEndpoint": "s3://bucket"}, "/defaultEndpoint"),
    ({"defaultPachdAddress": "pachd"}, "/defaultPachdAddress"),
    ({"settings": {"publishDeadline": 0}}, "/settings/publishDeadline"),
    ({"settings": {"sweepInterval": "often"}}, "/settings/sweepInterval"),
    ({"settings": {"strayAge": -1}}, "/settings/strayAge"),
    ({"settings": {"deletionDeadline": 1.5}}, "/settings/deletionDeadline"),
    ({"settings": {"maxConcurrentRun": 1}}, "maxConcurrentRun"),
    ({"settings": {"jobMemoryRequest": "much"}}, "/settings/jobMemoryRequest"),
    ({"settings": {"allowHostPath": ["data"]}}, "/settings/allowHostPath/0"),
    ({"settings": {"logLevel": "loud"}}, "/settings/logLevel"),
    ({"logFormat": "xml"}, "/logFormat"),
    ({"extraEnv": [{"name": "S3SYNC_NAMESPACES", "value": "b"}]}, "/extraEnv/0/name"),
    ({"extraEnv": [{"name": "HTTPS_PROXY", "value": 3}]}, "/extraEnv/0/value"),
    ({"crds": {"keep": "yes"}}, "/crds/keep"),
    ({"networkPolicy": {"apiServerPorts": []}}, "/networkPolicy/apiServerPorts"),
    ({"serviceMonitor": {"interval": "often"}}, "/serviceMonitor/interval"),
    ({"imagePullSecrets": ["registry"]}, "/imagePullSecrets/0"),
]


@pytest.mark.parametrize(("values", "said"), REFUSED, ids=[case[1] for case in REFUSED])
def test_a_wrong_value_is_refused_by_its_name(helm: Helm, values: Any, said: str) -> None:
    with pytest.raises(HelmError) as refusal:
        helm.template(values)
    assert said in str(refusal.value)


def names(properties: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, part in properties.items():
        if "properties" in part:
            yield from names(part["properties"], f"{prefix}{name}.")
        else:
            yield prefix + name


def test_each_value_has_a_default_and_each_default_is_a_value_of_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    # Of all groups, `global` alone is Helm's and has no default here.
    wanted = set(names(schema["properties"])) - {"global"}
    rows = (CHART / "README.md").read_text().splitlines()
    assert {row.split("`")[1] for row in rows if row.startswith("| `")} == wanted
    assert set(yaml.safe_load((CHART / "values.yaml").read_text())) | {"global"} == set(schema["properties"])


def test_the_notes_say_what_is_served_and_what_an_uninstall_leaves(helm: Helm) -> None:
    def notes(*flags: str) -> str:
        ran = helm("install", OPERATOR, str(CHART), f"--namespace={SYSTEM}", "--dry-run=client", *flags)
        return ran.split("NOTES:")[1]

    assert "serves all namespaces" in notes()
    assert "`helm uninstall` leaves the definition" in notes()
    assert "serves namespace team-a, without any cluster role" in notes("--set=namespaces={team-a}")
    assert "`helm uninstall` removes the definition" in notes("--set=crds.keep=false")
    assert "upgrade the definition yourself" in notes("--set=crds.install=false")
