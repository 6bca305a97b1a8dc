"""How far a running sync has come: what its workers tell, what the status says of it, how seldom logs are read."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from s3sync_operator.api import Progress
from s3sync_operator.following import READ_AT_ONCE
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.progress import find_progress, is_progress, summed
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.report import without_report
from s3sync_operator.settings import Settings
from tests.support import objects
from tests.support.memory_cluster import MemoryCluster
from tests.unit.test_operator_reconcile import KEY, OpenGateway, job_name

GOLDEN = Path(__file__).parent.parent / "golden"
COPY, VERIFY = ((GOLDEN / "progress" / f"{step}.json").read_text().strip() for step in ("copy", "verify"))
CREATED = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def line(step: str = "copy", files: int = 1, total: int = 4, size: int = 10, total_size: int = 40) -> str:
    told = {"files": files, "totalFiles": total, "bytes": size, "totalBytes": total_size}
    return json.dumps({"s3syncProgress": 1, "step": step} | told)


def together(*lines: str) -> Progress | None:
    return summed([told for text in lines if (told := find_progress(text))])


@pytest.mark.parametrize(("sample", "step", "percent"), [(COPY, "copy", 15), (VERIFY, "verify", 3)])
def test_each_sample_line_is_read_whole(sample: str, step: str, percent: int) -> None:
    raw = json.loads(sample)
    found = together(sample)
    assert found
    written = found.model_dump(by_alias=True)
    assert {name: written[name] for name in ("files", "totalFiles", "bytes", "totalBytes")} == {
        name: raw[name] for name in ("files", "totalFiles", "bytes", "totalBytes")
    }
    assert (found.step, found.percent) == (step, percent)


def test_the_last_line_counts() -> None:
    found = find_progress(f"copied 1/4 files\n{line(files=1)}\ncopied 2/4 files\n{line(files=2)}\ncopied 3/4 files")
    assert found
    assert found.files == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3syncProgress",
        '{"s3syncProgress": 1}',
        line().replace("copy", "of an image's own"),
        line(files=-1),
        line(size=2**63),
        line()[:-4],
    ],
)
def test_what_is_no_whole_line_of_progress_tells_nothing(text: str) -> None:
    assert find_progress(text) is None
    assert not is_progress(text)


def test_a_person_reads_the_log_without_the_lines_for_machines() -> None:
    assert without_report(f"copied 1/4 files\n{COPY}\n{VERIFY}\nverified") == "copied 1/4 files\nverified"


def test_the_step_is_the_hindmost_workers_and_the_others_have_it_behind_them() -> None:
    found = together(line("copy", 1, 4, 10, 40), line("verify", 2, 6, 20, 60))
    assert found == Progress(step="copy", files=7, total_files=10, bytes=70, total_bytes=100, percent=70)


def test_of_empty_files_the_percent_are_those_of_the_files() -> None:
    found = together(line(files=1, total=4, size=0, total_size=0))
    assert found
    assert found.percent == 25


class LogCluster(MemoryCluster):
    """Tells the logs that a test puts there, and notes which were read."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.logs: dict[str, str] = {}
        self.read: list[str] = []

    async def pod_log(self, namespace: str, pod: str) -> str:
        self.read.append(pod)
        return self.logs.get(pod, "")


class Watched:
    """A sync whose workers run, and an operator that looks at it at the seconds since its job was made."""

    def __init__(self, workers: int = 1) -> None:
        self.cluster = LogCluster(workers=workers)
        self.workers = workers
        self.now = CREATED
        self.restart()

    def restart(self) -> None:
        settings = Settings(progress_interval=10)
        self._reconciler = Reconciler(self.cluster, OpenGateway(), GrpcPachd(1), settings, lambda: self.now)

    async def begin(self) -> "Watched":
        await self._reconciler.reconcile(KEY)
        job = job_name(self.cluster)
        for index in range(self.workers):
            pod = objects.pod_object(job, "Running", state=objects.RUNNING)
            pod["metadata"]["name"] = f"{job}-worker-{index}"
            self.cluster.pods.append(pod)
        return self

    def pod(self, index: int) -> str:
        name: str = self.cluster.pods[index]["metadata"]["name"]
        return name

    async def look(self, second: float) -> tuple[Progress | None, float | None]:
        self.now = CREATED + timedelta(seconds=second)
        again = await self._reconciler.reconcile(KEY)
        return self.cluster.status.progress, again


async def test_a_sync_of_a_few_seconds_has_no_log_read_while_it_runs() -> None:
    watched = await Watched().begin()
    watched.cluster.logs[watched.pod(0)] = COPY
    assert await watched.look(1) == (None, 10)
    assert await watched.look(9) == (None, 10)
    assert watched.cluster.read == []


async def test_progress_is_read_once_an_interval_and_written_where_it_changed() -> None:
    watched = await Watched().begin()
    await watched.look(5)
    watched.cluster.writes.clear()
    watched.cluster.logs[watched.pod(0)] = line(size=10)
    for second in (11, 12, 15, 20.5):
        found, _ = await watched.look(second)
        assert found
        assert found.percent == 25
    assert watched.cluster.writes == ["status"]
    watched.cluster.logs[watched.pod(0)] = line(size=20)
    found, _ = await watched.look(32)
    assert found
    assert found.percent == 50
    assert watched.cluster.writes == ["status", "status"]
    assert len(watched.cluster.read) == 2


async def test_a_log_that_cannot_be_read_or_is_all_chatter_leaves_what_was_known() -> None:
    watched = await Watched().begin()
    watched.cluster.logs[watched.pod(0)] = line()
    before, _ = await watched.look(11)
    watched.cluster.logs[watched.pod(0)] = "chatter\n" * 60
    assert before
    assert (await watched.look(22))[0] == before


async def test_another_operator_goes_on_from_what_the_status_tells() -> None:
    watched = await Watched().begin()
    watched.cluster.logs[watched.pod(0)] = line()
    before, _ = await watched.look(11)
    watched.cluster.logs.clear()
    watched.restart()
    watched.cluster.writes.clear()
    assert before
    assert (await watched.look(12))[0] == before
    assert watched.cluster.writes == []


async def test_the_workers_progress_is_summed_and_of_many_some_are_read_at_each_look() -> None:
    watched = await Watched(workers=READ_AT_ONCE + 4).begin()
    for index in range(watched.workers):
        watched.cluster.logs[watched.pod(index)] = line(files=1, total=4)
    first, _ = await watched.look(11)
    second, _ = await watched.look(22)
    assert first
    assert second
    assert (first.total_files, second.total_files) == (4 * READ_AT_ONCE, 4 * (READ_AT_ONCE + 4))
    assert len(set(watched.cluster.read)) == READ_AT_ONCE + 4
    assert len(watched.cluster.read) == 2 * READ_AT_ONCE


async def test_progress_goes_with_the_attempt_it_tells_of() -> None:
    watched = await Watched().begin()
    watched.cluster.logs[watched.pod(0)] = line()
    assert (await watched.look(11))[0]
    report = json.dumps(json.loads((GOLDEN / "report/verified.json").read_text()))
    pod = objects.pod_object(job_name(watched.cluster), "Succeeded", state=objects.terminated(0, report))
    watched.cluster.pods = [pod]
    progress, _ = await watched.look(12)
    assert (progress, watched.cluster.status.phase) == (None, "Succeeded")
