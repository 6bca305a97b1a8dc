import base64
import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.contract.errors import refused
from tests.support.s3 import RawS3, s3_client

Put = Callable[..., dict[str, Any]]
Keys = Callable[[], list[str]]


def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def test_every_put_on_a_closed_head_is_a_commit_of_its_own(put: Put) -> None:
    versions = [put(f"file-{number}")["VersionId"] for number in range(3)]
    assert len(set(versions)) == 3
    assert all(len(version) == 32 and version[12] == "4" for version in versions)


def test_writing_again_replaces_the_content(s3: Any, bucket: str, put: Put) -> None:
    put("file", b"first and longer")
    put("file", b"second")
    assert s3.get_object(Bucket=bucket, Key="file")["Body"].read() == b"second"


@pytest.mark.parametrize("key", ["Moby Dick/Chapter 1 Loomings.txt", "a/b/c/d", "-_.~,;:'\"<>|#%&=$`", "a" * 800])
def test_printable_keys_come_back_as_they_went(s3: Any, bucket: str, put: Put, keys: Keys, key: str) -> None:
    put(key, b"kept")
    assert keys() == [key]
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"kept"


@pytest.mark.parametrize("character", [*"*?[]{}!()@+^", "é", "\t", "\x7f", "☃"])
def test_a_key_with_a_refused_character_is_an_invalid_file_path(put: Put, keys: Keys, character: str) -> None:
    with refused("InvalidFilePath", 400):
        put(f"dir/Chapter {character}.txt")
    assert keys() == []


def test_a_key_with_a_backslash_is_written_and_listed_but_never_read(
    raw: RawS3, bucket: str, put: Put, keys: Keys
) -> None:
    # The gateway takes the key for a pattern on reading, in which a backslash stands for nothing.
    put("back\\slash")
    assert keys() == ["back\\slash"]
    answer = raw.request("GET", f"/{bucket}/back%5Cslash")
    assert (answer.status, answer.code) == (500, "InternalError")


def test_a_key_with_a_line_feed_is_no_key_at_all(raw: RawS3, bucket: str) -> None:
    answer = raw.request("PUT", f"/{bucket}/a%0Ab", b"x")
    assert (answer.status, answer.code) == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("key", "clean"),
    [
        ("a//b", "/a/b"),
        ("/a", "/a"),
        ("a/./b", "/a/b"),
        ("a/../b", "/b"),
        ("a/..", ""),
        (".", ""),
        ("a%2F%2Fb", "/a/b"),
    ],
)
def test_a_key_with_empty_or_relative_elements_is_redirected(raw: RawS3, bucket: str, key: str, clean: str) -> None:
    answer = raw.request("PUT", f"/{bucket}/{key}", b"x")
    assert (answer.status, answer.headers["location"]) == (301, f"/{bucket}{clean}")


def test_a_key_with_a_slash_at_the_end_makes_a_file(s3: Any, bucket: str, put: Put, keys: Keys) -> None:
    put("dir/", b"a file")
    assert keys() == ["dir"]
    assert s3.get_object(Bucket=bucket, Key="dir/")["Body"].read() == b"a file"


def test_a_file_where_a_directory_stands_is_an_internal_error(raw: RawS3, bucket: str, put: Put, keys: Keys) -> None:
    put("dir/file")
    answer = raw.request("PUT", f"/{bucket}/dir", b"x")
    assert (answer.status, answer.code) == (500, "InternalError")
    put("after")
    assert keys() == ["after", "dir/file"]


def test_a_file_below_a_file_is_answered_200_and_lost(raw: RawS3, bucket: str, put: Put, keys: Keys) -> None:
    put("name")
    assert raw.request("PUT", f"/{bucket}/name/below", b"x").status == 200
    assert raw.request("GET", f"/{bucket}").status == 500
    put("after")
    assert keys() == ["after", "name"]


def test_an_empty_files_etag_is_the_hash_of_nothing(put: Put) -> None:
    assert put("empty", b"")["ETag"] == f'"{blake2b(b"").hex()}"'


@pytest.mark.parametrize("content", [b"x", b"hello", bytes(range(256)) * 40, b"n" * 999_999])
def test_a_small_files_etag_is_the_hash_of_its_hash(put: Put, content: bytes) -> None:
    assert put("file", content)["ETag"] == f'"{blake2b(blake2b(content)).hex()}"'


def test_a_large_files_etag_is_neither_md5_nor_the_hash_of_its_hash(put: Put) -> None:
    content = b"0123456789" * 3_000_000
    etag = put("file", content)["ETag"].strip('"')
    assert len(bytes.fromhex(etag)) == 32
    assert etag != blake2b(blake2b(content)).hex()


def test_content_md5_is_enforced(raw: RawS3, bucket: str, keys: Keys) -> None:
    right = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"y").digest()).decode()
    assert raw.request("PUT", f"/{bucket}/good", b"x", {"Content-MD5": right}).status == 200
    for value, code in ((wrong, "BadDigest"), ("nonsense", "InvalidDigest")):
        answer = raw.request("PUT", f"/{bucket}/bad", b"x", {"Content-MD5": value})
        assert (answer.status, answer.code) == (400, code)
    assert keys() == ["good"]


def test_a_put_without_content_length_is_refused(raw: RawS3, bucket: str) -> None:
    answer = raw.request("PUT", f"/{bucket}/file", content_length=False)
    assert (answer.status, answer.code) == (411, "MissingContentLength")
    chunked = raw.request(
        "PUT", f"/{bucket}/file", b"1\r\nx\r\n0\r\n\r\n", {"Transfer-Encoding": "chunked"}, content_length=False
    )
    assert (chunked.status, chunked.code) == (411, "MissingContentLength")


def test_signed_chunks_are_taken_apart(raw: RawS3, s3: Any, bucket: str) -> None:
    chunks = [b"first " * 20_000, b"second"]
    assert raw.put_in_signed_chunks(f"/{bucket}/file", chunks).status == 200
    assert s3.get_object(Bucket=bucket, Key="file")["Body"].read() == b"".join(chunks)


def test_a_chunk_with_a_wrong_signature_stores_nothing(raw: RawS3, bucket: str, keys: Keys) -> None:
    assert raw.put_in_signed_chunks(f"/{bucket}/file", [b"content"], break_signature=True).status == 500
    assert keys() == []


def test_unsigned_chunks_are_stored_as_they_came(raw: RawS3, s3: Any, bucket: str) -> None:
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    raw.request("PUT", f"/{bucket}/file", body, {"Content-Encoding": "aws-chunked"})
    assert s3.get_object(Bucket=bucket, Key="file")["Body"].read() == body


def test_botos_own_checksums_are_fine_over_http(target: Any, bucket: str) -> None:
    client = s3_client(target.endpoint, target.access_key, target.secret_key)
    client.meta.config.request_checksum_calculation = "when_supported"
    client.put_object(Bucket=bucket, Key="file", Body=b"hello", ChecksumAlgorithm="CRC32")
    assert client.get_object(Bucket=bucket, Key="file")["Body"].read() == b"hello"
    client.close()


def test_a_finished_commits_bucket_takes_no_puts(raw: RawS3, bucket: str, put: Put, keys: Keys) -> None:
    version = put("file")["VersionId"]
    answer = raw.request("PUT", f"/{version}.{bucket}/late", b"x")
    assert answer.status == 500
    assert b"already finished" in answer.body
    assert keys() == ["file"]


def test_an_unknown_commit_in_the_bucket_silently_makes_a_commit_on_the_branch(
    raw: RawS3, bucket: str, keys: Keys
) -> None:
    answer = raw.request("PUT", f"/{uuid4().hex}.{bucket}/{quote('trapped file')}", b"x")
    # The answer is an error, and yet the file is there.
    assert answer.status == 500
    assert keys() == ["trapped file"]
