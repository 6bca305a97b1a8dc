import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync_operator.observed import job_seen, log_tail, observe, unexplained, without_texts
from s3sync_operator.report import find_report, without_report
from tests.support.objects import RUNNING, pod_object, terminated, tfjob_object, waiting
from tests.support.schemas import validator

GOLDEN = Path(__file__).parent.parent / "golden" / "report"
SAMPLES = sorted(path for path in GOLDEN.glob("*.json") if path.name != "schema.json")
REPORTS = validator(json.loads((GOLDEN / "schema.json").read_text()))
VERIFIED = json.dumps(json.loads((GOLDEN / "verified.json").read_text()))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_each_sample_report_keeps_the_schema_and_is_read_whole(path: Path) -> None:
    raw = json.loads(path.read_text())
    REPORTS.validate(raw)
    found = find_report(json.dumps(raw))
    assert found
    assert (found.result, found.reason, found.message) == (raw["result"], raw["reason"], raw["message"])
    assert (found.files.total, found.bytes.total, found.exit_code) == (
        raw["files"]["total"],
        raw["bytes"]["total"],
        raw["exitCode"],
    )
    assert len(found.failures) == len(raw["failures"])


def test_the_last_report_of_a_log_counts() -> None:
    later = json.dumps(json.loads(VERIFIED) | {"message": "later"})
    found = find_report(f"copying\n{VERIFIED}\nmore\n{later}\n")
    assert found
    assert found.message == "later"


@pytest.mark.parametrize(
    "text", ["", "s3syncReport", '{"s3syncReport": 1}', '{"s3syncReport": 2, "result": "Verified"}', "{"]
)
def test_what_is_not_a_whole_report_is_none(text: str) -> None:
    assert find_report(text) is None


def test_a_newer_job_may_tell_more() -> None:
    assert find_report(json.dumps(json.loads(VERIFIED) | {"fromTheFuture": 3}))


def test_a_person_reads_the_log_without_the_report() -> None:
    assert without_report(f"copied 2/2 files\n{VERIFIED}") == "copied 2/2 files"


def test_the_termination_message_comes_before_the_log() -> None:
    pod = pod_object("job", "Succeeded", state=terminated(0, VERIFIED))
    log = json.dumps(json.loads(VERIFIED) | {"message": "from the log"})
    seen = observe(tfjob_object("job"), [pod], {"job-worker-0": f"hello\n{log}"})
    assert seen.report
    assert "from the log" not in seen.report.message
    assert seen.log_tail == "hello"


def test_without_a_termination_message_the_report_is_taken_from_the_log() -> None:
    pod = pod_object("job", "Succeeded", state=terminated(0))
    assert observe(tfjob_object("job"), [pod], {"job-worker-0": f"hello\n{VERIFIED}"}).report


def test_secrets_are_blotted_out_of_all_that_a_job_wrote() -> None:
    pod = pod_object("job", "Failed", state=terminated(1, "boom hunter2"), message="said hunter2")
    seen = observe(
        tfjob_object("job"), [pod], {"job-worker-0": "key hunter2 and hunter2-long"}, ["hunter2", "hunter2-long"]
    )
    assert "hunter2" not in repr(seen)
    assert seen.log_tail == "key *** and ***"


def test_what_a_job_wrote_is_left_out_where_its_secrets_cannot_be_told() -> None:
    pod = pod_object("job", "Failed", state=terminated(1, f"hunter2\n{VERIFIED}"))
    seen = without_texts(observe(tfjob_object("job"), [pod], {"job-worker-0": "hunter2"}))
    assert "hunter2" not in repr(seen)
    assert seen.report


def test_a_long_log_is_cut_at_whole_lines() -> None:
    lines = [f"line {number} of the log" for number in range(200)]
    tail = log_tail("\n".join(lines))
    assert tail.splitlines() == lines[-len(tail.splitlines()) :]
    assert 900 < len(tail) <= 1024


@given(st.text(max_size=3000))
def test_any_log_gives_a_tail_of_at_most_one_kibibyte_of_whole_characters(text: str) -> None:
    tail = log_tail(text.encode(errors="replace").decode())
    assert len(tail.encode()) <= 1024


def test_what_waits_without_saying_why_is_asked_of_events() -> None:
    creating = pod_object("job", state=waiting("ContainerCreating")) | {"spec": {"nodeName": "n"}}
    pulling = pod_object("job", state=waiting("ImagePullBackOff")) | {"spec": {"nodeName": "n"}}
    homeless = pod_object("job")
    runs = pod_object("job", "Running", state=RUNNING) | {"spec": {"nodeName": "n"}}
    job = tfjob_object("job", condition="Created")
    assert unexplained(job, []) == [job]
    assert unexplained(job, [creating, pulling, homeless, runs]) == [creating]
    assert unexplained(job | {"spec": {"runPolicy": {"suspend": True}}}, []) == []
    assert unexplained(tfjob_object("job", condition="Failed"), []) == []
    assert unexplained(None, []) == []


def test_a_resumed_job_has_waited_since_it_was_resumed() -> None:
    job = tfjob_object("job") | {"status": {"startTime": "2026-11-24T15:00:00Z"}}
    seen = job_seen(job)
    assert (seen.created.hour, seen.started.hour if seen.started else None) == (12, 15)
