from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.errors import refused
from tests.support.s3 import RawS3

Put = Callable[..., dict[str, Any]]


def test_a_file_is_read_with_size_and_etag(s3: Any, bucket: str, put: Put) -> None:
    etag = put("file", b"hello")["ETag"]
    answer = s3.get_object(Bucket=bucket, Key="file")
    assert answer["Body"].read() == b"hello"
    assert (answer["ContentLength"], answer["ETag"], answer["AcceptRanges"]) == (5, etag, "bytes")
    assert abs(answer["LastModified"] - datetime.now(UTC)) < timedelta(hours=1)


def test_head_tells_the_same_without_the_content(s3: Any, bucket: str, put: Put) -> None:
    etag = put("file", b"hello")["ETag"]
    answer = s3.head_object(Bucket=bucket, Key="file")
    assert (answer["ContentLength"], answer["ETag"]) == (5, etag)


@pytest.mark.parametrize(
    ("wanted", "content", "content_range"),
    [
        ("bytes=0-0", b"h", "bytes 0-0/5"),
        ("bytes=1-3", b"ell", "bytes 1-3/5"),
        ("bytes=2-", b"llo", "bytes 2-4/5"),
        ("bytes=-2", b"lo", "bytes 3-4/5"),
        ("bytes=3-99", b"lo", "bytes 3-4/5"),
    ],
)
def test_a_range_is_served_in_part(
    s3: Any, bucket: str, put: Put, wanted: str, content: bytes, content_range: str
) -> None:
    put("file", b"hello")
    answer = s3.get_object(Bucket=bucket, Key="file", Range=wanted)
    assert answer["Body"].read() == content
    assert (answer["ContentRange"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (content_range, 206)


def test_a_range_beyond_the_end_is_refused(raw: RawS3, bucket: str, put: Put) -> None:
    put("file", b"hello")
    answer = raw.request("GET", f"/{bucket}/file", headers={"Range": "bytes=5-"})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */5")


def test_a_range_that_makes_no_sense_is_refused(raw: RawS3, bucket: str, put: Put) -> None:
    put("file", b"hello")
    for wanted in ("nonsense", "bytes=3-1", "bytes=-"):
        assert raw.request("GET", f"/{bucket}/file", headers={"Range": wanted}).status == 416


def test_a_range_of_an_empty_file_is_the_empty_file(raw: RawS3, bucket: str, put: Put) -> None:
    put("empty", b"")
    answer = raw.request("GET", f"/{bucket}/empty", headers={"Range": "bytes=0-524287"})
    assert (answer.status, answer.body) == (200, b"")


def test_a_missing_key_is_no_such_key(s3: Any, bucket: str) -> None:
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="missing")
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="missing")


def test_a_directory_is_no_such_key(s3: Any, bucket: str, put: Put) -> None:
    put("dir/file")
    for key in ("dir", "dir/"):
        with refused("NoSuchKey", 404):
            s3.get_object(Bucket=bucket, Key=key)


def test_a_key_that_could_not_be_written_is_no_such_key(s3: Any, bucket: str, put: Put) -> None:
    put("Chapter 1.txt")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="Chapter [1].txt")


def test_conditions_on_the_etag_are_kept(raw: RawS3, bucket: str, put: Put) -> None:
    etag = put("file", b"hello")["ETag"]
    statuses = {
        name: [raw.request("GET", f"/{bucket}/file", headers={name: value}).status for value in (etag, '"other"')]
        for name in ("If-Match", "If-None-Match")
    }
    assert statuses == {"If-Match": [200, 412], "If-None-Match": [304, 200]}


def test_conditions_on_the_time_are_kept(raw: RawS3, bucket: str, put: Put) -> None:
    put("file", b"hello")
    past, future = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
    statuses = {
        name: [raw.request("GET", f"/{bucket}/file", headers={name: value}).status for value in (past, future)]
        for name in ("If-Modified-Since", "If-Unmodified-Since")
    }
    assert statuses == {"If-Modified-Since": [200, 304], "If-Unmodified-Since": [412, 200]}


@pytest.mark.parametrize(
    ("key", "content", "kind"),
    [
        ("page.html", b"x", "text/html; charset=utf-8"),
        ("noname", b"plain words", "text/plain; charset=utf-8"),
        ("binary", b"\x00\x01\x02", "application/octet-stream"),
    ],
)
def test_the_type_follows_from_name_or_content(
    s3: Any, bucket: str, put: Put, key: str, content: bytes, kind: str
) -> None:
    put(key, content)
    assert s3.head_object(Bucket=bucket, Key=key)["ContentType"] == kind


def test_old_commits_are_read_through_their_buckets(s3: Any, bucket: str, put: Put) -> None:
    first = put("file", b"one")["VersionId"]
    second = put("file", b"two")["VersionId"]
    put("later")
    for version, content in ((first, b"one"), (second, b"two")):
        answer = s3.get_object(Bucket=f"{version}.{bucket}", Key="file")
        assert (answer["Body"].read(), answer["VersionId"]) == (content, version)
        assert [item["Key"] for item in s3.list_objects(Bucket=f"{version}.{bucket}")["Contents"]] == ["file"]


def test_a_version_id_only_labels_the_heads_content(s3: Any, bucket: str, put: Put) -> None:
    first = put("file", b"one")["VersionId"]
    put("file", b"two")
    answer = s3.get_object(Bucket=bucket, Key="file", VersionId=first)
    assert (answer["Body"].read(), answer["VersionId"]) == (b"two", first)


def test_the_heads_content_carries_no_version(s3: Any, bucket: str, put: Put) -> None:
    put("file")
    assert "VersionId" not in s3.get_object(Bucket=bucket, Key="file")


def test_an_unknown_commit_cannot_be_read(raw: RawS3, bucket: str, put: Put) -> None:
    put("file")
    for path in ("/file", ""):
        answer = raw.request("GET", f"/{uuid4().hex}.{bucket}{path}")
        assert (answer.status, answer.code) == (500, "InternalError")


def test_a_commits_bucket_needs_a_branch_that_exists(s3: Any, put: Put, repo: str) -> None:
    version = put("file")["VersionId"]
    with refused("NoSuchBucket", 404):
        s3.get_object(Bucket=f"{version}.other.{repo}", Key="file")
