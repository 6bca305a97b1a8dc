"""Installing, upgrading and uninstalling the chart on a real API server."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from s3sync_local.cluster import LocalCluster
from s3sync_local.manifests import CHART
from tests.support.deploy import BARE_CLUSTER, OPERATOR, SYSTEM, Call, Helm, HelmError, allowed
from tests.support.objects import sync_object

pytestmark = pytest.mark.xdist_group(BARE_CLUSTER)

SYNC = "pachydermsyncs.sync.pachyderm.io"
RELEASE = ("--namespace", SYSTEM)


@pytest.fixture(scope="module")
def release(fresh: LocalCluster, helm: Helm) -> Helm:
    """Helm with a cluster in which the release's namespace enforces the restricted standard."""
    fresh.create_namespace(SYSTEM)
    fresh.kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted")
    return Helm(helm.program, helm.home, fresh.kubeconfig)


@pytest.fixture(autouse=True)
def nothing_left(release: Helm, fresh: LocalCluster) -> Iterator[None]:
    """What a test leaves installed, and the definition that an uninstall keeps, are no matter of the next test."""
    yield
    release("uninstall", OPERATOR, *RELEASE, "--ignore-not-found")
    fresh.kubectl("delete", "crd", SYNC, "--ignore-not-found")


def definition(api: LocalCluster) -> dict[str, Any] | None:
    found = json.loads(api.kubectl("get", "crd", "-o", "json"))["items"]
    return next((item for item in found if item["metadata"]["name"] == SYNC), None)


def fields(api: LocalCluster) -> set[str]:
    """Return the names of the spec's fields that the installed definition has."""
    found = definition(api)
    assert found
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return set(schema["properties"]["spec"]["properties"])


def earlier_chart(folder: Path) -> Path:
    """Return a chart like this one, whose definition does not have the field `image` yet."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    crd = yaml.safe_load((chart / "files/crd.yaml").read_text())
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["image"]
    (chart / "files/crd.yaml").write_text(yaml.safe_dump(crd))
    return chart


def of_the_release(api: LocalCluster) -> set[str]:
    kinds = (
        "crd,clusterroles,clusterrolebindings,roles,rolebindings,deployments,services,serviceaccounts,networkpolicies"
    )
    listed = api.kubectl("get", kinds, "-A", "-l", f"app.kubernetes.io/instance={OPERATOR}", "-o", "name")
    return {name.split(".")[0].split("/")[0] for name in listed.split()}


ALL = {"clusterrole", "clusterrolebinding", "deployment", "service", "serviceaccount", "networkpolicy"}


def test_an_upgrade_brings_the_new_definition_and_an_uninstall_leaves_it_with_every_sync(
    release: Helm, fresh: LocalCluster, tmp_path: Path
) -> None:
    release("install", OPERATOR, str(earlier_chart(tmp_path)), *RELEASE)
    assert "image" not in fields(fresh)
    release("upgrade", OPERATOR, str(CHART), *RELEASE)
    assert "image" in fields(fresh)
    assert of_the_release(fresh) == ALL | {"customresourcedefinition"}

    fresh.wait_for(f"crd/{SYNC}", "Established")
    raw = sync_object("kept")
    raw["metadata"] = {"name": "kept", "namespace": "default"}
    fresh.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(raw))
    release("uninstall", OPERATOR, *RELEASE)
    assert of_the_release(fresh) == {"customresourcedefinition"}
    assert "kept" in fresh.kubectl("get", SYNC)


def test_a_definition_that_was_kept_is_taken_over_by_the_same_release_and_goes_where_keep_is_off(
    release: Helm, fresh: LocalCluster
) -> None:
    release("install", OPERATOR, str(CHART), *RELEASE)
    release("uninstall", OPERATOR, *RELEASE)
    assert of_the_release(fresh) == {"customresourcedefinition"}
    release("upgrade", "--install", OPERATOR, str(CHART), *RELEASE)
    release("upgrade", OPERATOR, str(CHART), *RELEASE, "--set=crds.keep=false")
    release("uninstall", OPERATOR, *RELEASE, "--wait")
    assert of_the_release(fresh) == set()
    assert definition(fresh) is None


def test_a_definition_that_kubectl_applied_is_adopted_only_when_asked(release: Helm, fresh: LocalCluster) -> None:
    fresh.kubectl("apply", "-k", str(CHART / "../../crd"))
    with pytest.raises(HelmError, match="cannot be imported into the current release"):
        release("install", OPERATOR, str(CHART), *RELEASE)
    release("install", OPERATOR, str(CHART), *RELEASE, "--take-ownership", "--force-conflicts")
    assert of_the_release(fresh) == ALL | {"customresourcedefinition"}
    release("uninstall", OPERATOR, *RELEASE)


def test_a_release_for_single_namespaces_binds_roles_there_and_no_cluster_role(
    release: Helm, fresh: LocalCluster
) -> None:
    fresh.create_namespace("team-a")
    flags = ("--set=namespaces={team-a}", "--set=crds.install=false")
    release("upgrade", "--install", OPERATOR, str(CHART), *RELEASE, *flags)
    user = f"system:serviceaccount:{SYSTEM}:{OPERATOR}"
    there, elsewhere = (Call("create", "tfjobs", namespace, "kubeflow.org") for namespace in ("team-a", "default"))
    assert allowed(fresh, user, [there, elsewhere]) == {there: True, elsewhere: False}
    assert not {"clusterrole", "clusterrolebinding"} & of_the_release(fresh)
    release("uninstall", OPERATOR, *RELEASE)
