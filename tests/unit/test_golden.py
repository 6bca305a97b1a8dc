"""Golden cases: a resource and what was seen in the cluster, and the TFJob or Job and the status that follow from them.

`UPDATE_GOLDEN=1 make unit` writes what the code says now; read the difference before you commit it.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from s3sync_operator.api import parse_sync
from s3sync_operator.crd import crd
from s3sync_operator.desired import Found, Staging, run_name
from s3sync_operator.observed import observe
from s3sync_operator.rendering import job_object
from s3sync_operator.runs import current_run
from s3sync_operator.settings import Settings
from s3sync_operator.status import judge, status_after
from tests.support import yaml_text
from tests.support.schemas import validator

CASES = Path(__file__).parent.parent / "golden" / "cases"
STATUS = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
STATUSES = validator(STATUS | {"additionalProperties": False})
NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)


def load(path: Path) -> Any:
    return yaml_text.load(path.read_text())


def hold_to(path: Path, found: Any) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        # Through JSON, so that what is equal in two places is written twice and not as an alias.
        path.write_text(yaml_text.dump(json.loads(json.dumps(found)), sort_keys=False, width=120))
    assert found == load(path)


def rendered(case: Path) -> dict[str, Any]:
    sync = parse_sync(load(case / "resource.yaml"))
    assert sync.spec
    seen = load(case / "cluster.yaml")
    staging = Staging(**seen["staging"]) if "staging" in seen else None
    found = Found(frozenset(seen.get("secretKeys", ())), frozenset(seen.get("certificateKeys", ())), staging)
    return job_object(sync, sync.spec, current_run(sync, sync.spec, NOW), Settings(), found)


@pytest.fixture(params=sorted(CASES.iterdir()), ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_resource_gives_its_job(case: Path) -> None:
    job = rendered(case)
    hold_to(case / f"{job['kind'].lower()}.yaml", job)


def test_what_was_seen_gives_the_status(case: Path) -> None:
    sync = parse_sync(load(case / "resource.yaml"))
    assert sync.spec
    seen, run = load(case / "cluster.yaml"), current_run(sync, sync.spec, NOW)
    name = run_name(sync, run)
    job = seen["job"]
    if job is not None:
        metadata = {"name": name, "creationTimestamp": "2026-11-24T12:00:00Z"}
        job = as_stored(job, rendered(case)) | {"metadata": metadata}
    created = {"creationTimestamp": "2026-11-24T12:00:01Z"}
    pods = [pod | {"metadata": {"name": f"{name}-worker-{index}", **created}} for index, pod in enumerate(seen["pods"])]
    for pod in pods:
        fill_in_report(pod)
    logs = {pod["metadata"]["name"]: seen.get("log", "") for pod in pods}
    warnings = {pods[int(index)]["metadata"]["name"]: text for index, text in seen.get("warnings", {}).items()}
    observation = observe(job, pods, logs, warnings=warnings)
    status = status_after(sync, sync.spec, run, judge(observation, NOW, Settings()), observation, NOW, Settings())
    hold_to(case / "status.yaml", status.model_dump(by_alias=True, mode="json", exclude_none=True))


def as_stored(seen: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The object as it was made; `suspend` stands for what Kueue has written into its spec since."""
    spec = dict(wanted["spec"])
    if seen.get("suspend") and wanted["kind"] == "TFJob":
        spec["runPolicy"] = spec["runPolicy"] | {"suspend": True}
    return {"kind": wanted["kind"], "spec": spec, "status": seen["status"]}


def fill_in_report(pod: dict[str, Any]) -> None:
    """A pod's `report` stands for the sample of that name, as its termination message."""
    sample = pod.pop("report", None)
    if sample:
        text = (CASES.parent / "report" / f"{sample}.json").read_text()
        state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        state["message"] = json.dumps(json.loads(text))


def test_a_golden_status_keeps_the_definitions_schema(case: Path) -> None:
    STATUSES.validate(load(case / "status.yaml"))
