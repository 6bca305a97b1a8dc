"""The manifests as kustomize renders them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from s3sync_local.errors import KubectlError
from s3sync_local.manifests import DEPLOY, ROOT, differences, generated, render
from s3sync_operator import __version__
from s3sync_operator.settings import Settings, read_settings
from tests.support import yaml_text
from tests.support.deploy import (
    OPERATOR,
    OVERLAYS,
    SYSTEM,
    by_key,
    container,
    environment,
    objects,
    only,
    overlay,
    overlay_in,
)

RENDERED = pytest.mark.parametrize("name", OVERLAYS)


def test_everything_generated_is_as_committed() -> None:
    assert differences(generated()) == ""


def test_install_yaml_is_the_cluster_overlay() -> None:
    assert by_key(objects((DEPLOY / "install.yaml").read_text())) == by_key(overlay("cluster"))


@RENDERED
def test_the_images_are_those_of_this_version(name: str) -> None:
    assert container(overlay(name))["image"] == f"pachyderm-s3-sync/operator:{__version__}"
    assert environment(overlay(name))["S3SYNC_JOB_IMAGE"] == f"pachyderm-s3-sync/job:{__version__}"


@RENDERED
def test_the_operator_takes_its_environment_and_knows_every_variable(name: str) -> None:
    given = environment(overlay(name))
    known = {f"S3SYNC_{field.upper()}" for field in Settings.__dataclass_fields__}
    assert set(given) <= known
    assert read_settings((), given).default_endpoint == "http://pachd.pachyderm:30600"


def test_the_namespaced_operator_serves_its_own_namespace_and_the_others_serve_all() -> None:
    served = {name: read_settings((), environment(overlay(name))).namespaces for name in OVERLAYS}
    assert served == {"cluster": (), "local": (), "namespaced": (SYSTEM,)}


@RENDERED
def test_the_ports_are_those_the_operator_listens_on_where_nothing_is_set(name: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(overlay(name))["ports"]}
    assert Settings().health_address == f"0.0.0.0:{ports['health']}"
    assert Settings().metrics_address == f"0.0.0.0:{ports['metrics']}"


@RENDERED
def test_service_network_policy_and_deployment_mean_the_same_pod(name: str) -> None:
    found = overlay(name)
    deployment = only(found, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert only(found, "Service")["spec"]["selector"] == labels
    assert only(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels


@RENDERED
def test_of_two_operators_the_old_one_ends_first(name: str) -> None:
    spec = only(overlay(name), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_local_overlay_never_pulls() -> None:
    assert container(overlay("local"))["imagePullPolicy"] == "Never"


def test_the_namespaced_overlay_has_no_cluster_role_and_no_binding_of_one() -> None:
    kinds = {item["kind"] for item in overlay("namespaced")}
    assert {"Role", "RoleBinding"} <= kinds
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds
    assert only(overlay("namespaced"), "RoleBinding")["roleRef"]["kind"] == "Role"


def cluster_rules() -> list[dict[str, Any]]:
    return list(by_key(overlay("cluster"))["ClusterRole", "", OPERATOR]["rules"])


def test_the_namespaced_role_is_the_cluster_role_without_what_has_no_namespace() -> None:
    left_out = [rule for rule in cluster_rules() if rule not in only(overlay("namespaced"), "Role")["rules"]]
    assert left_out == [
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "verbs": ["list", "watch"],
        }
    ]


def test_no_rule_of_the_operator_has_a_wildcard_or_lists_secrets() -> None:
    for rule in cluster_rules():
        assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
        assert "secrets" not in rule["resources"] or rule["verbs"] == ["get"]


def test_a_served_namespace_gets_the_role_and_binds_it_to_the_operator_where_that_runs(tmp_path: Path) -> None:
    role, binding = overlay_in("team-a", "namespaced/served", tmp_path)
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "team-a")
    assert role["rules"] == only(overlay("namespaced"), "Role")["rules"]
    assert (binding["kind"], binding["metadata"]["namespace"]) == ("RoleBinding", "team-a")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": SYSTEM}]


def test_where_the_namespaced_overlay_is_put_elsewhere_all_of_it_moves(tmp_path: Path) -> None:
    found = overlay_in("mine", "namespaced", tmp_path)
    assert {item["metadata"].get("namespace", "mine") for item in found} == {"mine"}
    assert only(found, "RoleBinding")["subjects"][0]["namespace"] == "mine"
    assert read_settings((), environment(found)).namespaces == ("mine",)


def test_the_roles_for_people_never_write_a_status() -> None:
    found = by_key(overlay("cluster"))
    viewer, editor = (found["ClusterRole", "", name] for name in ("s3sync-viewer", "s3sync-editor"))
    verbs = {verb for rule in viewer["rules"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}
    of_status = [rule["verbs"] for rule in editor["rules"] if "pachydermsyncs/status" in rule["resources"]]
    assert of_status == [["get"]]


def test_kustomize_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    with pytest.raises(KubectlError, match="kustomization"):
        render(tmp_path)


def test_monitoring_is_a_component_that_a_kustomization_adds(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("local", "chart"))
    shutil.copytree(ROOT / "crd", tmp_path / "crd")
    wanted = {"resources": ["deploy/overlays/cluster"], "components": ["deploy/monitoring"]}
    (tmp_path / "kustomization.yaml").write_text(yaml_text.dump(wanted))
    found = objects(render(tmp_path))
    added = {(item["kind"], item["metadata"]["namespace"]) for item in found if item not in overlay("cluster")}
    assert added == {(kind, SYSTEM) for kind in ("ServiceMonitor", "PrometheusRule", "ConfigMap")}
    monitor, service = only(found, "ServiceMonitor"), only(found, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert only(found, "PrometheusRule")["spec"] == yaml_text.load((DEPLOY / "monitoring/rules.yaml").read_text())
