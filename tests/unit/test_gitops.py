"""What GitOps tools make of a sync: kstatus and Argo CD's Lua, over every step that a sync can take."""

import asyncio
from typing import Any

import pytest

from tests.support import objects
from tests.support.argocd import ACTIONS, ArgoCD
from tests.support.kstatus import breaches, kstatus
from tests.support.transitions import Step, transitions

ARGO = {"InProgress": "Progressing", "Current": "Healthy", "Failed": "Degraded", "Terminating": "Progressing"}
"""What Argo CD calls what kstatus calls so."""


def condition(kind: str, value: str) -> dict[str, Any]:
    return {"type": kind, "status": value, "observedGeneration": 1}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ({"observedGeneration": 0, "conditions": [condition("Stalled", "True")]}, "InProgress"),
        ({"conditions": [condition("Ready", "True"), condition("Reconciling", "True")]}, "InProgress"),
        ({"conditions": [condition("Ready", "True"), condition("Stalled", "True")]}, "Failed"),
        ({"conditions": [condition("Reconciling", "False"), condition("Ready", "True")]}, "Current"),
        ({"conditions": [condition("Ready", "False")]}, "InProgress"),
        ({"conditions": [condition("Ready", "Unknown")]}, "InProgress"),
        ({"conditions": [condition("Syncing", "True")]}, "Current"),
        ({}, "Current"),
    ],
)
def test_kstatus_is_what_it_is(status: Any, verdict: str) -> None:
    assert kstatus(objects.sync_object() | {"status": status}) == verdict


async def collected() -> list[Step]:
    return [step async for step in transitions()]


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return asyncio.run(collected())


def test_kstatus_sees_each_step_as_it_is(steps: list[Step]) -> None:
    assert {str(step): kstatus(step.raw) for step in steps} == {str(step): step.verdict for step in steps}


def test_no_step_breaks_what_kstatus_takes_for_granted(steps: list[Step]) -> None:
    assert {str(step): found for step in steps if (found := breaches(step.raw))} == {}


def test_argo_cd_sees_each_step_as_kstatus_does(steps: list[Step]) -> None:
    argocd = ArgoCD()
    for step in steps:
        found = argocd.health(step.raw)
        assert found["status"] == ("Suspended" if step.suspended else ARGO[step.verdict]), f"{step}: {found}"


def test_argo_cd_tells_the_message_of_the_condition_that_decides(steps: list[Step]) -> None:
    argocd = ArgoCD()
    by_name = {str(step): step.raw for step in steps}
    verified = by_name["a sync that succeeds and is changed: it is verified"]
    assert argocd.health(verified)["message"] == verified["status"]["conditions"][0]["message"]
    failed = by_name["a sync that is given up: the last attempt fails"]
    assert "given up after 2 attempts" in argocd.health(failed)["message"]


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": -1}, {"observedGeneration": 1}])
def test_a_sync_that_nobody_has_looked_at_is_progressing(status: Any) -> None:
    raw = objects.sync_object() | {"status": status}
    assert ArgoCD().health(raw)["status"] == "Progressing"


def test_what_can_be_done_is_offered() -> None:
    argocd = ArgoCD()
    assert argocd.offered(objects.sync_object()) == {"re-run": True, "suspend": True, "resume": False}
    suspended = objects.sync_object(suspend=True)
    assert argocd.offered(suspended) == {"re-run": False, "suspend": False, "resume": True}
    assert set(argocd.offered(suspended)) == set(ACTIONS)


def test_a_re_run_is_asked_for_by_the_annotation_with_the_time_and_nothing_else_changes() -> None:
    raw = objects.sync_object(filter={"include": [], "exclude": ["*.tmp"]}, workers=2, podTemplate={})
    found = ArgoCD(now=1795521601).act("re-run", raw)
    assert found.pop("metadata") == raw["metadata"] | {
        "annotations": {"sync.pachyderm.io/run-requested": "2026-11-24T12:00:01Z"}
    }
    assert found == {name: value for name, value in raw.items() if name != "metadata"}


def test_a_second_request_is_another_one_and_keeps_other_annotations() -> None:
    raw = objects.sync_object()
    raw["metadata"]["annotations"] = {"note": "mine"}
    first = ArgoCD(now=1795521601).act("re-run", raw)
    second = ArgoCD(now=1795521602).act("re-run", first)
    assert second["metadata"]["annotations"] == {
        "note": "mine",
        "sync.pachyderm.io/run-requested": "2026-11-24T12:00:02Z",
    }


def test_suspend_and_resume_lead_back_to_what_git_has() -> None:
    raw = objects.sync_object()
    suspended = ArgoCD().act("suspend", raw)
    assert suspended == raw | {"spec": raw["spec"] | {"suspend": True}}
    assert ArgoCD().act("resume", suspended) == raw
