"""`python -m tests.mutation`: make each fault in a copy of the tree, and see which test finds it."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.mutation.check import Check, Verdict
from tests.mutation.faults import Fault, FaultError, chosen, read_faults
from tests.mutation.scratch import Scratch

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where each fault is found, and 1 where one is not; 2 where a fault does not fit the tree."""
    flags = _flags().parse_args(arguments)
    # What is ignored here, as in the background of a script, would be ignored by the tests too when their time is up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        faults = chosen(read_faults(), flags.only)
        verdicts = list(_judged(faults, flags))
    except FaultError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    found = sum(verdict.result == "found" for verdict in verdicts)
    sys.stdout.write(f"{found} of {len(verdicts)} found\n")
    return 0 if found == len(verdicts) and not (flags.before and _lost(flags.before, verdicts)) else 1


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="these faults alone")
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH", help="these instead of each fault's own")
    parser.add_argument("--first", action="store_true", help="of each fault's tests, the cheapest alone")
    parser.add_argument("--tree", type=Path, default=ROOT, metavar="DIR", help="the tree to make them in (this one)")
    parser.add_argument("--time-limit", type=float, default=300, metavar="SECONDS", help="of each run of pytest (300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found here, too")
    parser.add_argument("--before", type=Path, metavar="FILE", help="an earlier --json: name what only that one found")
    return parser


def _judged(faults: Iterable[Fault], flags: argparse.Namespace) -> Iterable[Verdict]:
    """Yield the verdicts as they come; what is written so far stays where the rest is interrupted."""
    done: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="s3sync-mutation-") as folder:
        scratch = Scratch(flags.tree.resolve(), Path(folder).resolve())
        check = Check(scratch, flags.time_limit)
        for fault in faults:
            verdict = check.judge(fault, flags.tests or (fault.tests[:1] if flags.first else ()))
            done.append(verdict)
            sys.stdout.write(_line(verdict))
            sys.stdout.flush()
            if flags.json:
                flags.json.write_text(json.dumps([item.plain() for item in done], indent=1) + "\n")
            yield verdict


def _line(verdict: Verdict) -> str:
    how = verdict.by or verdict.said[-300:]
    return f"{verdict.fault:<34} {verdict.result:<10} {verdict.seconds:>6.1f} s {verdict.cpu:>6.1f} CPU  {how}\n"


def _lost(before: Path, verdicts: Iterable[Verdict]) -> list[str]:
    known = {item["fault"] for item in json.loads(before.read_text()) if item["result"] == "found"}
    lost = [verdict.fault for verdict in verdicts if verdict.result != "found" and verdict.fault in known]
    if lost:
        sys.stdout.write(f"found before, and not now: {', '.join(lost)}\n")
    return lost


if __name__ == "__main__":
    sys.exit(main())
