"""What GitOps tools do with syncs on a real API server: apply without drift, wait, and judge by kstatus and by CEL."""

import asyncio
import json
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED, GROUP, KIND, PLURAL, VERSION
from s3sync_operator.crd import crd
from tests.integration.conftest import Syncs, conditions
from tests.support.argocd import ArgoCD
from tests.support.kstatus import breaches, kstatus
from tests.support.operator_process import OperatorProcess
from tests.support.transitions import Step, transitions

FLUX = Path(__file__).resolve().parents[2] / "deploy/gitops/flux/syncs.yaml"
WAIT_SECONDS = 30


def manifest(syncs: Syncs, name: str, **spec: Any) -> str:
    raw = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": "an-application"}},
        "spec": {"repo": name, "endpoint": syncs.endpoint} | spec,
    }
    return yaml.safe_dump(raw)


# --- No drift. --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [(), ("--server-side", "--field-manager=argocd-controller")], ids=["client", "server"])
def test_after_the_operator_has_acted_nothing_differs_from_what_was_applied(
    syncs: Syncs, operator: OperatorProcess, side: tuple[str, ...]
) -> None:
    name = next(syncs.names)
    wanted = manifest(syncs, name, filter={"exclude": ["*.tmp"]}, workers=1, podTemplate={})
    syncs.kubectl("apply", *side, "-f", "-", stdin=wanted)
    syncs.wait_ready(name)
    version = syncs.get(name)["metadata"]["resourceVersion"]
    assert syncs.kubectl("diff", *side, "-f", "-", stdin=wanted) == ""
    syncs.kubectl("apply", *side, "-f", "-", stdin=wanted)
    written = syncs.get(name)
    assert written["metadata"]["resourceVersion"] == version, "what was applied again is not the same"
    assert written["spec"] == yaml.safe_load(wanted)["spec"]
    assert set(written["metadata"]) == {
        "annotations", "creationTimestamp", "generation", "labels", "name", "namespace", "resourceVersion", "uid"
    } - ({"annotations"} if side else set())  # fmt: skip


def test_the_operator_owns_its_status_and_nothing_else(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply()
    syncs.wait_ready(name)
    raw = json.loads(syncs.kubectl("get", "ps3", name, "-o", "json", "--show-managed-fields"))
    managers = {item["manager"]: item for item in raw["metadata"]["managedFields"]}
    (own,) = (item for manager, item in managers.items() if not manager.startswith("kubectl"))
    assert own["subresource"] == "status"
    assert set(own["fieldsV1"]) == {"f:status"}


def test_another_field_manager_sets_a_field_of_its_own_without_a_conflict(
    syncs: Syncs, operator: OperatorProcess
) -> None:
    name = next(syncs.names)
    mine = ("apply", "--server-side", "--field-manager=argocd-controller", "-f", "-")
    syncs.kubectl(*mine, stdin=manifest(syncs, name))
    first = syncs.wait_ready(name)
    theirs = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"historyLimit": 3},
    }
    syncs.kubectl("apply", "--server-side", "--field-manager=somebody", "-f", "-", stdin=yaml.safe_dump(theirs))
    syncs.wait_for(name, lambda status: status["observedGeneration"] == 2, "acknowledged")
    syncs.kubectl(*mine, stdin=manifest(syncs, name))
    assert syncs.get(name)["spec"]["historyLimit"] == 3
    diff = ("diff", "--server-side", "--field-manager=argocd-controller", "-f", "-")
    assert syncs.kubectl(*diff, stdin=manifest(syncs, name)) == ""
    assert syncs.get(name)["status"]["completionTime"] == first["completionTime"]


def test_replacing_a_sync_by_the_same_manifest_begins_no_second_run(syncs: Syncs, operator: OperatorProcess) -> None:
    name = next(syncs.names)
    wanted = manifest(syncs, name)
    syncs.kubectl("create", "-f", "-", stdin=wanted)
    first = syncs.wait_ready(name)
    syncs.kubectl("replace", "-f", "-", stdin=wanted)
    syncs.kubectl("wait", "--for=condition=Ready", f"ps3/{name}", "--timeout=30s")
    # A re-run that was asked for and is stripped again by a replacement is not run again either.
    syncs.kubectl("annotate", "ps3", name, f"{ANNOTATION_RUN_REQUESTED}=one")
    second = syncs.wait_for(name, lambda status: len(status.get("history", ())) == 2, "run again")
    syncs.kubectl("replace", "-f", "-", stdin=wanted)
    syncs.apply(name, historyLimit=4)
    status = syncs.wait_for(name, lambda status: status["observedGeneration"] == 2, "acknowledged")
    assert [run["completionTime"] for run in status["history"]] == [second["completionTime"], first["completionTime"]]


# --- kstatus, as a tool that waits sees it. ---------------------------------------------------------------------------


@contextmanager
def watched(syncs: Syncs, name: str) -> Iterator[list[dict[str, Any]]]:
    """Collect every version of a sync that a watch delivers meanwhile."""
    command = [syncs.cluster.kubectl_path, "--kubeconfig", syncs.cluster.kubeconfig, "-n", syncs.namespace]  # type: ignore[attr-defined]
    command += ["get", PLURAL, "--field-selector", f"metadata.name={name}", "--watch", "-o", "jsonpath={@}{'\\n'}"]
    seen: list[dict[str, Any]] = []
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=lambda: seen.extend(map(json.loads, process.stdout or ())))
        reader.start()
        try:
            yield seen
            until_seen(seen, int(syncs.get(name)["metadata"]["resourceVersion"]))
        finally:
            process.terminate()
            reader.join(WAIT_SECONDS)


def until_seen(seen: list[dict[str, Any]], version: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not any(int(raw["metadata"]["resourceVersion"]) >= version for raw in seen):
        assert time.monotonic() < deadline, "the watch has not delivered the last version"
        time.sleep(0.05)


def in_turn(seen: list[dict[str, Any]]) -> list[str]:
    """Return kstatus' verdicts in their order, each once while it lasts."""
    return [verdict for verdict, _ in groupby(map(kstatus, seen))]


def test_a_sync_is_in_progress_until_it_is_current_and_a_re_run_does_not_change_that(
    syncs: Syncs, operator: OperatorProcess
) -> None:
    name = next(syncs.names)
    with watched(syncs, name) as seen:
        syncs.apply(name)
        first = syncs.wait_ready(name)
        syncs.kubectl("annotate", "ps3", name, f"{ANNOTATION_RUN_REQUESTED}=one")
        syncs.wait_for(name, lambda status: len(status.get("history", ())) == 2, "run again")
        syncs.apply(name, suspend=True)
        syncs.wait_for(name, lambda status: status["observedGeneration"] == 2, "acknowledged")
        syncs.apply(name, inputPath="testdata/Moby Dick", suspend=True)
        syncs.wait_phase(name, "Suspended")
        syncs.apply(name, inputPath="testdata/Moby Dick", suspend=False)
        last = syncs.wait_for(name, lambda status: len(status.get("history", ())) == 3, "run by its new spec")
    assert first["completionTime"] != last["completionTime"]
    assert last["conditions"][0]["status"] == "True"
    assert [found for raw in seen if (found := breaches(raw))] == []
    # Each new generation is in progress until the operator has seen it; the re-run is not.
    turns = in_turn(seen)
    assert turns[:2] == ["InProgress", "Current"]
    assert turns[-1] == "Current"
    assert set(turns) == {"InProgress", "Current"}
    rerun = [raw for raw in seen if "Syncing" in conditions(raw["status"])]
    assert rerun, "the re-run was not seen"
    assert {kstatus(raw) for raw in rerun} == {"Current"}
    argocd = ArgoCD()
    assert {argocd.health(raw)["status"] for raw in rerun} == {"Healthy"}
    assert {argocd.health(raw)["status"] for raw in seen if raw["status"].get("phase") == "Suspended"} <= {
        "Suspended", "Progressing"
    }  # fmt: skip


def test_a_sync_that_is_retried_is_in_progress_and_one_that_is_given_up_has_failed(
    syncs: Syncs, operator: OperatorProcess
) -> None:
    name = next(syncs.names)
    with watched(syncs, name) as seen:
        syncs.apply(name, endpoint="http://127.0.0.1:9", runPolicy={"backoffLimit": 1})
        syncs.wait_stalled(name)
        syncs.apply(name)
        syncs.wait_ready(name)
    assert [found for raw in seen if (found := breaches(raw))] == []
    assert in_turn(seen) == ["InProgress", "Failed", "InProgress", "Current"]
    assert "Retrying" in {raw["status"].get("phase") for raw in seen}


def test_an_argo_cd_action_is_a_patch_that_the_operator_acts_upon(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply()
    syncs.wait_ready(name)
    argocd = ArgoCD()

    def act(action: str) -> None:
        raw = syncs.get(name)
        assert argocd.offered(raw)[action]
        syncs.kubectl("replace", "-f", "-", stdin=json.dumps(argocd.act(action, raw)))

    act("re-run")
    syncs.wait_for(name, lambda status: len(status.get("history", ())) == 2, "run again")
    act("suspend")
    syncs.wait_for(name, lambda status: status["observedGeneration"] == 2, "acknowledged")
    assert argocd.health(syncs.get(name))["status"] == "Suspended"
    act("resume")
    syncs.wait_for(name, lambda status: status["observedGeneration"] == 3, "acknowledged")
    assert argocd.health(syncs.get(name))["status"] == "Healthy"
    assert "suspend" not in syncs.get(name)["spec"]


# --- Flux's expressions, evaluated by the API server's own CEL, which is Flux's. --------------------------------------


def flux_expressions() -> dict[str, str]:
    (found,) = yaml.safe_load(FLUX.read_text())["spec"]["healthCheckExprs"]
    assert (found.pop("apiVersion"), found.pop("kind")) == (f"{GROUP}/{VERSION}", KIND)
    return dict(found)


def of_object(expression: str) -> str:
    """Flux has an object's fields as variables, the API server has them in `object`."""
    return re.sub(r"(?<![.\w])(status|spec|metadata)\.", r"object.\1.", expression)


RULE = {"apiGroups": ["flux.test"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["*"]}
PROBE = {"group": "flux.test", "version": "v1", "plural": "probes"}


@pytest.fixture
async def judge(installed: LocalCluster, api: client.ApiClient) -> AsyncIterator[client.CustomObjectsApi]:
    """A kind that takes any object, and a policy that refuses each with what Flux's expressions say of it."""
    said = " + ' ' + ".join(f"'{name}=' + string({of_object(text)})" for name, text in flux_expressions().items())
    installed.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(probe_objects(said)))
    installed.kubectl("wait", "--for=condition=Established", "crd/probes.flux.test", "--timeout=30s")
    yield client.CustomObjectsApi(api)
    installed.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(probe_objects(said)))


def probe_objects(said: str) -> list[dict[str, Any]]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "probes.flux.test"},
            "spec": {
                "group": PROBE["group"],
                "scope": "Cluster",
                "names": {"kind": "Probe", "plural": "probes", "singular": "probe"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "flux.test"},
            "spec": {
                "matchConstraints": {"resourceRules": [RULE]},
                "validations": [{"expression": "false", "messageExpression": said}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "flux.test"},
            "spec": {"policyName": "flux.test", "validationActions": ["Deny"]},
        },
    ]


def verdicts(message: str) -> dict[str, bool]:
    found = dict(re.findall(r"(\w+)=(true|false)", message))
    assert set(found) == set(flux_expressions()), message
    return {name: value == "true" for name, value in found.items()}


async def told(judge: client.CustomObjectsApi, raw: dict[str, Any]) -> dict[str, bool]:
    """Return what each expression says of an object; a policy that has just been made is waited for."""
    body = {
        "apiVersion": "flux.test/v1", "kind": "Probe", "metadata": {"name": "probe"},
        "spec": raw["spec"], "status": raw["status"],
    }  # fmt: skip
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await judge.create_cluster_custom_object(**PROBE, body=body, dry_run="All")
            except ApiException as error:
                return verdicts(json.loads(error.body)["message"])
            await asyncio.sleep(0.5)


async def flux(judge: client.CustomObjectsApi, raw: dict[str, Any]) -> str:
    """Return how Flux sees an object: as runtime/cel/status_evaluator.go of fluxcd/pkg decides."""
    if raw["status"].get("observedGeneration", raw["metadata"]["generation"]) != raw["metadata"]["generation"]:
        return "InProgress"
    found = await told(judge, raw)
    order = {"inProgress": "InProgress", "failed": "Failed", "current": "Current"}
    return next((verdict for name, verdict in order.items() if found[name]), "InProgress")


async def test_flux_sees_each_step_as_kstatus_does_but_waits_for_nothing_that_is_suspended(
    judge: client.CustomObjectsApi,
) -> None:
    steps: list[Step] = [step async for step in transitions() if step.verdict != "Terminating"]
    found = {str(step): await flux(judge, step.raw) for step in steps}
    assert found == {str(step): step.knowing_suspension for step in steps}


# --- What people read. ------------------------------------------------------------------------------------------------


def test_explain_has_a_line_and_a_sentence_for_every_field(installed: LocalCluster) -> None:
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for part in ("spec", "status"):
        text = installed.kubectl("explain", f"{PLURAL}.{part}")
        folded = re.sub(r"\s+", " ", text)
        for name, field in schema[part]["properties"].items():
            assert re.search(rf"^  {name}\s+<", text, re.MULTILINE), f"{part}.{name}"
            assert field["description"].rstrip().endswith((".", "]", ")")), f"{part}.{name} has no sentence"
            assert re.sub(r"\s+", " ", field["description"]) in folded, f"{part}.{name}"


def test_explain_knows_which_values_a_field_takes(installed: LocalCluster) -> None:
    text = installed.kubectl("explain", f"{PLURAL}.spec.client")
    assert re.search(r"ENUM:\s+file_io\s+minio\s+pfs\s", text), text
