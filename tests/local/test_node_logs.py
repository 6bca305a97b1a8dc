"""What a process writes in, what a reader of the log gets out."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from s3sync_local.node.logs import LogFile, LogQuery, last_output, parse_query, read_log, render_line, rotated

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def read(path: Path, live: LogFile | None = None, **query: Any) -> bytes:
    return b"".join([chunk async for chunk in read_log(path, LogQuery(**query), live)])


def written(path: Path, *data: bytes, limit: int = 1_000_000) -> Path:
    log = LogFile(path / "0.log", limit)
    for piece in data:
        log.write("stdout", piece)
    log.close()
    return log.path


async def test_what_was_written_is_read_back_whole_however_it_was_cut(tmp_path: Path) -> None:
    assert await read(written(tmp_path, b"one\ntw", b"o\n", b"\nno end")) == b"one\ntwo\n\nno end"


async def test_a_line_longer_than_a_part_comes_back_as_one(tmp_path: Path) -> None:
    line = bytes(range(32, 127)) * 600 + b"\n"
    assert await read(written(tmp_path, line[:20_000], line[20_000:], b"next\n")) == line + b"next\n"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"tail_lines": 2}, b"b\nc\n"),
        ({"tail_lines": 0}, b""),
        ({"tail_lines": 9}, b"a\nb\nc\n"),
        ({"limit_bytes": 3}, b"a\nb"),
        ({"limit_bytes": 99}, b"a\nb\nc\n"),
        ({"tail_lines": 2, "limit_bytes": 1}, b"b"),
        ({"since": datetime.now(UTC) - timedelta(hours=1)}, b"a\nb\nc\n"),
        ({"since": datetime.now(UTC) + timedelta(hours=1)}, b""),
    ],
)
async def test_a_reader_gets_the_part_that_it_asks_for(tmp_path: Path, query: dict[str, Any], expected: bytes) -> None:
    assert await read(written(tmp_path, b"a\nb\nc\n"), **query) == expected


async def test_timestamps_are_put_before_each_line(tmp_path: Path) -> None:
    line = await read(written(tmp_path, b"a b\n"), timestamps=True)
    time, _, text = line.decode().partition(" ")
    assert text == "a b\n"
    assert abs(datetime.fromisoformat(time) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_both_streams_lie_in_one_log_and_do_not_mix_within_a_line(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log")
    log.write("stdout", b"out ")
    log.write("stderr", b"error\n")
    log.write("stdout", b"put\n")
    log.close()
    assert await read(log.path) == b"error\nout put\n"


async def test_a_follower_gets_what_comes_and_ends_with_the_run(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log")
    log.write("stdout", b"before\n")
    follower = asyncio.create_task(read(log.path, log, follow=True))
    await asyncio.sleep(0)
    log.write("stdout", b"during\n")
    await asyncio.sleep(0)
    assert not follower.done()
    log.close()
    assert await follower == b"before\nduring\n"


async def test_a_follower_of_the_tail_begins_there(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log")
    log.write("stdout", b"a\nb\n")
    follower = asyncio.create_task(read(log.path, log, follow=True, tail_lines=1))
    await asyncio.sleep(0)
    log.write("stdout", b"c\n")
    log.close()
    assert await follower == b"b\nc\n"


async def test_a_full_log_is_rotated_and_its_older_part_still_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"old\n", b"new\n", limit=1)
    assert rotated(path).exists()
    assert await read(path) == b"old\nnew\n"


async def test_a_log_keeps_two_parts_at_most(tmp_path: Path) -> None:
    path = written(tmp_path, b"1\n", b"2\n", b"3\n", limit=1)
    assert await read(path) == b"2\n3\n"
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_follower_goes_on_over_a_rotation(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "0.log", limit=1)
    log.write("stdout", b"1\n")
    follower = asyncio.create_task(read(log.path, log, follow=True))
    await asyncio.sleep(0)
    log.write("stdout", b"2\n")
    await asyncio.sleep(0)
    log.close()
    assert await follower == b"1\n2\n"


async def test_the_fallback_message_is_the_end_of_the_log(tmp_path: Path) -> None:
    path = written(tmp_path, b"".join(b"line %d\n" % n for n in range(100)))
    assert last_output(path, 2, 2048) == b"line 98\nline 99\n"
    assert last_output(path, 2, 3) == b"99\n"
    assert last_output(tmp_path / "none", 2, 3) == b""


def test_the_api_servers_options_are_understood() -> None:
    options = {"follow": "true", "tailLines": "0", "limitBytes": "9", "sinceSeconds": "60", "timestamps": "true"}
    assert parse_query(options, NOW) == LogQuery(
        follow=True, timestamps=True, tail_lines=0, limit_bytes=9, since=NOW - timedelta(minutes=1)
    )
    assert parse_query({"sinceTime": "2026-01-02T03:04:05Z", "previous": "true"}, NOW) == LogQuery(
        previous=True, since=NOW
    )


@pytest.mark.parametrize(
    "option", [{"tailLines": "-1"}, {"limitBytes": "0"}, {"sinceSeconds": "x"}, {"follow": "perhaps"}]
)
def test_an_option_that_makes_no_sense_is_named(option: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        parse_query(option, NOW)


def test_a_stored_line_is_rendered_without_its_head() -> None:
    assert render_line(b"2026-01-02T03:04:05.000000Z stdout F a b\n", LogQuery()) == b"a b\n"
    assert render_line(b"2026-01-02T03:04:05.000000Z stdout P a b\n", LogQuery()) == b"a b"
    assert render_line(b"2026-01-02T03:04:05.000000Z stdout F \n", LogQuery()) == b"\n"
