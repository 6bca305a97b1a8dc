from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import HmacV1Auth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.contract.conftest import Target, auth_is_on, with_auth
from tests.support.s3 import REGION, RawS3


class LateAuth(S3SigV4Auth):  # type: ignore[misc] # botocore has no types.
    """Signs as if the clock stood elsewhere."""

    shift = timedelta(0)

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = (datetime.now(UTC) + self.shift).strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        string = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(string, request))


def signed_at(raw: RawS3, shift: timedelta) -> dict[str, str]:
    request = AWSRequest(method="GET", url=f"{raw.endpoint}/", headers={}, data=b"")
    auth = LateAuth(Credentials(raw.access_key, raw.secret_key or raw.access_key), "s3", REGION)
    auth.shift = shift
    auth.add_auth(request)
    return dict(request.headers.items())


def test_a_wrong_secret_key_does_not_match(raw: RawS3) -> None:
    answer = RawS3(raw.endpoint, raw.access_key, "another").request("GET", "/")
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_a_signature_covers_path_query_and_method(raw: RawS3, bucket: str) -> None:
    request = AWSRequest(method="GET", url=f"{raw.endpoint}/{bucket}?max-keys=1", headers={}, data=b"")
    S3SigV4Auth(Credentials(raw.access_key, raw.secret_key or raw.access_key), "s3", REGION).add_auth(request)
    headers = dict(request.headers.items())
    sent = [("GET", f"/{bucket}?max-keys=1"), ("GET", f"/{bucket}?max-keys=2"), ("GET", f"/{bucket}/x?max-keys=1")]
    sent.append(("PUT", f"/{bucket}?max-keys=1"))
    assert [raw.request(*line, headers=headers, sign=False).status for line in sent] == [200, 403, 403, 403]


def test_odd_paths_and_queries_are_signed_alike(s3: Any, raw: RawS3, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b/~c&d=e;f'.txt", Body=b"x")
    assert s3.list_objects(Bucket=bucket, Prefix="a b/~c&d=e;", Delimiter="/")["Contents"][0]["Size"] == 1


def test_a_clock_more_than_a_quarter_of_an_hour_off_is_refused(raw: RawS3) -> None:
    for minutes, status in ((-14, 200), (14, 200), (-16, 403), (16, 403)):
        answer = raw.request("GET", "/", headers=signed_at(raw, timedelta(minutes=minutes)), sign=False)
        assert (minutes, answer.status) == (minutes, status)
        assert answer.code == ("RequestTimeTooSkewed" if status == 403 else "")


def test_a_malformed_authorization_is_refused(raw: RawS3) -> None:
    for value, code in (("AWS4-HMAC-SHA256 x", "AuthorizationHeaderMalformed"), ("AWS x", "InvalidArgument")):
        answer = raw.request("GET", "/", headers={"Authorization": value}, sign=False)
        assert (answer.status, answer.code) == (400, code)


def test_version_2_signatures_work_without_amz_headers(raw: RawS3, bucket: str) -> None:
    request = AWSRequest(method="GET", url=f"{raw.endpoint}/{bucket}", headers={}, data=b"")
    request.auth_path = f"/{bucket}"
    HmacV1Auth(Credentials(raw.access_key, raw.secret_key or raw.access_key)).add_auth(request)
    headers = dict(request.headers.items())
    assert raw.request("GET", f"/{bucket}", headers=headers, sign=False).status == 200
    wrong = headers | {"Authorization": f"AWS {raw.access_key}:{'A' * 27}="}
    answer = raw.request("GET", f"/{bucket}", headers=wrong, sign=False)
    assert (answer.status, answer.code) == (403, "AccessDenied")


@pytest.fixture
def auth_off(target: Target) -> None:
    if target.standin is None and (not target.pachd_address or auth_is_on(target)):
        pytest.skip("needs a Pachyderm with auth off, and its PACHD_ADDRESS to know that")


def test_with_auth_off_any_equal_pair_of_keys_passes(auth_off: None, raw: RawS3) -> None:
    assert RawS3(raw.endpoint, "somebody").request("GET", "/").status == 200


def test_with_auth_off_unsigned_requests_pass(auth_off: None, raw: RawS3) -> None:
    assert raw.request("GET", "/", sign=False).status == 200


@with_auth
def test_with_auth_on_the_token_as_both_keys_passes(guarded: Target) -> None:
    assert RawS3(guarded.endpoint, guarded.access_key, ca_file=guarded.ca_file).request("GET", "/").status == 200


@with_auth
def test_with_auth_on_an_unknown_token_is_an_invalid_access_key(guarded: Target) -> None:
    answer = RawS3(guarded.endpoint, "unknown", ca_file=guarded.ca_file).request("GET", "/")
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")


@with_auth
def test_with_auth_on_unsigned_requests_are_denied(guarded: Target) -> None:
    answer = RawS3(guarded.endpoint, guarded.access_key, ca_file=guarded.ca_file).request("GET", "/", sign=False)
    assert (answer.status, answer.code) == (403, "AccessDenied")


@with_auth
def test_with_auth_on_the_token_with_another_secret_does_not_match(guarded: Target) -> None:
    answer = RawS3(guarded.endpoint, guarded.access_key, "another", guarded.ca_file).request("GET", "/")
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
