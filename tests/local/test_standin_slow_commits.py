"""What slow commits look like from outside: the server runs in this process, so that its patience can be shortened."""

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pachyderm_standin.app import Settings, running
from pachyderm_standin.s3 import multipart
from tests.support.s3 import Answer, RawS3

COMPLETE = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"


async def upload_and_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, blocker: str = "") -> Answer:
    """Complete an upload of one part that takes longer than the server waits before it answers."""
    monkeypatch.setattr(multipart, "PING_SECONDS", 0.005)
    async with running(Settings(tmp_path, commit_latency=0.02)) as endpoints:
        return await asyncio.to_thread(_complete, RawS3(endpoints.endpoint, "key"), path, blocker)


def _complete(raw: RawS3, path: str, blocker: str) -> Answer:
    raw.request("PUT", "/repo")
    if blocker:
        raw.request("PUT", blocker, b"x")
    started = ElementTree.fromstring(raw.request("POST", f"{path}?uploads").body)
    upload_id = started.findtext("{*}UploadId", "")
    raw.request("PUT", f"{path}?partNumber=1&uploadId={upload_id}", b"content")
    return raw.request("POST", f"{path}?uploadId={upload_id}", COMPLETE)


async def test_a_slow_complete_answers_200_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await upload_and_complete(tmp_path, monkeypatch, "/repo/file")
    assert answer.status == 200
    assert "x-amz-version-id" not in answer.headers
    assert ElementTree.fromstring(answer.body).tag.endswith("CompleteMultipartUploadResult")


async def test_an_error_can_stand_inside_that_200(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await upload_and_complete(tmp_path, monkeypatch, "/repo/dir", blocker="/repo/dir/file")
    assert (answer.status, answer.code) == (200, "InternalError")
