import json

import pytest
from kubernetes.aio.client.exceptions import ApiException

from s3sync_operator.cluster import _job_error
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError
from s3sync_operator.runners import TFJOB

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
