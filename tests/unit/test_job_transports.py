"""What the transports do where files change, vanish, or the run ends meanwhile; no server is needed for that."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from s3sync_job.outcome import Reason, SyncError, Verdict
from s3sync_job.plan import PlannedFile
from s3sync_job.reading import Reader
from s3sync_job.transports import Place
from s3sync_job.transports.filewise import FilewiseTransport
from s3sync_job.transports.pfs import PfsTransport
from s3sync_job.verify import CHUNK, Comparison, compare_streams

PLACE = Place("master.books", "master", "0" * 32)
WAIT_SECONDS = 20.0
ANYTHING: Any = None


@pytest.mark.parametrize(
    ("content", "planned"),
    [(b"", 3), (b"ab", 3), (b"abcd", 3), (bytes(CHUNK), CHUNK + 1), (bytes(CHUNK - 1), 2 * CHUNK)],
    ids=["empty now", "shorter", "longer", "shorter by a byte, a chunk", "shorter by more than a chunk"],
)
def test_a_file_of_another_size_than_was_planned_is_never_a_match(content: bytes, planned: int) -> None:
    found = compare_streams(io.BytesIO(content), io.BytesIO(content), planned)
    assert found.verdict is Verdict.DIFFER
    assert f"it has {len(content)} bytes and had {planned}" in found.detail


class Archive:
    """A pachd whose stream of all files holds these."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def tar(self, commit: str, prefix: str, size: int) -> Iterator[bytes]:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path, content in self._files.items():
                member = tarfile.TarInfo(f"/{path}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        yield packed.getvalue()


def planned(root: Path, files: Mapping[str, bytes]) -> list[PlannedFile]:
    """Write files, and return the plan for them."""
    for path, content in files.items():
        (root / path).write_bytes(content)
    return [PlannedFile(path, f"in/{path}", len(content)) for path, content in files.items()]


def test_a_file_that_is_not_in_the_stream_of_all_files_is_missing_and_not_passed_over(tmp_path: Path) -> None:
    pachd: Any = Archive({"in/a": b"a", "in/other": b"x"})
    files = planned(tmp_path, {"a": b"a", "b": b"b", "c": b"c"})
    found: dict[str, Comparison | BaseException] = {}
    PfsTransport(pachd, "in").compare(
        PLACE, files, tmp_path, lambda file, result: found.update({file.path: result}), listed=4
    )
    verdicts = {path: result.verdict for path, result in found.items() if isinstance(result, Comparison)}
    assert verdicts == {"a": Verdict.MATCH, "b": Verdict.MISSING_THERE, "c": Verdict.MISSING_THERE}


class Held(FilewiseTransport):
    """Holds each PUT until it is let go; `begun` names those that have begun."""

    def __init__(self, threads: int) -> None:
        super().__init__(ANYTHING, "http://nowhere", threads)
        self.begun: list[str] = []
        self.full, self.let_go = threading.Semaphore(0), threading.Event()

    def put(self, place: Place, source: Path, file: PlannedFile) -> None:
        self.begun.append(file.path)
        self.full.release()
        assert self.let_go.wait(WAIT_SECONDS)

    def open(self, place: Place, file: PlannedFile) -> AbstractContextManager[Reader]:
        raise NotImplementedError

    def is_missing(self, error: BaseException) -> bool:
        return False

    def held(self, file: PlannedFile) -> int:
        return 1


def test_once_it_is_stopped_no_put_begins_and_those_that_have_begun_are_waited_for(tmp_path: Path) -> None:
    transport = Held(threads=2)
    files = planned(tmp_path, {str(number): b"x" for number in range(6)})
    ended: list[BaseException] = []

    def copy() -> None:
        try:
            transport.copy(PLACE, files, tmp_path, lambda _: None, lambda *_: None)
        except SyncError as error:
            ended.append(error)

    def stop() -> None:
        transport.stop()
        assert transport.let_go.is_set(), "a PUT that has begun is waited for"
        stopped.set()

    stopped = threading.Event()
    copying, stopping = threading.Thread(target=copy), threading.Thread(target=stop)
    copying.start()
    for _ in range(2):
        assert transport.full.acquire(timeout=WAIT_SECONDS)
    stopping.start()
    # From here on nothing is admitted, whether or not the two PUTs have ended.
    deadline = time.monotonic() + WAIT_SECONDS
    while not transport._writing._closed:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    transport.let_go.set()
    copying.join(WAIT_SECONDS)
    assert stopped.wait(WAIT_SECONDS)
    assert len(transport.begun) == 2
    assert [error.reason for error in ended if isinstance(error, SyncError)] == [Reason.TERMINATED]
