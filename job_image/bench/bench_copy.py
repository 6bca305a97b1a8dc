"""Measures s3sync-job against the seed's way of doing the same, one after the other on the same machine and gateway.

The seed's way is its script's: file_io.copy one file after the other, then file_io.walk, then each file read whole as
a string (without comparing it). Both run as processes of their own, so that each peak of memory is its own. The gateway
is the stand-in unless --endpoint names another.

    python job_image/bench/bench_copy.py
    python job_image/bench/bench_copy.py --files 200 --large-mb 50 --commit-latency 0.05
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import botocore.session

from pachyderm_standin.process import StandinProcess
from s3sync_job.settings import PLACEHOLDER_KEY, parse_gateway, plugin_environment
from s3sync_job.tensorflow_io_loader import load_file_io

SMALL_BYTES = 10_000
FILES_A_DIRECTORY = 50
"""Fewer than 100: file_io.walk never ends on a directory of more at a gateway that pages as Pachyderm does."""

SEED_WAY = "--seed-way"
MAX_SECONDS = 1800


@dataclass(frozen=True)
class Measured:
    """How long a process took (seconds) and how much memory it had resident at most (MB)."""

    name: str
    seconds: float
    peak_mb: float


def main(arguments: Sequence[str]) -> int:
    """Make the tree, run both ways, print the figures; return 0 only if both ended well."""
    if arguments[:1] == [SEED_WAY]:
        copy_the_seeds_way(*arguments[1:])
    options = _parser().parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-copy-")))
        endpoint = (
            options.endpoint or stack.enter_context(StandinProcess(commit_latency=options.commit_latency)).endpoint
        )
        size = write_tree(folder / "tree", options.files, options.large_mb)
        print(f"{options.files} files of {SMALL_BYTES} bytes, one of {options.large_mb} MB, {endpoint}", flush=True)
        ours = measure("s3sync-job", [_command(), "-b", bucket(endpoint, "bench1"), "-i", "tree"], folder, endpoint)
        _show(ours, size)
        seed = [sys.executable, __file__, SEED_WAY, bucket(endpoint, "bench2"), "tree"]
        theirs = measure("the seed's way", seed, folder, endpoint)
        _show(theirs, size)
    print(
        f"ratio             {theirs.seconds / ours.seconds:8.1f} times faster, "
        f"{theirs.peak_mb / ours.peak_mb:.1f} times less memory"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000, help="small files (default %(default)s)")
    parser.add_argument("--large-mb", type=int, default=200, help="size of the large file (default %(default)s)")
    parser.add_argument("--endpoint", help="URL of a gateway to use in place of the stand-in")
    parser.add_argument(
        "--commit-latency", type=float, default=0, help="seconds that the stand-in takes to finish a commit"
    )
    return parser


def write_tree(root: Path, files: int, large_mb: int) -> int:
    """Write the small files and the large one, of text as the seed's way takes no other; return their bytes."""
    for number in range(files):
        path = root / f"{number // FILES_A_DIRECTORY:03}" / f"{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(os.urandom(SMALL_BYTES // 2).hex())
    with (root / "large.txt").open("w") as large:
        for _ in range(large_mb):
            large.write(os.urandom(500_000).hex())
    return files * SMALL_BYTES + large_mb * 1_000_000


def bucket(endpoint: str, repo: str) -> str:
    """Make a bucket and return its name."""
    session = botocore.session.Session()
    session.set_credentials(PLACEHOLDER_KEY, PLACEHOLDER_KEY)
    client = session.create_client("s3", endpoint_url=endpoint, region_name="us-east-1")
    name = f"master.{repo}"
    client.create_bucket(Bucket=name)
    return name


def measure(name: str, command: list[str], folder: Path, endpoint: str) -> Measured:
    """Run a command in ``folder`` and measure it; end the benchmark if it fails."""
    environment = {
        "PATH": os.environ["PATH"],
        "S3_ENDPOINT": endpoint,
        **({"MALLOC_ARENA_MAX": os.environ["MALLOC_ARENA_MAX"]} if "MALLOC_ARENA_MAX" in os.environ else {}),
    }
    started = time.monotonic()
    log = folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if process.returncode != 0:
        sys.exit(f"{name} failed with exit code {process.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
    return Measured(name, seconds, usage.ru_maxrss * 1024 / 1e6)


def copy_the_seeds_way(bucket_name: str, input_path: str) -> None:
    """Do what the seed's script does, without its printing, and end the process."""
    file_io, _ = load_file_io(
        {**plugin_environment(parse_gateway(os.environ), 0, 25), "S3_MULTI_PART_UPLOAD_CHUNK_SIZE": str(50 * 1024**2)}
    )
    url = f"s3://{bucket_name}/"
    for directory, _, files in os.walk(input_path):
        for file in files:
            file_io.copy(f"{directory}/{file}", f"{url}{directory}/{file}", True)
    for directory, _, files in file_io.walk(url + input_path, True):
        for file in files:
            file_io.read_file_to_string(f"{directory}/{file}", False)
    os._exit(0)


def _command() -> str:
    return str(Path(sys.executable).parent / "s3sync-job")


def _show(measured: Measured, size: int) -> None:
    rate = size / 1e6 / measured.seconds
    print(
        f"{measured.name:<16} {measured.seconds:8.1f} s {rate:8.1f} MB/s {measured.peak_mb:8.0f} MB resident at most",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
