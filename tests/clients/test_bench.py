"""The benchmark itself, on trees so small that it says nothing about speed."""

import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "job_image" / "bench" / "bench.py"
RUN_SECONDS = 240


def bench(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH), "--quick", f"--out={out}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)


def found(out: Path) -> dict[str, Any]:
    (section,) = json.loads((out / "benchmark.json").read_text()).values()
    return {item["way"]: item for item in section["results"]}


@pytest.fixture(scope="module")
def main() -> Iterator[Callable[[list[str]], int]]:
    """What the script does, for flags with which it soon ends."""
    known, heard = set(sys.modules), signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH.parent))
        yield importlib.import_module("bench").main
    signal.signal(signal.SIGTERM, heard)
    # Its modules have names that others may have.
    for name in set(sys.modules) - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == BENCH.parent:
            del sys.modules[name]


def test_each_way_copies_a_tree_whole_and_is_shown_with_its_time_and_memory(tmp_path: Path) -> None:
    ways = ("pfs, atomic, Checksum", "file_io, atomic, Full", "minio, atomic, Full", "AWS CLI", "MinIO client", "seed")
    ended = bench(tmp_path, "--tree=3 x", *(f"--way={way}" for way in ways))
    assert ended.returncode == 0, ended.stderr
    results = found(tmp_path)
    assert len(results) == len(ways)
    assert {item["state"] for item in results.values()} == {"done"}, ended.stderr
    assert all(item["seconds"] > 0 and item["peak_bytes"] > 0 for item in results.values())
    document, plot = (tmp_path / "benchmark.md").read_text(), (tmp_path / "benchmark.svg").read_text()
    assert "what things cost there is MODELLED" in document
    assert all(f"| {way} |" in document and way in plot for way in results)


def test_what_exceeds_the_limit_is_ended_and_shown_as_that(tmp_path: Path) -> None:
    assert bench(tmp_path, "--tree=3 x", "--way=seed", "--limit=0.1").returncode == 0
    (result,) = found(tmp_path).values()
    assert (result["state"], result["there"]) == ("limit", 0)
    assert "> 0.1 s (0 of 3 files)" in (tmp_path / "benchmark.md").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--endpoint=http://127.0.0.1:1"], "--pachd-address"),
        (["--endpoint=http://127.0.0.1:1", "--pachd-address=127.0.0.1:1"], "does not answer"),
        (["--tree=none such"], "--tree must be part of"),
        (["--out=/none/such"], "is no directory"),
    ],
)
def test_wrong_flags_are_named(
    main: Callable[[list[str]], int], tmp_path: Path, flags: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--quick", f"--out={tmp_path}", *flags])
    told = f"{capfd.readouterr().err}{ended.value.code}"
    assert ended.value.code not in (0, None)
    assert words in told
