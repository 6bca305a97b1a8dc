"""Atomic syncs whose operator and workers are killed at random moments: one commit a run or none, never half a tree.

`make crash` kills a hundred times. CRASH_KILLS=number and CRASH_SEED=number say how often, and which moments.
"""

import json
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pachyderm_standin.etag import content_hash
from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.staging import owner_and_run
from tests.integration.conftest import QUICK, Syncs, conditions, plant
from tests.support.cluster import TREES_IMAGE
from tests.support.crashes import NOTHING_THERE, SLOW, Allowed, Crasher, Listing, Observer, Step, listing
from tests.support.operator_process import OperatorProcess
from tests.support.pachd import Message, Pachd

KILLS = int(os.environ.get("CRASH_KILLS", "12"))
SEED = int(os.environ.get("CRASH_SEED", "") or random.SystemRandom().randrange(1_000_000))
MOST_ROUNDS = 5 + KILLS
ROUND_SECONDS = 420
SWEPT_SECONDS = 60
LEAST_ROUNDS, UNCHANGED = 3, 2
NEW = 40
"""So many that each of two workers copies in more than one round."""

FOREIGN = {"/beside.txt": b"not the sync's", "/data/lost.txt": b"to be pruned"}
# Each kill of a worker costs an attempt; none may be what ends a sync.
SETTINGS = QUICK | {"max_attempts": 10_000, "retry_delay_max": 1, "sweep_interval": 2}


@dataclass
class Run:
    """A sync under test: its name, which is its repo's, its client, and what its target holds by now."""

    name: str
    client: str
    outside: Listing
    holds: Listing
    tree: dict[str, bytes] = field(default_factory=dict)
    wanted: Listing = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)


@pytest.fixture
def sturdy(installed: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that does not give up."""
    with OperatorProcess(installed, tmp_path / "operator.log", namespaces=namespace, **SETTINGS) as process:
        yield process
        text = process.log.read_text()
    assert "Traceback" not in text, text


@pytest.fixture
def runs(pachd: Pachd) -> list[Run]:
    """A sync for each client; the one by pfs has a repo with files already."""
    names = {client: f"crash-{client.replace('_', '')}-{uuid4().hex[:6]}" for client in ("pfs", "minio", "file_io")}
    branch = pachd.branch(names["pfs"])
    pachd.api.create_repo(repo=branch.repo)
    pachd.commit(branch, FOREIGN)
    held = hashes(FOREIGN)
    outside = {path: text for path, text in held.items() if not path.startswith("/data/")}
    return [
        Run(name, client, *((outside, held) if client == "pfs" else (NOTHING_THERE, NOTHING_THERE)))
        for client, name in names.items()
    ]


def hashes(files: dict[str, bytes]) -> Listing:
    return {path: content_hash(content) for path, content in files.items()}


def next_tree(chance: random.Random, tree: dict[str, bytes]) -> dict[str, bytes]:
    """Return a tree that keeps half of another one's files, of which some are changed, some gone and some new."""
    kept = {path: content for path, content in tree.items() if chance.random() > 0.5}
    for path in [path for path in kept if chance.random() < 0.25]:
        kept[path] = chance.randbytes(chance.randrange(20_000))
    new = {f"{chance.choice('abc')}/{uuid4().hex[:8]}": chance.randbytes(chance.randrange(20_000)) for _ in range(NEW)}
    return kept | new | {"large.bin": tree.get("large.bin") or chance.randbytes(1_200_000)}


@pytest.mark.timeout(180 + 60 * KILLS)
def test_whoever_is_killed_a_run_is_one_commit_or_none_and_never_half_a_tree(
    syncs: Syncs,
    standin: StandinProcess,
    sturdy: OperatorProcess,
    pachd: Pachd,
    trees: Path,
    runs: list[Run],
) -> None:
    print(f"CRASH_SEED={SEED} CRASH_KILLS={KILLS}")
    chance = random.Random(SEED)
    standin.set_faults(SLOW)
    standin.reset_requests()
    with Observer(standin.pachd_address) as observer:
        crasher = Crasher(chance, observer, sturdy, standin, syncs, KILLS)
        number = 0
        while not crasher.done or number < LEAST_ROUNDS:
            number += 1
            assert number <= MOST_ROUNDS, crasher
            begin_round(syncs, observer, trees, runs, chance, number)
            statuses = crash_until_ready(syncs, crasher, runs)
            for run in runs:
                assert_one_commit_or_none(syncs, pachd, run, statuses[run.name])
            assert observer.wrong == []
            print(f"round {number}: {dict(crasher.kills)} at {dict(crasher.by_step)}, seed {SEED}", flush=True)
        for run in runs:
            assert_nothing_is_left(pachd, run)
        assert observer.alive
    assert observer.wrong == []
    for run in runs:
        seen = observer.seen[run.name]
        assert seen.published == set(run.commits)
        assert (seen.looks["nothing"] > 0, seen.looks["whole"] > 0) == (True, True), seen.looks
    print(f"{dict(crasher.kills)}; looks: {[dict(seen.looks) for seen in observer.seen.values()]}")
    assert min(crasher.by_step[step] for step in Step) >= KILLS // 8
    asked = standin.requests()["by_operation"]
    assert min(asked.get(call, 0) for call in ("ClearCommit", "AddFileSet")) > 0, "workers copied in rounds"


def begin_round(
    syncs: Syncs, observer: Observer, trees: Path, runs: list[Run], chance: random.Random, number: int
) -> None:
    """Give each sync another tree; in some rounds, one with the same content."""
    for run in runs:
        if number % LEAST_ROUNDS != UNCHANGED:
            run.tree = next_tree(chance, run.tree)
        place = plant(trees, f"{run.name}-{number}", run.tree)
        run.wanted = {**run.outside, **hashes({f"/data/{path}": content for path, content in run.tree.items()})}
        mark = f"s3sync {syncs.namespace}/{run.name} "
        observer.allow(run.name, Allowed(mark, before=run.holds, after=run.wanted))
        verify = chance.choice(["Full", "Checksum"])
        spec = {"inputPath": place, "destinationPath": "data", "client": run.client, "verify": verify, "workers": 2}
        syncs.apply(run.name, image=TREES_IMAGE, pachdAddress=observer.address, prune={}, **spec)


def crash_until_ready(syncs: Syncs, crasher: Crasher, runs: list[Run]) -> dict[str, dict[str, Any]]:
    """Kill and let live, until all syncs are ready, and return their statuses."""
    deadline = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < deadline:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            crasher.strike()
            time.sleep(0.05)
        found = json.loads(syncs.kubectl("get", "ps3", "-o", "json"))["items"]
        if len(found) == len(runs) and all(is_ready(sync) for sync in found):
            return {sync["metadata"]["name"]: sync["status"] for sync in found}
        if any("Stalled" in conditions(sync.get("status", {})) for sync in found):
            break
    told = json.dumps([sync.get("status") for sync in found], indent=1)
    raise AssertionError(f"given up, or not ready after {ROUND_SECONDS} s: {told}\n{syncs.objects()}")


def is_ready(sync: dict[str, Any]) -> bool:
    status = sync.get("status", {})
    current = status.get("observedGeneration") == sync["metadata"]["generation"]
    return current and conditions(status).get("Ready", {}).get("status") == "True"


def own_commits(syncs: Syncs, pachd: Pachd, run: Run) -> list[Message]:
    """Return the sync's commits in the history of its target, oldest first."""
    branch = pachd.branch(run.name)
    history = list(pachd.api.list_commit(repo=branch.repo, to=pachd.head(branch)))
    return [info for info in reversed(history) if info.description.startswith(f"s3sync {syncs.namespace}/{run.name} ")]


def assert_one_commit_or_none(syncs: Syncs, pachd: Pachd, run: Run, status: dict[str, Any]) -> None:
    """What differs from before is in one new commit, which status names; no commit was made where nothing does."""
    commits = own_commits(syncs, pachd, run)
    head = pachd.head(pachd.branch(run.name))
    reason = conditions(status)["Ready"]["reason"]
    changed = run.wanted != run.holds
    if changed:
        run.commits.append(head.id)
    assert [info.commit.id for info in commits] == run.commits
    assert (reason, status["commit"]) == ("Verified" if changed else "Unchanged", head.id)
    assert all(not info.error for info in commits)
    assert len({owner_and_run(info.description) for info in commits}) == len(commits), "a commit a run"
    assert listing(pachd, head) == run.wanted
    assert pachd.files(head) == pachd.files(head) | {f"/data/{path}": text for path, text in run.tree.items()}
    run.holds = run.wanted


def assert_nothing_is_left(pachd: Pachd, run: Run) -> None:
    """Staging branches go, with their commits, if a sweep is given its time."""
    repo = pachd.branch(run.name).repo
    deadline = time.monotonic() + SWEPT_SECONDS
    left: list[str] = []
    while time.monotonic() < deadline:
        branches = [info.branch.name for info in pachd.api.list_branch(repo=repo)]
        staged = [info.commit.id for info in pachd.commits(repo) if info.description.startswith("s3sync-job ")]
        left = [*filter(owner_and_run, branches), *staged]
        if not left:
            return
        time.sleep(0.5)
    raise AssertionError(f"still there after {SWEPT_SECONDS} s: {left}")
