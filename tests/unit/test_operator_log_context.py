"""What each line of the log says it is about."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from s3sync_operator.__main__ import configure_logging
from s3sync_operator.log_context import AboutFilter, about_run, about_sync, annotate, in_context
from s3sync_operator.metrics import Metrics
from s3sync_operator.settings import Settings
from s3sync_operator.workqueue import WorkQueue

BOOKS = {"apiVersion": "sync.pachyderm.io/v1alpha1", "kind": "PachydermS3Sync", "namespace": "team", "name": "books"}


class Log:
    """What the operator writes, set up as its program does it."""

    def __init__(self, log_format: str) -> None:
        configure_logging(Settings(log_format=log_format))
        annotate(logging.getLogger())
        self.logger = logging.getLogger("s3sync_operator.of_the_test")
        self._stream = io.StringIO()
        (own,) = [item for item in logging.getLogger().handlers if type(item).__module__.startswith("kopf.")]
        assert isinstance(own, logging.StreamHandler)
        assert len([item for item in own.filters if isinstance(item, AboutFilter)]) == 1
        own.setStream(self._stream)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def untouched() -> Iterator[None]:
    """The root logger as it was, after a test that configures it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def log(untouched: None) -> Log:
    return Log("json")


async def test_a_line_in_json_carries_the_sync_and_once_it_is_known_the_run(log: Log) -> None:
    about_sync("team", "books")
    log.logger.info("looking")
    about_run("books-1234", 2)
    log.logger.warning("trouble")
    first, second = log.lines
    assert (first["object"], first.get("run")) == (BOOKS, None)
    assert (second["object"], second["run"]) == (BOOKS, {"job": "books-1234", "attempt": 2})


async def test_a_line_of_a_thread_carries_it_too(log: Log) -> None:
    about_sync("team", "books")
    with ThreadPoolExecutor() as threads:
        work = in_context(lambda: log.logger.info("connection lost"))
        await asyncio.get_running_loop().run_in_executor(threads, work)
    assert log.lines[0]["object"] == BOOKS


async def test_what_is_about_no_sync_says_so_of_none(log: Log) -> None:
    log.logger.info("starting")
    about_run("of-nothing", 1)
    log.logger.info("still starting")
    assert ["object" in line or "run" in line for line in log.lines] == [False, False]


async def test_a_line_that_kopf_writes_of_an_object_keeps_that_one(log: Log) -> None:
    about_sync("team", "books")
    log.logger.info("seen", extra={"k8s_ref": {"name": "another"}})
    assert log.lines[0]["object"] == {"name": "another"}


async def test_syncs_that_are_worked_on_at_the_same_time_do_not_mix(log: Log) -> None:
    async def handle(key: tuple[str, str]) -> None:
        about_sync(*key)
        await asyncio.sleep(0)
        log.logger.info(key[1])

    queue: WorkQueue[tuple[str, str]] = WorkQueue(handle, concurrency=8, time_limit=10, metrics=Metrics())
    for name in "abcd":
        queue.add(("team", name))
    await queue.close()
    assert sorted((line["message"], line["object"]["name"]) for line in log.lines) == [(n, n) for n in "abcd"]


async def test_a_line_of_text_begins_with_the_sync(untouched: None) -> None:
    log = Log("plain")
    about_sync("team", "books")
    log.logger.info("verified")
    assert log.text == "[team/books] verified\n"
