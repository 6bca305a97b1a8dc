"""The pure parts of the S3 front: routes, pages, ranges, conditions and XML."""

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachyderm_standin import xml
from pachyderm_standin.model import Content, File, PfsError, Tree
from pachyderm_standin.s3.content import RangeError, Span, content_type, precondition_status, wanted_span
from pachyderm_standin.s3.listing import list_page
from pachyderm_standin.s3.routes import Route, resolve

FILE = File((Content("00", 1),))
MODIFIED = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "path", "query", "operation"),
    [
        ("GET", "/", (), "ListBuckets"),
        ("PUT", "/bucket", (), "CreateBucket"),
        ("PUT", "/bucket/", (), "CreateBucket"),
        ("HEAD", "/bucket", (), "HeadBucket"),
        ("GET", "/bucket", ("list-type", "prefix"), "ListObjects"),
        ("GET", "/bucket", ("location",), "GetBucketLocation"),
        ("GET", "/bucket", ("acl",), "NotImplemented"),
        ("POST", "/bucket", ("delete",), "DeleteObjects"),
        ("POST", "/bucket", (), "NotImplemented"),
        ("GET", "/bucket/key", (), "GetObject"),
        ("PUT", "/bucket/a/key", (), "PutObject"),
        ("PUT", "/bucket/key", ("partNumber", "uploadId"), "UploadPart"),
        ("POST", "/bucket/key", ("uploads",), "CreateMultipartUpload"),
        ("DELETE", "/bucket/key", ("uploadId",), "AbortMultipartUpload"),
        ("POST", "/bucket/key", (), "MethodNotAllowed"),
        ("PATCH", "/bucket", (), "MethodNotAllowed"),
    ],
)
def test_method_path_and_query_decide_the_operation(
    method: str, path: str, query: tuple[str, ...], operation: str
) -> None:
    assert resolve(method, path, query).operation == operation


def test_a_copy_source_turns_a_put_into_a_copy_unless_it_is_a_part() -> None:
    assert resolve("PUT", "/bucket/key", (), is_copy=True).operation == "CopyObject"
    assert resolve("PUT", "/bucket/key", ("uploadId",), is_copy=True).operation == "UploadPart"


def test_an_unclean_path_is_redirected_before_anything_else() -> None:
    assert resolve("PUT", "//bucket/./a/../key/", ()) == Route("Redirect", redirect="/bucket/key/")


TREE = Tree(dict.fromkeys(["a.txt", "a/1", "a/b/2", "b", "z/9"], FILE))


@settings(deadline=None)
@given(
    st.sampled_from(["", "a", "a/", "a/b", "b", "none"]),
    st.sampled_from(["", "/"]),
    st.integers(1, 4),
)
def test_pages_put_together_are_the_whole_listing(prefix: str, delimiter: str, page_size: int) -> None:
    whole = list_page(TREE, prefix=prefix, marker="", delimiter=delimiter, max_keys=5000)
    entries, marker, is_truncated = [], "", True
    while is_truncated:
        page = list_page(TREE, prefix=prefix, marker=marker, delimiter=delimiter, max_keys=page_size)
        entries += page.entries
        marker, is_truncated = page.entries[-1][0] if page.entries else "", page.is_truncated
    assert entries == whole.entries
    assert [name for name, _ in entries] == sorted({name for name, _ in entries})


def test_listing_across_a_collision_fails() -> None:
    tree = Tree(dict.fromkeys(["a", "dir", "dir/file"], FILE))
    assert len(list_page(tree, prefix="", marker="", delimiter="", max_keys=1).entries) == 1
    with pytest.raises(PfsError, match="collision"):
        list_page(tree, prefix="", marker="", delimiter="", max_keys=10)


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("", Span(0, 10)),
        ("bytes=0-3", Span(0, 4, True)),
        ("bytes=7-", Span(7, 3, True)),
        ("bytes=-4", Span(6, 4, True)),
        ("bytes=-99", Span(0, 10, True)),
        ("bytes=9-99", Span(9, 1, True)),
        ("bytes=0-1,3-4", Span(0, 10)),
    ],
)
def test_a_range_becomes_a_span(header: str, span: Span) -> None:
    assert wanted_span(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=5-4", "bytes=x", "items=0-1", "bytes=-"])
def test_a_range_that_cannot_be_served_is_an_error(header: str) -> None:
    with pytest.raises(RangeError, match="invalid range"):
        wanted_span(header, 10)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"If-Match": '"e"'}, None),
        ({"If-Match": "e"}, None),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": "*"}, 412),
        ({"If-None-Match": '"e"'}, 304),
        ({"If-None-Match": "*"}, None),
        ({"If-Modified-Since": "Fri, 02 Jan 2026 03:04:05 GMT"}, 304),
        ({"If-Modified-Since": "Fri, 02 Jan 2026 03:04:04 GMT"}, None),
        ({"If-Unmodified-Since": "Fri, 02 Jan 2026 03:04:04 GMT"}, 412),
        ({"If-Unmodified-Since": "no date"}, None),
    ],
)
def test_conditions_end_a_request_or_let_it_go_on(headers: dict[str, str], status: int | None) -> None:
    assert precondition_status(headers, '"e"', MODIFIED) == status


def test_a_files_type_is_guessed_as_go_does() -> None:
    assert content_type("a.json", b"{}") == "application/json"
    assert content_type("noname", b"") == "text/plain; charset=utf-8"
    assert content_type("noname", b"\x00") == "application/octet-stream"


@settings(deadline=None)
@given(st.text())
def test_any_text_makes_well_formed_xml(text: str) -> None:
    body = xml.document("Error", [("Message", text), ("Nested", [("Flag", True), ("Count", 3)])])
    document = xml.parse(body, "Error")
    assert (document.findtext("Nested/Flag"), document.findtext("Nested/Count")) == ("true", "3")


def test_documents_are_told_by_their_root_whatever_the_namespace() -> None:
    body = b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet></Delete>'
    assert xml.parse(body, "Delete").findtext("Quiet") == "true"
    with pytest.raises(xml.MalformedXmlError, match="expected Other"):
        xml.parse(body, "Other")
    with pytest.raises(xml.MalformedXmlError):
        xml.parse(b"<Del", "Delete")
    assert ElementTree.fromstring(body).tag.endswith("Delete")
