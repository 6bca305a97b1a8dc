"""Measure what things cost on a Pachyderm: the numbers behind the stand-in's `--costs pachyderm`.

    python deploy/local/bench/measure_pachyderm.py --s3 http://127.0.0.1:30600 --pachd grpc://127.0.0.1:30650

Prints a table; `--json` prints the numbers. Works in a repo of its own, which it removes. Run it against the stand-in
with `--costs pachyderm` as well: both tables should tell the same story.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.pachd import Message, Pachd, add, copy
from tests.support.s3 import s3_client

SMALL_BYTES = 10_000
LARGE_BYTES = 64_000_000
MESSAGE_BYTES = 3 * 1024 * 1024
CLOSED_PUTS, THREADS = 12, 8
OPEN_PUTS = (1, 25, 50, 100, 150)
STREAM_FILES = (100, 2000)


class Bench:
    """The measurements, each of which gives named numbers in seconds."""

    def __init__(self, s3: Any, pachd: Pachd, repo: str) -> None:
        self.s3, self.pachd, self.repo = s3, pachd, repo
        self.master = pachd.branch(repo)
        self.numbers: dict[str, float] = {}

    def run(self) -> dict[str, float]:
        """Take all measurements, one after the other."""
        self.s3.create_bucket(Bucket=f"master.{self.repo}")
        steps = (self.calls, self.empty_commits, self.closed_puts, self.open_puts, self.streams, self.large)
        for step in steps:
            before = set(self.numbers)
            step()
            for name in sorted(set(self.numbers) - before):
                print(f"{name:44} {self.numbers[name]:9.4f} s", file=sys.stderr, flush=True)
        return self.numbers

    def calls(self) -> None:
        """A call that only looks something up."""
        self.numbers["one InspectBranch"] = median(repeat(10, lambda: self.pachd.head(self.master)))

    def empty_commits(self) -> None:
        """A commit with nothing in it: opened, closed, waited for."""
        self.numbers["an empty commit, until FINISHED"] = median(
            repeat(5, lambda: self.pachd.finish(self.pachd.start(self.master)))
        )

    def closed_puts(self) -> None:
        """PUTs on a closed head, one after the other and at a time."""
        body = os.urandom(SMALL_BYTES)

        def put(name: str) -> None:
            self.s3.put_object(Bucket=f"master.{self.repo}", Key=name, Body=body)

        alone = [timed(partial(put, f"closed/{n}")) for n in range(CLOSED_PUTS)]
        self.numbers["PUT on a closed head"] = median(alone)
        with ThreadPoolExecutor(THREADS) as pool:
            together = timed(lambda: list(pool.map(put, [f"closed/t{n}" for n in range(CLOSED_PUTS)])))
        self.numbers[f"PUT on a closed head, of {THREADS} at a time"] = together / CLOSED_PUTS

    def open_puts(self) -> None:
        """PUTs into one open commit: the cost of the n-th, and of closing it."""
        commit = self.pachd.start(self.pachd.branch(self.repo, "open"))
        bucket, body = f"{commit.id}.open.{self.repo}", os.urandom(SMALL_BYTES)
        put = partial(self.s3.put_object, Bucket=bucket, Body=body)
        times = [timed(partial(put, Key=f"open/{n}")) for n in range(max(OPEN_PUTS))]
        for number in OPEN_PUTS:
            window = times[max(number - 3, 0) : number + 2]
            self.numbers[f"PUT no. {number:3} into an open commit"] = median(window)
        self.numbers["GET of a file in that open commit"] = timed(lambda: self.get(bucket, "open/1"))
        self.numbers[f"finishing a commit of {max(OPEN_PUTS)} PUTs"] = timed(lambda: self.pachd.finish(commit))
        self.numbers["GET of a small file"] = median(repeat(8, lambda: self.get(bucket, "open/1")))
        self.numbers["HEAD of a small file"] = median(
            repeat(8, lambda: self.s3.head_object(Bucket=bucket, Key="open/1"))
        )

    def get(self, bucket: str, key: str, span: str = "") -> None:
        """Read a file or a range of it."""
        body = self.s3.get_object(Bucket=bucket, Key=key, **({"Range": span} if span else {}))["Body"]
        while body.read(1024 * 1024):
            pass

    def streams(self) -> None:
        """ModifyFile streams of many small files, their listing, and their publishing."""
        content = os.urandom(SMALL_BYTES)
        for count in STREAM_FILES:
            staging = self.pachd.branch(self.repo, f"stream-{count}")
            commit = self.pachd.start(staging)
            steps = [add(f"/stream/{n:05}", content[:-8] + n.to_bytes(8, "big")) for n in range(count)]
            self.numbers[f"a stream of {count} small files"] = timed(partial(self.pachd.modify, commit, steps))
            self.numbers[f"finishing it, {count} files"] = timed(partial(self.pachd.finish, commit))
            self.numbers[f"walking {count} files"] = timed(partial(self.pachd.walk, commit))
            self.listing(commit, staging.name, count)
            self.publish(commit, count)
            one_more = self.pachd.start(staging)
            self.pachd.modify(one_more, [add("/one-more", content)])
            self.numbers[f"finishing one file more, on top of {count}"] = timed(partial(self.pachd.finish, one_more))

    def listing(self, commit: Message, branch: str, count: int) -> None:
        """List over S3."""
        bucket = f"{commit.id}.{branch}.{self.repo}"
        pages = self.s3.get_paginator("list_objects")
        self.numbers[f"listing {count} keys over S3"] = timed(lambda: list(pages.paginate(Bucket=bucket)))

    def publish(self, commit: Message, count: int) -> None:
        """Copy a finished commit into the target."""
        target = self.pachd.start(self.master)
        step = copy(commit, "/", f"/published-{count}")
        self.numbers[f"CopyFile of {count} files"] = timed(lambda: self.pachd.modify(target, [step]))
        self.numbers[f"finishing that publish, {count} files"] = timed(lambda: self.pachd.finish(target))

    def large(self) -> None:
        """One large file: written over both fronts, read whole, in part, and looked at."""
        content = os.urandom(LARGE_BYTES)
        pieces = [content[start : start + MESSAGE_BYTES] for start in range(0, LARGE_BYTES, MESSAGE_BYTES)]
        bucket = f"master.{self.repo}"
        put = timed(lambda: self.s3.put_object(Bucket=bucket, Key="large/s3", Body=content))
        self.numbers["PUT of 64 MB"] = put
        commit = self.pachd.start(self.pachd.branch(self.repo, "large"))
        steps = [add("/large", piece) for piece in pieces]
        self.numbers["a stream of 64 MB"] = timed(lambda: self.pachd.modify(commit, steps))
        self.numbers["finishing it, 64 MB"] = timed(lambda: self.pachd.finish(commit))
        looks: Iterable[tuple[str, Callable[[], object]]] = (
            ("GET of 64 MB", lambda: self.get(bucket, "large/s3")),
            ("HEAD of 64 MB", lambda: self.s3.head_object(Bucket=bucket, Key="large/s3")),
            ("range of 1 MB at the start of 64 MB", lambda: self.get(bucket, "large/s3", "bytes=0-999999")),
            ("range of 1 MB at the end of 64 MB", lambda: self.get(bucket, "large/s3", "bytes=63000000-63999999")),
            ("GetFile of 64 MB", lambda: self.pachd.read(commit, "/large")),
        )
        for name, look in looks:
            self.numbers[name] = median(repeat(3, look))


def timed(work: Callable[[], object]) -> float:
    """Tell how long something takes, in seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def repeat(times: int, work: Callable[[], object]) -> Iterator[float]:
    """Time something several times."""
    return (timed(work) for _ in range(times))


def median(seconds: Iterable[float]) -> float:
    """Give the middle one."""
    return statistics.median(seconds)


def main() -> None:
    """Measure, print, clean up."""
    parser = argparse.ArgumentParser(description="Measure what things cost on a Pachyderm.")
    parser.add_argument("--s3", required=True, help="URL of the S3 gateway")
    parser.add_argument("--pachd", required=True, help="address of the gRPC API, grpc://host:port")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON on standard output")
    args = parser.parse_args()
    token = os.environ.get("PACHYDERM_TOKEN", "any")
    bench = Bench(s3_client(args.s3, token), Pachd(args.pachd, token), f"measure-{uuid4().hex[:8]}")
    try:
        numbers = bench.run()
    finally:
        bench.pachd.api.delete_repo(repo=bench.master.repo)
    if args.json:
        print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
