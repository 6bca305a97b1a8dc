"""What a person sees while a run goes on, and what must not be seen."""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from s3sync_job.console import Console
from s3sync_job.parallel import ByteBudget, StalledError, unordered
from s3sync_job.progress import PlainProgress, Tally, machine_line, progress_line
from s3sync_job.report import Counts

COUNTS = Counts(
    total_files=1000, copied_files=120, verified_files=7, failed_files=3, total_bytes=10_000_000, copied_bytes=1_230_000
)


def test_a_line_tells_files_bytes_and_rate() -> None:
    assert progress_line("copied", COUNTS, 0.3) == "copied 120/1000 files, 1.2/10.0 MB, 4.1 MB/s"


def test_failed_files_are_through_verification_as_well() -> None:
    assert progress_line("verified", COUNTS, 1).startswith("verified 10/1000 files, 0.0/10.0 MB")


def test_nothing_is_shown_before_the_first_file() -> None:
    lines: list[str] = []
    tally = Tally()
    progress = PlainProgress(tally, lines.append)
    tally.start(2, 20)
    progress.show()
    assert lines == []
    tally.enter("copied")
    tally.copied(10)
    progress.show()
    assert lines[0].startswith("copied 1/2 files, 0.0/0.0 MB,")
    assert [json.loads(line)["files"] for line in lines[1:]] == [1]


SAMPLES = Path(__file__).parent.parent / "golden" / "progress"


@pytest.mark.parametrize(("phase", "sample"), [("copied", "copy.json"), ("verified", "verify.json")])
def test_the_operator_is_told_by_a_line_of_json_as_the_samples_have_it(phase: str, sample: str) -> None:
    counts = replace(COUNTS, unchanged_files=30, unchanged_bytes=300_000, verified_bytes=70_000)
    assert machine_line(phase, counts) == (SAMPLES / sample).read_text().strip()


def test_no_more_is_done_than_there_was_to_do_though_a_file_failed_after_it_was_found_unchanged() -> None:
    told = json.loads(machine_line("verified", Counts(total_files=2, verified_files=2, unchanged_files=1)))
    assert told["files"] == told["totalFiles"] == 2


def test_a_tally_counts_from_many_threads() -> None:
    tally = Tally()

    def copy_many() -> None:
        for _ in range(500):
            tally.copied(2)

    threads = [threading.Thread(target=copy_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = tally.snapshot()[1]
    assert (counts.copied_files, counts.copied_bytes) == (2000, 4000)


def test_secrets_are_blanked_out_of_lines_and_lines_stay_lines() -> None:
    stream = io.BytesIO()
    console = Console(stream)
    console.keep_secret(("hunter2", "x"))
    console.line("the token hunter2\nis x")
    assert stream.getvalue() == b"the token *** is x\n"


def test_a_secret_that_another_one_starts_with_is_blanked_out_whole() -> None:
    console = Console(io.BytesIO())
    console.keep_secret(("hunter", "hunter2-and-more"))
    assert console.redact("hunter2-and-more, hunter") == "***, ***"


def test_nothing_follows_the_last_line() -> None:
    stream = io.BytesIO()
    console = Console(stream)
    console.line("before")
    console.last_line("the report")
    console.line("from a thread that still copies")
    assert stream.getvalue() == b"before\nthe report\n"


def test_work_is_done_on_every_item_and_errors_stay_with_their_item() -> None:
    ended = dict(unordered(lambda n: 10 // n, range(20), threads=3, patience=60))
    assert set(ended) == set(range(20))
    assert isinstance(ended[0].exception(), ZeroDivisionError)
    assert ended[5].result() == 2


def test_closing_cancels_what_has_not_begun() -> None:
    begun: list[int] = []
    results = unordered(begun.append, range(1000), threads=2, patience=60)
    next(results)
    results.close()  # type: ignore[attr-defined] # A generator, promised as an iterator only.
    assert len(begun) < 20


def test_work_that_hangs_is_given_up() -> None:
    release = threading.Event()
    with pytest.raises(StalledError):
        list(unordered(lambda _: release.wait(60), [1], threads=1, patience=0.05))
    release.set()


def test_a_budget_is_never_exceeded_and_what_is_larger_runs_alone() -> None:
    budget, lock = ByteBudget(10), threading.Lock()
    held: list[int] = []
    seen: list[list[int]] = []

    def work(size: int) -> None:
        with budget.hold(size):
            with lock:
                held.append(size)
                seen.append(list(held))
            time.sleep(0.001)
            with lock:
                held.remove(size)

    for _, future in unordered(work, [3, 99, 4, 10, 1, 1, 1, 50, 2] * 5, threads=8, patience=60):
        future.result()
    assert all(sum(sizes) <= 10 or len(sizes) == 1 for sizes in seen)
