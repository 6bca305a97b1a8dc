"""What the AWS CLI, mc and s3cmd make of Pachyderm; docs/clients.md says the same for people."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Written
from tests.clients.programs import Aws, Program
from tests.contract.conftest import Target
from tests.support.pachd import Pachd

MANIFEST = ".s3sync/manifest.json"
SMALL = 10_000
LARGE = 20 * 1024 * 1024
A_PAGE = 1000
MORE_THAN_A_PAGE = frozenset(f"{number:04}.txt" for number in range(A_PAGE + 1))


def below(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their paths in it, without a staged tree's manifest."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {key: content for key, content in found.items() if key != MANIFEST}


def test_each_client_reads_back_what_s3sync_job_wrote(written: Written, program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "read back"
    folder.mkdir()
    ended = program.download(written.bucket, folder)
    assert (ended.code, below(folder)) == (0, written.files), ended.errors


def test_each_client_lists_what_s3sync_job_wrote(written: Written, program: Program) -> None:
    ended, found = program.listing(written.bucket)
    found.pop(MANIFEST, None)
    assert found == {key: len(content) for key, content in written.files.items()}, ended.errors


@pytest.mark.parametrize(
    ("name", "size", "flags"),
    [("aws", SMALL, ()), ("mc", SMALL, ()), ("aws", LARGE, ()), ("mc", LARGE, ("--disable-multipart",))],
    ids=["aws", "mc", "aws in parts", "mc in one PUT"],
)
def test_the_aws_cli_and_mc_write_files_and_remove_them(
    find: Callable[[str], Program], name: str, size: int, flags: Sequence[str], bucket: str, s3: Any, tmp_path: Path
) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    program = find(name)
    ended = program.upload(tmp_path / "file", bucket, "a folder/file", *flags)
    assert ended.code == 0, ended.errors
    assert s3.get_object(Bucket=bucket, Key="a folder/file")["Body"].read() == content
    assert program.remove(bucket, "a folder/file").code == 0
    assert "Contents" not in s3.list_objects(Bucket=bucket)


def test_mc_without_a_flag_stores_the_frames_of_its_parts_with_a_large_file_and_calls_it_done(
    find: Callable[[str], Program], bucket: str, target: Target, s3: Any, tmp_path: Path
) -> None:
    if target.endpoint.startswith("https"):
        pytest.skip("mc frames its parts over plain http alone")
    (tmp_path / "file").write_bytes(os.urandom(LARGE))
    assert find("mc").upload(tmp_path / "file", bucket, "file").code == 0
    stored = s3.get_object(Bucket=bucket, Key="file")["Body"].read()
    assert len(stored) > LARGE
    assert b";chunk-signature=" in stored[:100]


def test_s3cmd_takes_the_etag_for_an_md5_so_it_sends_a_file_again_and_again(
    find: Callable[[str], Program], bucket: str, s3: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"Call me Ishmael.")
    process = find("s3cmd").start("put", "--no-progress", str(tmp_path / "file"), f"s3://{bucket}/file")
    said = ""
    with process:
        for line in process.stdout or ():
            said += line
            if said.count("Retrying upload") == 3:
                break
        process.kill()
    assert said.count("MD5 Sums don't match!") == 3, said
    assert s3.get_object(Bucket=bucket, Key="file")["Body"].read() == b"Call me Ishmael."


@pytest.fixture(scope="module")
def full(pachd_session: Pachd | None, new_bucket: Callable[[], str]) -> str:
    """A bucket with more than a page of keys."""
    if pachd_session is None:
        pytest.skip("needs the gRPC API to make many files at once: name it with PACHD_ADDRESS=host:port")
    bucket = new_bucket()
    branch = pachd_session.branch(bucket.partition(".")[2])
    pachd_session.commit(branch, {f"/{key}": key.encode() for key in MORE_THAN_A_PAGE})
    return bucket


@pytest.mark.xdist_group("more than a page")
class TestMoreThanAPage:
    """A gateway that lists 1,000 keys at a time, in the older way alone."""

    def test_s3cmd_lists_all(self, find: Callable[[str], Program], full: str) -> None:
        assert set(find("s3cmd").listing(full)[1]) == MORE_THAN_A_PAGE

    def test_the_aws_cli_stops_after_a_page_without_a_word(self, find: Callable[[str], Program], full: str) -> None:
        aws = find("aws")
        ended, listed = aws.listing(full)
        assert (ended.code, ended.errors, len(listed)) == (0, "", A_PAGE)

    def test_the_aws_clis_older_call_lists_all(self, find: Callable[[str], Program], full: str) -> None:
        aws = find("aws")
        assert isinstance(aws, Aws)
        assert aws.listing_v1(full) == MORE_THAN_A_PAGE

    def test_mc_refuses_to_list_more_than_a_page(self, find: Callable[[str], Program], full: str) -> None:
        ended, listed = find("mc").listing(full)
        assert (ended.code, listed) == (1, {})
        assert "Truncated response should have continuation token set" in ended.output
