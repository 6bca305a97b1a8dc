"""What goes wrong on demand; for the stand-in alone, so that other suites can lean on it."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pachyderm_standin.process import StandinError, StandinProcess
from tests.contract.errors import refused
from tests.support.s3 import RawS3

Put = Callable[..., dict[str, Any]]


def test_a_status_hits_only_what_it_matches(raw: RawS3, standin: StandinProcess, bucket: str, put: Put) -> None:
    put("dir/file")
    standin.set_faults([{"action": "status", "method": "GET", "key": "dir/.*", "status": 503, "code": "SlowDown"}])
    assert (answer := raw.request("GET", f"/{bucket}/dir/file")).status == 503
    assert answer.code == "SlowDown"
    assert raw.request("GET", f"/{bucket}/other").code == "NoSuchKey"
    assert raw.request("HEAD", f"/{bucket}/dir/file").status == 200
    standin.clear_faults()
    assert raw.request("GET", f"/{bucket}/dir/file").status == 200


def test_a_rule_lets_some_through_and_hits_so_many(raw: RawS3, standin: StandinProcess, bucket: str, put: Put) -> None:
    put("file")
    standin.set_faults([{"action": "status", "operation": "GetObject", "after": 1, "times": 2, "status": 500}])
    assert [raw.request("GET", f"/{bucket}/file").status for _ in range(5)] == [200, 500, 500, 200, 200]


def test_latency_delays_and_then_answers(raw: RawS3, standin: StandinProcess, bucket: str, put: Put) -> None:
    put("file")
    standin.set_faults([{"action": "latency", "seconds": 0.05, "method": "GET"}])
    assert raw.request("GET", f"/{bucket}/file").body == b"content"


def test_a_hold_lasts_until_other_rules_are_in_force_and_requests_can_be_waited_for(
    raw: RawS3, standin: StandinProcess, bucket: str, put: Put
) -> None:
    put("file")
    standin.set_faults([{"action": "hold", "operation": "GetObject"}])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(raw.request, "GET", f"/{bucket}/file")
        standin.wait_for_requests("GetObject", "ListObjects")
        raw.request("HEAD", f"/{bucket}/file")
        assert not answer.done()
        standin.clear_faults()
        assert answer.result(timeout=30).body == b"content"
    with pytest.raises(StandinError, match=r"no 2 calls of GetObject in 0\.1 s.*'GetObject': 1"):
        standin.wait_for_requests("GetObject", calls=2, seconds=0.1)


def test_a_cut_ends_a_download_halfway(s3: Any, standin: StandinProcess, bucket: str, put: Put) -> None:
    put("file", b"0123456789" * 100_000)
    standin.set_faults([{"action": "cut", "operation": "GetObject"}])
    with pytest.raises(Exception, match=r"(?i)incomplete|broken"):
        s3.get_object(Bucket=bucket, Key="file")["Body"].read()


def test_a_cut_ends_an_upload_without_an_answer(raw: RawS3, standin: StandinProcess, bucket: str, put: Put) -> None:
    standin.set_faults([{"action": "cut", "operation": "PutObject"}])
    with pytest.raises((RemoteDisconnected, ConnectionError)):
        raw.request("PUT", f"/{bucket}/file", b"0123456789" * 100_000)
    standin.clear_faults()
    assert raw.request("GET", f"/{bucket}/file").code == "NoSuchKey"


def test_a_flip_corrupts_one_byte_on_the_way_out(raw: RawS3, standin: StandinProcess, bucket: str, put: Put) -> None:
    put("file", b"content")
    standin.set_faults([{"action": "flip", "offset": 3, "times": 1}])
    corrupted = raw.request("GET", f"/{bucket}/file").body
    assert [at for at, (one, other) in enumerate(zip(corrupted, b"content", strict=True)) if one != other] == [3]
    assert raw.request("GET", f"/{bucket}/file").body == b"content"


def test_a_flip_counts_from_the_files_start_in_a_range_too(
    raw: RawS3, standin: StandinProcess, bucket: str, put: Put
) -> None:
    put("file", b"content")
    standin.set_faults([{"action": "flip", "offset": 3}])
    assert raw.request("GET", f"/{bucket}/file", headers={"Range": "bytes=4-6"}).body == b"ent"
    assert raw.request("GET", f"/{bucket}/file", headers={"Range": "bytes=3-4"}).body == b"ue"


def test_a_store_flip_corrupts_what_is_kept(raw: RawS3, standin: StandinProcess, bucket: str, put: Put) -> None:
    standin.set_faults([{"action": "store-flip", "key": "file", "offset": 0}])
    put("file", b"content")
    standin.clear_faults()
    assert raw.request("GET", f"/{bucket}/file").body == b"bontent"


def test_a_dropped_bucket_is_gone_midway(s3: Any, standin: StandinProcess, bucket: str, put: Put) -> None:
    standin.set_faults([{"action": "drop-bucket", "operation": "PutObject", "after": 1, "times": 1}])
    put("first")
    with refused("NoSuchBucket", 404):
        put("second")
    with refused("404", 404):
        s3.head_bucket(Bucket=bucket)


def test_requests_are_counted(s3: Any, standin: StandinProcess, bucket: str, put: Put) -> None:
    standin.reset_requests()
    put("file")
    s3.get_object(Bucket=bucket, Key="file")["Body"].read()
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="missing")
    assert standin.requests() == {
        "total": 3,
        "by_method": {"PUT": 1, "GET": 2},
        "by_operation": {"PutObject": 1, "GetObject": 2},
    }


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"action": "explode"}, r"rules\.0\.action.*'status', 'latency', 'cut'"),
        ({}, r"rules\.0\.action: Field required"),
        ({"action": "cut", "key": "["}, r"rules\.0\.key.*not a regular expression"),
        ({"action": "cut", "colour": "red"}, r"rules\.0\.colour.*not permitted"),
        ({"action": "latency"}, r"rules\.0.*seconds greater than 0"),
        ({"action": "status", "status": 200}, r"rules\.0\.status.*greater than or equal to 400"),
    ],
)
def test_a_wrong_rule_is_refused_by_field_and_the_old_ones_stay(
    raw: RawS3, standin: StandinProcess, rule: Mapping[str, object], complaint: str
) -> None:
    standin.set_faults([{"action": "status", "status": 500, "operation": "ListBuckets"}])
    with pytest.raises(StandinError, match=complaint):
        standin.set_faults([rule])
    assert raw.request("GET", "/").status == 500


def test_commits_of_an_unknown_repo_are_not_found(standin: StandinProcess) -> None:
    with pytest.raises(StandinError, match="repo default/missing not found"):
        standin.commits("missing")
