"""What a benchmark found, as it is kept in docs/benchmark.json and shown in docs/benchmark.md (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypedDict

State = Literal["done", "limit", "failed", "wrong"]


class Result(TypedDict):
    """A cell: `seconds` is the limit where that ended it; `there` is how many of the tree's files the repo then had,
    and `load` the machine's (of a minute) before it."""

    tree: str
    way: str
    proves: str
    state: State
    seconds: float
    peak_bytes: int
    files: int
    there: int
    bytes: int
    load: float
    detail: str


class Section(TypedDict):
    """All cells of one run, and what they ran on."""

    server: str
    machine: str
    versions: Mapping[str, str]
    when: str
    baseline: str
    results: list[Result]


INTRODUCTION = """\
# Benchmark

Written by `make bench`, which copies the same trees in different ways, one after the other, each into its own new repo:

```
make bench                                                                     # the stand-in
make bench S3_ENDPOINT=http://pachd:30600 PACHD_ADDRESS=pachd:30650 S3_ACCESS_KEY=<token>  # a real Pachyderm
```

Ours (`pfs`, `file_io`, `minio`) are whole atomic syncs: s3sync-job stages and verifies, the operator's modules publish
in one commit and clean up. The others write file by file to the branch, where every reader sees the half of it, and
read nothing back, but for the seed's script, which reads without comparing. After each run the sizes and hashes of all
files in the repo are checked, outside of the time. Times are a wall clock's, from the start of the process, which takes
ours a second or more of Python and TensorFlow; memory is the copying process's. What did not end within the limit is
shown as `> limit`, with how many of the files were there; a way that a table lacks was not run on that tree.

A Pachyderm takes about a tenth of a second of a processor's time for each request, on small machines
([what things cost](../tests/contract/README.md#what-things-cost)), and a third of a second for each commit. So a way
takes as long as its requests and commits are many: others send a request a file, each of which becomes a commit;
`file_io` and `minio` send the same into one commit for 200 files, `Full` another request to read each back, and `pfs`
sends one in all.

![Times of all ways and trees](benchmark.svg)
"""


def markdown(sections: Iterable[Section]) -> str:
    """Return the document."""
    return "\n".join([INTRODUCTION, *(_section(section) for section in sections)])


def _section(section: Section) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in section["versions"].items())
    facts = (
        f"{section['when']}. {section['machine']}; {_load(section)}. {versions}. "
        f"Ratios are to the {section['baseline']} in the same run."
    )
    trees = dict.fromkeys(result["tree"] for result in section["results"])
    tables = [_table(section, tree) for tree in trees]
    return "\n".join([f"## On {section['server']}\n", f"{facts}\n", *tables])


def _load(section: Section) -> str:
    loads = [result["load"] for result in section["results"]]
    return f"load before a cell {min(loads):.1f} to {max(loads):.1f}" if loads else "nothing run"


def _table(section: Section, tree: str) -> str:
    results = [result for result in section["results"] if result["tree"] == tree]
    base = next((result for result in results if result["way"] == section["baseline"]), None)
    lines = [
        f"### {tree} ({results[0]['files']:,} files, {results[0]['bytes'] / 1e6:.1f} MB)\n",
        f"| way | wall time | against the {section['baseline']} | peak memory | proved |",
        "|---|---|---|---|---|",
        *(
            f"| {item['way']} | {time_of(item)} | {ratio(item, base)} | {_memory(item)} | {item['proves']} |"
            for item in results
        ),
    ]
    return "\n".join([*lines, ""])


def time_of(result: Result) -> str:
    """Return a time to show, or why there is none."""
    match result["state"]:
        case "done":
            return f"{result['seconds']:.1f} s"
        case "limit":
            return f"> {result['seconds']:g} s ({_reached(result)})"
        case "wrong":
            return f"{result['seconds']:.1f} s, and wrong: {result['detail']}"
        case "failed":
            return f"failed: {result['detail']}"


def _reached(result: Result) -> str:
    """Return how far a run came; those that commit file by file keep their pace."""
    share = f"{result['there']:,} of {result['files']:,} files"
    if not 0 < result["there"] < result["files"]:
        return share
    return f"{share}; at that pace {result['seconds'] * result['files'] / result['there']:,.0f} s"


def ratio(result: Result, base: Result | None) -> str:
    """Return how many times faster or slower than the baseline; a bound where one of the two met the limit."""
    known = {"done", "limit"}
    if base is None or result is base or not {result["state"], base["state"]} <= known:
        return "–"
    if result["state"] == base["state"] == "limit":
        return "–"
    faster = base["seconds"] / result["seconds"]
    if base["state"] == "limit":
        return f"more than {faster:.1f} times faster"
    if result["state"] == "limit":
        return f"more than {1 / faster:.1f} times slower"
    return f"{faster:.1f} times faster" if faster >= 1 else f"{1 / faster:.1f} times slower"


def _memory(result: Result) -> str:
    return f"{result['peak_bytes'] / 1e6:.0f} MB" if result["peak_bytes"] else "–"


def merged(sections: Mapping[str, Section], name: str, section: Section) -> dict[str, Section]:
    """Return the sections with one replaced; a real Pachyderm's comes first.

    Trees that were not run now stay as they were, if all else of the section is the same: a tree's ways are always
    compared in one run.
    """
    found = {**sections, name: section}
    before = sections.get(name)
    if before and {**before, "results": []} == {**section, "results": []}:
        now = {result["tree"] for result in section["results"]}
        kept = [result for result in before["results"] if result["tree"] not in now]
        found[name] = {**section, "results": [*kept, *section["results"]]}
    order: Sequence[str] = ("real", "standin")
    return {key: found[key] for key in order if key in found}
