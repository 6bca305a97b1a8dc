from collections.abc import Callable
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from tests.contract.errors import refused
from tests.support.s3 import RawS3

MIB = 1024 * 1024
Keys = Callable[[], list[str]]


class Upload:
    """An upload in the making."""

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self.s3, self.place = s3, {"Bucket": bucket, "Key": key}
        self.place["UploadId"] = s3.create_multipart_upload(**self.place)["UploadId"]

    def part(self, number: int, body: bytes) -> dict[str, Any]:
        answer = self.s3.upload_part(**self.place, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def complete(self, *parts: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.s3.complete_multipart_upload(**self.place, MultipartUpload={"Parts": list(parts)})
        return answer


@pytest.fixture
def upload(s3: Any, bucket: str) -> Upload:
    return Upload(s3, bucket, "dir/large file")


def test_parts_become_one_file(s3: Any, bucket: str, upload: Upload, keys: Keys) -> None:
    first, second = b"1" * (5 * MIB), b"2" * 1000
    parts = [upload.part(1, first), upload.part(2, second)]
    assert keys() == []
    answer = upload.complete(*parts)
    stored = s3.get_object(Bucket=bucket, Key="dir/large file")
    assert stored["Body"].read() == first + second
    assert stored["ETag"] == answer["ETag"]
    assert len(answer["VersionId"]) == 32


def test_a_range_can_lie_across_parts(s3: Any, bucket: str, upload: Upload) -> None:
    upload.complete(upload.part(1, b"1" * (5 * MIB)), upload.part(2, b"2" * 1000))
    wanted = f"bytes={5 * MIB - 3}-{5 * MIB + 2}"
    assert s3.get_object(Bucket=bucket, Key="dir/large file", Range=wanted)["Body"].read() == b"111222"


def test_a_single_small_part_has_a_small_files_etag(s3: Any, bucket: str, upload: Upload) -> None:
    plain = s3.put_object(Bucket=bucket, Key="plain", Body=b"small")["ETag"]
    assert upload.complete(upload.part(1, b"small"))["ETag"] == plain


def test_botos_transfer_manager_works(s3: Any, bucket: str, tmp_path: Any) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 4096 * 12)
    settings = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=2)
    s3.upload_file(str(source), bucket, "file", Config=settings)
    s3.download_file(bucket, "file", str(target), Config=settings)
    assert target.read_bytes() == source.read_bytes()


def test_a_small_part_before_the_last_is_too_small(upload: Upload, keys: Keys) -> None:
    parts = [upload.part(1, b"small"), upload.part(2, b"last")]
    with refused("EntityTooSmall", 400):
        upload.complete(*parts)
    assert keys() == []


def test_a_part_that_was_never_sent_is_invalid(upload: Upload) -> None:
    part = upload.part(1, b"small")
    with refused("InvalidPart", 400):
        upload.complete({**part, "PartNumber": 7})


def test_parts_out_of_order_are_refused(upload: Upload) -> None:
    parts = [upload.part(1, b"small"), upload.part(2, b"last")]
    with refused("InvalidPartOrder", 400):
        upload.complete(*reversed(parts))


def test_an_unknown_upload_is_no_such_upload(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "file", "UploadId": "unknown"}
    with refused("NoSuchUpload", 404):
        s3.upload_part(**place, PartNumber=1, Body=b"x")
    with refused("NoSuchUpload", 404):
        s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "x"}]})
    with refused("NoSuchUpload", 404):
        s3.abort_multipart_upload(**place)


def test_part_numbers_end_at_ten_thousand(upload: Upload) -> None:
    upload.part(10_000, b"x")
    with refused("InvalidArgument", 400):
        upload.part(10_001, b"x")


def test_an_aborted_upload_leaves_no_file(s3: Any, upload: Upload, keys: Keys) -> None:
    upload.part(1, b"x")
    assert s3.abort_multipart_upload(**upload.place)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert keys() == []


def test_parts_are_listed_while_and_after_they_are_of_use(s3: Any, upload: Upload) -> None:
    part = upload.part(1, b"x")
    s3.abort_multipart_upload(**upload.place)
    # Nothing is cleaned up: the gateway deletes a file by the directory's name.
    # The digits that an upload ID may begin with are listed as a part, too.
    assert 1 in [item["PartNumber"] for item in s3.list_parts(**upload.place)["Parts"]]
    upload.complete(part)


def test_parts_are_kept_in_a_repo_of_their_own(s3: Any, upload: Upload) -> None:
    upload.part(1, b"x")
    names = [item["Name"] for item in s3.list_buckets()["Buckets"]]
    assert "master._s3gateway_multipart_.default" in names


def test_a_refused_key_is_an_internal_error_from_the_start(raw: RawS3, bucket: str) -> None:
    answer = raw.request("POST", f"/{bucket}/Chapter%20%5B1%5D.txt?uploads")
    assert (answer.status, answer.code) == (500, "InternalError")


def test_a_missing_bucket_is_no_such_bucket(s3: Any, repo: str) -> None:
    with refused("NoSuchBucket", 404):
        s3.create_multipart_upload(Bucket=f"master.{repo}", Key="file")


def test_a_part_without_content_length_is_stored_all_the_same(raw: RawS3, s3: Any, bucket: str, upload: Upload) -> None:
    path = f"/{bucket}/dir/large%20file?partNumber=1&uploadId={upload.place['UploadId']}"
    answer = raw.request("PUT", path, b"1\r\nx\r\n0\r\n\r\n", {"Transfer-Encoding": "chunked"}, content_length=False)
    assert answer.status == 200
    upload.complete({"PartNumber": 1, "ETag": answer.headers["etag"]})
    assert s3.get_object(Bucket=bucket, Key="dir/large file")["Body"].read() == b"x"
