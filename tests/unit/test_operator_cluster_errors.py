import json
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from s3sync_operator.cluster import _job_error, latest_note
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError
from s3sync_operator.runners import JOB, TFJOB

CASES = [
    (404, "the server could not find the requested resource", TemporarySyncError, "TFJobCRDNotInstalled"),
    (403, 'tfjobs "x" is forbidden: exceeded quota: q, requested: count/tfjobs=1', TemporarySyncError, "QuotaExceeded"),
    (403, 'tfjobs is forbidden: User "u" cannot create resource', TemporarySyncError, "OperatorForbidden"),
    (403, 'admission webhook "policy" denied the request: no', PermanentSyncError, "TFJobRefused"),
    (422, 'TFJob "x" is invalid: spec: Required value', PermanentSyncError, "TFJobRefused"),
]


@pytest.mark.parametrize(("status", "said", "kind", "reason"), CASES, ids=[case[3] + str(case[0]) for case in CASES])
def test_a_refusal_of_a_tfjob_says_whether_waiting_may_help(
    status: int, said: str, kind: type[SyncError], reason: str
) -> None:
    error = ApiException(status=status, reason="Refused")
    error.body = json.dumps({"message": said})
    found = _job_error(error, TFJOB)
    assert isinstance(found, kind)
    assert found.reason == reason


def test_an_api_server_that_is_away_is_no_word_about_the_tfjob() -> None:
    error = ApiException(status=503, reason="Unavailable")
    assert _job_error(error, TFJOB) is error


def test_a_refusal_of_a_job_has_reasons_of_its_own() -> None:
    error = ApiException(status=422, reason="Invalid")
    error.body = json.dumps({"message": 'Job.batch "x" is invalid: spec.template.labels'})
    found = _job_error(error, JOB)
    assert isinstance(found, PermanentSyncError)
    assert (found.reason, "the API server refuses the Job" in found.message) == ("JobRefused", True)


def test_a_cluster_without_kubeflow_is_told_of_the_plain_job() -> None:
    assert "set spec.runner: Job" in str(_job_error(ApiException(status=404), TFJOB))


def event(note: str, **times: Any) -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": "2026-11-24T12:00:00Z"}, "reason": "FailedMount", "note": note, **times}


def test_of_several_events_the_one_that_was_last_seen_counts() -> None:
    events = [
        event("first", eventTime="2026-11-24T12:00:01.000000Z"),
        event("again", series={"lastObservedTime": "2026-11-24T12:05:00.000000Z", "count": 9}),
        event("once", deprecatedLastTimestamp="2026-11-24T12:04:00Z"),
    ]
    assert latest_note(events) == "FailedMount: again"
    assert latest_note([]) == ""
