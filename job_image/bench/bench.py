"""Copies the same trees in our ways and in others', and writes what that took to docs/benchmark.{json,md,svg}.

Against the stand-in, which models what things cost on a real Pachyderm, or the Pachyderm that --endpoint and
--pachd-address name. Each way writes to a new repo, which is removed again. What the repo holds in the end is compared
with the tree.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import measuring
import results as found
import server as servers
from results import Result, Section
from server import Server
from trees import QUICK, TREES, Tree, expected
from ways import BASELINE, WAYS, Cell, Way

from s3sync_job.settings import PLACEHOLDER_KEY
from s3sync_local.clients import client_version, ensure_clients, ensure_plotter

DOCS = Path(__file__).resolve().parents[2] / "docs"
PLOT = Path(__file__).parent / "plot.py"
PLOT_SECONDS = 120
DETAIL = 200


def main(arguments: Sequence[str]) -> int:
    """Run all that was asked for, writing after each cell; return 1 if a way of ours failed or copied wrongly."""
    # Ended from outside, it ends its child and removes its repo as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = _options(arguments)
    trees, ways = _chosen(options)
    with ExitStack() as stack:
        # Before what may have to be built, which takes minutes.
        server = _server(options, stack)
        programs = ensure_clients(sorted({way.needs for way in ways if way.needs}), _say)
        section = _section(server, list(programs))
        _say(f"{server.kind}, at {server.endpoint}")
        for tree in trees:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="s3sync-bench-")))
            tree.write(folder)
            for way in ways:
                section["results"].append(_measure(tree, way, folder, server, options, programs))
                _keep(options.out, "real" if options.endpoint else "standin", section)
    _draw(options.out)
    ours = [item for item in section["results"] if item["way"] in {way.name for way in WAYS if "atomic" in way.name}]
    return int(any(item["state"] in ("failed", "wrong") for item in ours))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", default="", help="URL of a real Pachyderm's S3 gateway; needs --pachd-address")
    parser.add_argument("--pachd-address", default="", help="host:port of the same Pachyderm's gRPC API")
    parser.add_argument("--called", metavar="TEXT", help="what to call that Pachyderm in the document")
    parser.add_argument("--limit", type=float, default=600, help="seconds a cell (default %(default).0f)")
    parser.add_argument("--calm", type=float, default=0, metavar="SECONDS", help="wait so long at most for a low load")
    parser.add_argument("--quick", action="store_true", help="tiny trees, to try the benchmark itself")
    parser.add_argument("--tree", action="append", default=[], help="only trees whose name has this in it; repeatable")
    parser.add_argument("--way", action="append", default=[], help="only ways whose name has this in it; repeatable")
    parser.add_argument("--out", type=Path, default=DOCS, help="the folder to write to (default docs)")
    options = parser.parse_args(arguments)
    if bool(options.endpoint) != bool(options.pachd_address):
        parser.error("--endpoint and --pachd-address name one Pachyderm together: give both, or none for the stand-in")
    if not options.out.is_dir():
        parser.error(f"--out: {options.out} is no directory; make it first")
    return options


def _chosen(options: argparse.Namespace) -> tuple[list[Tree], list[Way]]:
    def named(name: str, wanted: list[str]) -> bool:
        return not wanted or any(part in name for part in wanted)

    trees = [tree for tree in (QUICK if options.quick else TREES) if named(tree.name, options.tree)]
    ways = [way for way in WAYS if named(way.name, options.way)]
    if not trees or not ways:
        names = [tree.name for tree in TREES] if not trees else [way.name for way in WAYS]
        sys.exit(
            f"error: nothing to do; {'--tree' if not trees else '--way'} must be part of one of: {'; '.join(names)}"
        )
    return trees, ways


def _server(options: argparse.Namespace, stack: ExitStack) -> Server:
    if not options.endpoint:
        return stack.enter_context(servers.standin())
    token = os.environ.get("S3_ACCESS_KEY") or os.environ.get("AWS_ACCESS_KEY_ID") or PLACEHOLDER_KEY
    try:
        return servers.real(options.endpoint, options.pachd_address, token, options.called)
    except ConnectionError as error:
        sys.exit(f"error: --pachd-address {options.pachd_address} does not answer: {error}")


def _section(server: Server, programs: list[str]) -> Section:
    packages = ("s3sync-job", "tensorflow-io", "minio", "pachyderm-sdk")
    return Section(
        server=server.kind,
        machine=f"{os.cpu_count()} cores ({_processor()}), {_memory_gib()} GiB, server and clients on the same machine",
        versions={**{name: version(name) for name in packages}, **{name: client_version(name) for name in programs}},
        when=datetime.now(UTC).date().isoformat(),
        baseline=BASELINE,
        results=[],
    )


def _measure(
    tree: Tree, way: Way, folder: Path, server: Server, options: argparse.Namespace, programs: dict[str, Path]
) -> Result:
    load = measuring.wait_until_calm(options.calm)
    with server.repo() as repo:
        measured = way.copy(Cell(folder, server, repo, options.limit, programs))
        result = _result(tree, way, measured, options.limit, load, folder, server.files(repo))
    _say(f"{tree.name:16} {way.name:30} {found.time_of(result)} (load before: {load:.1f})")
    return result


def _result(
    tree: Tree,
    way: Way,
    measured: measuring.Measured,
    limit: float,
    load: float,
    folder: Path,
    there: dict[str, tuple[int, str]],
) -> Result:
    """Judge a run by its exit code and by what the repo holds."""
    wanted = expected(folder)
    right = sum(there.get(path) == mark for path, mark in wanted.items())
    state: found.State = "done"
    detail = ""
    if measured.code is None:
        state = "limit"
    elif measured.code:
        state, detail = "failed", (measured.output.strip().splitlines() or [f"exit code {measured.code}"])[-1][:DETAIL]
    elif there != wanted:
        state, detail = "wrong", f"{right} of {len(wanted)} files as they should be, {len(there)} files there"
    return Result(
        tree=tree.name,
        way=way.name,
        proves=way.proves,
        state=state,
        seconds=limit if measured.code is None else round(measured.seconds, 2),
        peak_bytes=measured.peak_bytes,
        files=tree.files,
        there=right,
        bytes=tree.size,
        load=load,
        detail=detail,
    )


def _keep(out: Path, name: str, section: Section) -> None:
    """Write what is known so far, so that a benchmark that is broken off leaves what it measured."""
    file = out / "benchmark.json"
    sections = json.loads(file.read_text()) if file.exists() else {}
    sections = found.merged(sections, name, section)
    file.write_text(json.dumps(sections, indent=1, ensure_ascii=False) + "\n")
    (out / "benchmark.md").write_text(found.markdown(sections.values()))


def _draw(out: Path) -> None:
    python = ensure_plotter(_say)
    command = [str(python), str(PLOT), str(out / "benchmark.json"), str(out / "benchmark.svg")]
    subprocess.run(command, check=True, timeout=PLOT_SECONDS)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
