"""Crashes at every step of syncs under way, and somebody who looks at their targets all the time."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import grpc
from pachyderm_sdk.api import pfs

from pachyderm_standin.process import StandinProcess
from s3sync_local.node.sweep import marked
from s3sync_operator.staging import owner_and_run
from tests.support.operator_process import OperatorProcess
from tests.support.pachd import UNSET_YEAR, Message, Pachd
from tests.support.syncs import Syncs

Listing = Mapping[str, str]
"""Pachyderm's hashes of a commit's files, by their paths."""

LOOK_PAUSE = 0.05
JOIN_SECONDS = 30
NOTHING_THERE: Listing = {}

STAGING, MASTER = r".*s3sync-.*", r"master\..*"
# Without these, most steps would be over before anybody saw them begin.
SLOW: Sequence[Mapping[str, object]] = (
    {"action": "latency", "operation": "FinishingCommit", "bucket": MASTER, "seconds": 0.6},
    {"action": "latency", "operation": "FinishingCommit", "seconds": 0.2},
    {"action": "latency", "operation": "ModifyFile", "seconds": 0.3},
    {"action": "latency", "operation": "AddFile", "seconds": 0.05},
    {"action": "latency", "operation": "PutObject", "seconds": 0.2},
    {"action": "latency", "operation": "GetFileSet|ComposeFileSet|ClearCommit|AddFileSet", "seconds": 0.2},
    {"action": "latency", "operation": "GetFile|GetFileTAR|WalkFile", "bucket": STAGING, "seconds": 1},
    {"action": "latency", "operation": "GetObject", "bucket": STAGING, "seconds": 0.2},
    {"action": "latency", "operation": "DropCommit|DeleteBranch", "seconds": 0.3},
)
LOSABLE = (
    *("StartCommit", "ModifyFile", "FinishCommit", "DropCommit", "DeleteBranch", "CreateBranch", "PutObject"),
    *("GetFileSet", "ComposeFileSet", "ClearCommit", "AddFileSet"),
)


class Step(StrEnum):
    """What a sync is at, as far as that can be seen in Pachyderm."""

    STAGE = "stage"
    VERIFY = "verify"
    PUBLISH = "publish"
    CLEAN_UP = "clean up"


WORKERS_STEPS = (Step.STAGE, Step.VERIFY)

LONGEST_WAIT = {Step.STAGE: 1.0, Step.VERIFY: 0.6, Step.PUBLISH: 1.2, Step.CLEAN_UP: 1.0}
"""Seconds after a step was seen to be under way in which the crash comes, at a random moment."""

MOST_AHEAD = 4
"""How much more often one step is hit than another."""


@dataclass(frozen=True)
class Allowed:
    """What a target may hold: all that was there before the run, or all of the run's; its commits tell the `mark`."""

    mark: str
    before: Listing
    after: Listing


@dataclass
class Seen:
    """What was seen of a target: its step now, and of all times the looks by what they showed, and the run's finished
    commits."""

    step: Step | None = None
    looks: Counter[str] = field(default_factory=Counter)
    published: set[str] = field(default_factory=set)


class Observer:
    """Looks at the targets from a thread of its own, and takes note of what no reader may see."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._pachd = Pachd(address)
        self._allowed: dict[str, Allowed] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self.seen: dict[str, Seen] = {}
        self.wrong: list[str] = []
        self.refused = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(JOIN_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether it still looks."""
        return self._thread.is_alive()

    def allow(self, repo: str, allowed: Allowed) -> None:
        """Say what the repo's branch `master` may hold from now on."""
        self.seen.setdefault(repo, Seen())
        self._allowed[repo] = allowed

    def _run(self) -> None:
        while not self._stop.is_set():
            for repo in list(self._allowed):
                self._look_if_up(repo)
            self._stop.wait(LOOK_PAUSE)

    def _look_if_up(self, repo: str) -> None:
        try:
            self._look(repo)
        except grpc.RpcError as error:
            failed: Any = error
            # It is down, or the commit was dropped between two calls.
            if failed.code().name not in ("UNAVAILABLE", "NOT_FOUND"):
                self.wrong.append(f"{repo}: {failed.code().name}: {failed.details()}")
            self.refused += 1
        except Exception as error:
            self.wrong.append(f"{repo}: the observer failed: {error!r}")

    def _look(self, repo: str) -> None:
        allowed, seen = self._allowed[repo], self.seen[repo]
        branch = self._pachd.branch(repo)
        heads = {found.branch.name: found.head for found in self._pachd.api.list_branch(repo=branch.repo)}
        history: list[Message] = []
        if "master" in heads:
            history = list(self._pachd.api.list_commit(repo=branch.repo, to=heads["master"]))
            self._compare(repo, history[0], allowed)
        finished = [info for info in history if info.description.startswith(allowed.mark) and is_finished(info)]
        seen.published |= {info.commit.id for info in finished}
        seen.step = step_of(history[0] if history else None, self._staged(heads))

    def _compare(self, repo: str, head: Message, allowed: Allowed) -> None:
        found = listing(self._pachd, head.commit)
        now = self._allowed[repo]
        kind = next(
            (name for name, wanted in (("whole", allowed.after), ("nothing", allowed.before)) if found == wanted),
            "whole" if found == now.after else "partial",
        )
        self.seen[repo].looks[kind] += 1
        own = head.description.startswith(allowed.mark) and is_finished(head)
        unseen = head.commit.id not in self.seen[repo].published
        if kind == "partial" or (own and unseen and kind != "whole"):
            state = "finished" if is_finished(head) else "open"
            self.wrong.append(f"{repo}: {kind}: {state} commit {head.commit.id} holds {sorted(found)}")

    def _staged(self, heads: Mapping[str, Message]) -> dict[str, Message]:
        """Return the heads of the staging branches."""
        return {
            name: self._pachd.api.inspect_commit(commit=head) for name, head in heads.items() if owner_and_run(name)
        }


def step_of(head: Message | None, staged: Mapping[str, Message]) -> Step | None:
    """Tell what a sync is at by the heads of its target and of its staging branches."""
    publishing = owner_and_run(head.description) if head else None
    if head and publishing and not is_finished(head):
        return Step.PUBLISH
    if not staged:
        return None
    if publishing in map(owner_and_run, staged):
        return Step.CLEAN_UP
    left = {"leaves its manifest" in info.description and is_finished(info) for info in staged.values()}
    if left == {True}:
        return Step.PUBLISH
    # Which of the steps before that is told by the worker that is ahead, but has not ended.
    texts = [(info.description, is_finished(info)) for info in staged.values()]
    if any("stages" in text if finished else "manifest" in text for text, finished in texts):
        return Step.VERIFY
    return Step.STAGE


def is_finished(info: Message) -> bool:
    """Tell whether a commit is finished."""
    return bool(info.finished) and info.finished.year > UNSET_YEAR


def listing(pachd: Pachd, commit: Message) -> Listing:
    """List a commit's files."""
    found = pachd.api.walk_file(file=pfs.File(commit=commit, path="/"))
    return {info.file.path: info.hash.hex() for info in found if info.file_type == pfs.FileType.FILE}


@dataclass
class Crasher:
    """Kills the operator and the workers of syncs, `wanted` times, at random moments of each step; and lets pachd be
    down, or lose answers, now and then."""

    chance: random.Random
    observer: Observer
    operator: OperatorProcess
    standin: StandinProcess
    syncs: Syncs
    wanted: int
    kills: Counter[str] = field(default_factory=Counter)
    by_step: Counter[Step] = field(default_factory=Counter)

    @property
    def done(self) -> bool:
        """Whether there were kills enough, and of each step some."""
        return self.kills.total() >= self.wanted and min(self.by_step[step] for step in Step) >= self.wanted // 8

    def strike(self) -> None:
        """Kill who is at work or the operator, if a sync is at a step that is due: no step is to be hit much more often
        than another."""
        steps = {repo: seen.step for repo, seen in self.observer.seen.items()}
        due = [(repo, step) for repo, step in steps.items() if step and self._is_due(step)]
        if self.done or not due:
            return
        repo, step = self.chance.choice(due)
        self._disturb()
        at_work = step in WORKERS_STEPS and self.chance.random() < 0.8
        time.sleep(self.chance.uniform(0, LONGEST_WAIT[step]))
        now = self.observer.seen[repo].step
        # A worker that is still there has not ended its step, whatever the others are at.
        step = now if now and (now in WORKERS_STEPS or not at_work) else step
        if victim := self._kill_worker(repo) if at_work else self._kill_operator():
            self.kills[victim] += 1
            self.by_step[step] += 1

    def _is_due(self, step: Step) -> bool:
        return self.by_step[step] <= min(self.by_step[other] for other in Step) + MOST_AHEAD

    def _disturb(self) -> None:
        """Let pachd be down for a while, or one answer get lost, in four of ten cases."""
        kind = self.chance.random()
        if kind < 0.2:
            self.standin.begin_outage(self.chance.uniform(0.2, 2))
        elif kind < 0.4:
            operation = self.chance.choice(LOSABLE)
            self.standin.set_faults([*SLOW, {"action": "lose-answer", "operation": operation, "times": 1}])

    def _kill_worker(self, sync: str) -> str | None:
        """Kill a worker of the sync, or delete its pod; None where all are gone already."""
        workers = worker_processes(sync)
        if not workers:
            return None
        pid, pod = self.chance.choice(sorted(workers.items()))
        if self.chance.random() < 0.2:
            self.syncs.kubectl("delete", "pod", pod, "--wait=false", "--ignore-not-found")
            return "pod"
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return "worker"

    def _kill_operator(self) -> str:
        self.operator.kill()
        time.sleep(self.chance.uniform(0, 1))
        self.operator.start()
        return "operator"


def worker_processes(sync: str) -> dict[int, str]:
    """Return the processes, each the first of its group, that are a sync's workers, with their pods' names."""
    pods = {pid: pod_of(pid) for pid in marked("")}
    return {pid: pod for pid, pod in pods.items() if pod.startswith(f"{sync}-") and leads_group(pid)}


def pod_of(pid: int) -> str:
    """Return the pod whose process this is, by its environment; empty where it has ended."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((text[9:].decode() for text in variables if text.startswith(b"HOSTNAME=")), "")


def leads_group(pid: int) -> bool:
    """Tell whether a process leads its group."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False
