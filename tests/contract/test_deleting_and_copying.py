from collections.abc import Callable
from typing import Any

from pachyderm_standin.process import StandinProcess
from tests.contract.errors import refused
from tests.support.s3 import RawS3

Put = Callable[..., dict[str, Any]]
Keys = Callable[[], list[str]]


def test_a_deleted_file_is_gone(s3: Any, bucket: str, put: Put, keys: Keys) -> None:
    put("file")
    assert s3.delete_object(Bucket=bucket, Key="file")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert keys() == []


def test_deleting_what_is_missing_is_no_error(s3: Any, bucket: str) -> None:
    assert s3.delete_object(Bucket=bucket, Key="missing")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_deleting_a_directory_deletes_nothing(s3: Any, bucket: str, put: Put, keys: Keys) -> None:
    put("dir/file")
    for key in ("dir", "dir/"):
        s3.delete_object(Bucket=bucket, Key=key)
    assert keys() == ["dir/file"]


def test_deleting_a_refused_key_is_an_internal_error(raw: RawS3, bucket: str) -> None:
    answer = raw.request("DELETE", f"/{bucket}/Chapter%20%5B1%5D.txt")
    assert (answer.status, answer.code) == (500, "InternalError")


def test_deleting_a_version_is_not_implemented(s3: Any, bucket: str, put: Put) -> None:
    version = put("file")["VersionId"]
    with refused("NotImplemented", 501):
        s3.delete_object(Bucket=bucket, Key="file", VersionId=version)


def test_many_deletions_have_a_result_each(s3: Any, bucket: str, put: Put, keys: Keys) -> None:
    for key in ("one", "two", "three"):
        put(key)
    objects = [{"Key": key} for key in ("one", "two", "missing", "Chapter [1].txt", "../up")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert {item["Key"] for item in answer["Deleted"]} == {"one", "two", "missing"}
    assert {item["Key"]: item["Code"] for item in answer["Errors"]} == {
        "Chapter [1].txt": "InternalError",
        "../up": "InternalError",
    }
    assert keys() == ["three"]


def test_many_quiet_deletions_tell_only_errors(s3: Any, bucket: str, put: Put) -> None:
    put("one")
    objects = [{"Key": "one"}, {"Key": "a[b"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    assert "Deleted" not in answer
    assert [item["Key"] for item in answer["Errors"]] == ["a[b"]


def test_a_deletion_that_is_no_xml_is_malformed(raw: RawS3, bucket: str) -> None:
    answer = raw.request("POST", f"/{bucket}?delete", b"<Delete><Obj")
    assert (answer.status, answer.code) == (400, "MalformedXML")


def test_a_copy_has_content_and_etag_of_its_source(raw: RawS3, s3: Any, bucket: str, put: Put) -> None:
    etag = put("dir/source", b"copied")["ETag"]
    answer = raw.request("PUT", f"/{bucket}/target", headers={"x-amz-copy-source": f"/{bucket}/dir/source"})
    assert answer.status == 200
    copied = s3.get_object(Bucket=bucket, Key="target")
    assert (copied["Body"].read(), copied["ETag"]) == (b"copied", etag)


def test_a_copy_source_with_directories_needs_a_slash_in_front(s3: Any, bucket: str, put: Put) -> None:
    put("source")
    put("dir/source")
    s3.copy_object(Bucket=bucket, Key="target", CopySource=f"{bucket}/source")
    with refused("InvalidArgument", 400):
        s3.copy_object(Bucket=bucket, Key="target", CopySource=f"{bucket}/dir/source")


def test_a_copy_onto_itself_is_an_invalid_request(s3: Any, bucket: str, put: Put) -> None:
    put("file")
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="file", CopySource=f"{bucket}/file")


def test_a_copy_of_nothing_is_no_such_key(s3: Any, bucket: str) -> None:
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="target", CopySource=f"{bucket}/missing")


def test_a_copys_target_is_not_checked(raw: RawS3, standin: StandinProcess, bucket: str, put: Put, keys: Keys) -> None:
    put("source")
    raw.request("PUT", f"/{bucket}/Chapter%20%5B1%5D.txt", headers={"x-amz-copy-source": f"/{bucket}/source"})
    assert keys() == ["Chapter [1].txt", "source"]
    # No S3 request could delete such a file, which is why a real gateway is spared this test.
    standin.set_faults([{"action": "drop-bucket", "bucket": bucket}])
    assert raw.request("GET", f"/{bucket}").code == "NoSuchBucket"
