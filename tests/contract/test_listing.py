from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.errors import refused
from tests.support.s3 import RawS3

Put = Callable[..., dict[str, Any]]
FILES = ["a.txt", "a/1", "a/b/2", "a/b/3", "b", "z/9"]


@pytest.fixture
def full(bucket: str, put: Put) -> str:
    """A bucket with a few files on several levels."""
    for key in FILES:
        put(key)
    return bucket


def listed(answer: dict[str, Any]) -> tuple[list[str], list[str]]:
    contents = [item["Key"] for item in answer.get("Contents", ())]
    return contents, [item["Prefix"] for item in answer.get("CommonPrefixes", ())]


def test_an_empty_bucket_lists_nothing(s3: Any, bucket: str) -> None:
    assert listed(s3.list_objects(Bucket=bucket)) == ([], [])


def test_keys_are_sorted_with_size_and_etag(s3: Any, bucket: str, put: Put) -> None:
    etag = put("b", b"12345")["ETag"]
    put("a")
    contents = s3.list_objects(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in contents] == ["a", "b"]
    assert (contents[1]["Size"], contents[1]["ETag"], contents[1]["StorageClass"]) == (5, etag, "STANDARD")


@pytest.mark.parametrize(
    ("prefix", "delimiter", "keys", "prefixes"),
    [
        ("", "", FILES, []),
        ("", "/", ["a.txt", "b"], ["a/", "z/"]),
        ("a", "/", ["a.txt"], ["a/"]),
        ("a/", "/", ["a/1"], ["a/b/"]),
        ("a/", "", ["a/1", "a/b/2", "a/b/3"], []),
        ("/a/", "", ["a/1", "a/b/2", "a/b/3"], []),
        ("a/b", "/", [], ["a/b/"]),
        ("a/b/2", "/", ["a/b/2"], []),
        ("missing/", "/", [], []),
    ],
)
def test_prefix_and_delimiter_cut_the_tree(
    s3: Any, full: str, prefix: str, delimiter: str, keys: list[str], prefixes: list[str]
) -> None:
    assert listed(s3.list_objects(Bucket=full, Prefix=prefix, Delimiter=delimiter)) == (keys, prefixes)


def test_another_delimiter_is_refused(s3: Any, bucket: str) -> None:
    with refused("InvalidDelimiter", 400):
        s3.list_objects(Bucket=bucket, Delimiter="-")


def test_markers_lead_through_all_pages(s3: Any, full: str) -> None:
    pages = list(s3.get_paginator("list_objects").paginate(Bucket=full, PaginationConfig={"PageSize": 2}))
    assert [key for page in pages for key in listed(page)[0]] == FILES
    assert [page["IsTruncated"] for page in pages] == [True, True, False]


def test_markers_lead_past_common_prefixes(s3: Any, full: str) -> None:
    paginator = s3.get_paginator("list_objects")
    pages = list(paginator.paginate(Bucket=full, Delimiter="/", PaginationConfig={"PageSize": 1}))
    assert [listed(page) for page in pages] == [(["a.txt"], []), ([], ["a/"]), (["b"], []), ([], ["z/"])]


def test_version_2_has_no_token_so_that_its_paginator_stops_early(s3: Any, full: str) -> None:
    answer = s3.list_objects_v2(Bucket=full, MaxKeys=2)
    assert answer["IsTruncated"]
    assert "NextContinuationToken" not in answer
    paginator = s3.get_paginator("list_objects_v2")
    pages = list(paginator.paginate(Bucket=full, PaginationConfig={"PageSize": 2}))
    assert [key for page in pages for key in listed(page)[0]] == FILES[:2]


def test_a_continuation_token_gives_the_first_page_again(raw: RawS3, full: str) -> None:
    # TensorFlow's list_directory and walk ask so for each 100 entries, and never come to an end beyond the first 100.
    first = raw.request("GET", f"/{full}?list-type=2&max-keys=2")
    again = raw.request("GET", f"/{full}?continuation-token=&list-type=2&max-keys=2")
    assert again.body == first.body


def test_max_keys_has_bounds(s3: Any, full: str) -> None:
    nothing = s3.list_objects(Bucket=full, MaxKeys=0)
    assert (listed(nothing), nothing["IsTruncated"]) == (([], []), False)
    assert listed(s3.list_objects(Bucket=full, MaxKeys=5000))[0] == FILES
    with refused("InvalidArgument", 400):
        s3.list_objects(Bucket=full, MaxKeys=5001)


def test_encoding_type_is_ignored(raw: RawS3, bucket: str, put: Put) -> None:
    put("with space & more")
    answer = raw.request("GET", f"/{bucket}?encoding-type=url")
    assert b"<Key>with space &amp; more</Key>" in answer.body
    assert b"EncodingType" not in answer.body


def test_directories_come_and_go_with_their_files(s3: Any, bucket: str, put: Put) -> None:
    put("dir/only")
    s3.delete_object(Bucket=bucket, Key="dir/only")
    assert listed(s3.list_objects(Bucket=bucket, Delimiter="/")) == ([], [])
