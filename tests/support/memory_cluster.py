"""A Kubernetes in memory that holds one sync, and runs its jobs not at all or as processes of this machine."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from s3sync_operator.api import Reason, Status, Sync, parse_sync, to_utc_text
from s3sync_operator.cluster import EventType, Raw
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.runners import JOB, JobKind, kind_of_object
from tests.support import objects

JOB_SECONDS = 120


class Clock:
    """A clock for objects made at noon, which goes on by half a second whenever it is looked at."""

    def __init__(self) -> None:
        self._looks = itertools.count(20)

    def __call__(self) -> datetime:
        return datetime(2026, 11, 24, 12, tzinfo=UTC) + timedelta(seconds=next(self._looks) / 2)


class MemoryCluster:
    """Holds one sync with its TFJobs and pods, and notes what is written."""

    def __init__(self, **spec: Any) -> None:
        self.raw = objects.sync_object(**spec)
        self.jobs: list[Raw] = []
        self.pods: list[Raw] = []
        self.writes: list[str] = []
        self.events: list[str] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.refuse_lists: TemporarySyncError | None = None
        self.refuse_writes: Exception | None = None
        self.lose_answer = False
        self.fail_status_after_create = False
        self.gone = False
        self.clock: Callable[[], datetime] | None = None
        self.others: list[Raw] = []
        self.listed: list[str] = []
        self.unknown: set[str] = set()
        self.notes: dict[str, str] = {}

    @property
    def sync(self) -> Sync:
        return parse_sync(self.raw)

    @property
    def status(self) -> Status:
        return self.sync.status

    async def get_sync(self, namespace: str, name: str) -> Sync | None:
        return None if self.gone and self.sync.deleted_at else self.sync

    async def list_jobs(self, sync: Sync, kind: JobKind) -> list[Raw]:
        self.listed.append(kind.resource.plural)
        if self.refuse_lists:
            raise self.refuse_lists
        if kind.resource.plural in self.unknown:
            raise TemporarySyncError(Reason.TFJOB_CRD_NOT_INSTALLED, "install it")
        return [job for job in self.jobs if kind_of_object(job) is kind]

    async def list_pods(self, sync: Sync) -> list[Raw]:
        return list(self.pods)

    async def pod_log(self, namespace: str, pod: str) -> str:
        return ""

    async def get_secret(self, namespace: str, name: str, field: str) -> dict[str, str]:
        return self.secrets.get(name, {})

    async def create_job(self, manifest: Raw) -> Raw:
        name = manifest["metadata"]["name"]
        there = [job for job in self.jobs if job["metadata"]["name"] == name]
        if not there:
            self.writes.append("create")
            made = objects.tfjob_object(name, condition="Created")
            there = [made | {"kind": manifest["kind"], "spec": manifest["spec"]}]
            if self.clock:
                there[0]["metadata"]["creationTimestamp"] = to_utc_text(self.clock())
            self.jobs += there
        return there[0]

    async def delete_job(self, namespace: str, kind: JobKind, name: str) -> None:
        self.writes.append("delete")
        self.jobs = [job for job in self.jobs if (kind_of_object(job), job["metadata"]["name"]) != (kind, name)]

    async def warnings(self, namespace: str, uid: str) -> str:
        return self.notes.get(uid, "")

    async def write_status(self, sync: Sync, status: Status) -> bool:
        self.writes.append("status")
        if self.refuse_writes:
            raise self.refuse_writes
        if self.fail_status_after_create and "create" in self.writes[-2:]:
            raise OSError("killed")
        self.raw["status"] = status.model_dump(by_alias=True, mode="json")
        if self.lose_answer:
            self.lose_answer = False
            raise TimeoutError
        return not self.gone

    async def list_syncs(self, namespace: str | None) -> list[Raw]:
        return [self.raw, *self.others]

    async def write_finalizers(self, sync: Sync, finalizers: Sequence[str]) -> bool:
        self.writes.append("finalizers")
        self.raw["metadata"]["finalizers"] = list(finalizers)
        if not finalizers and "deletionTimestamp" in self.raw["metadata"]:
            self.gone = True
        return True

    async def post_event(self, sync: Sync, kind: EventType, reason: str, note: str) -> None:
        self.events.append(reason)


class JobCluster(MemoryCluster):
    """Runs each TFJob's workers as processes of s3sync-job, in the folder that stands for the image."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        super().__init__(**spec)
        self._folder = folder

    async def delete_job(self, namespace: str, kind: JobKind, name: str) -> None:
        """Delete it with its pods, as the garbage collector would."""
        await super().delete_job(namespace, kind, name)
        self.pods = [pod for pod in self.pods if not pod["metadata"]["name"].startswith(f"{name}-worker-")]

    async def run_jobs(self, *only: int) -> None:
        """Run the workers that have not run yet, or those of them by these numbers, to their end."""
        for job in list(self.jobs):
            kind = kind_of_object(job)
            indices = only or range(kind.workers(job))
            run = {pod["metadata"]["name"] for pod in self.pods}
            due = [index for index in indices if f"{job['metadata']['name']}-worker-{index}" not in run]
            self.pods += await asyncio.gather(*(self._run_worker(job, index) for index in due))

    async def _run_worker(self, job: Raw, index: int) -> Raw:
        name, kind = job["metadata"]["name"], kind_of_object(job)
        container = kind.template(job)["spec"]["containers"][0]
        peers = [f"{name}-worker-{number}:2222" for number in range(kind.workers(job))]
        cluster = {"cluster": {"worker": peers}, "task": {"type": "worker", "index": index}}
        place = {"JOB_COMPLETION_INDEX": str(index)} if kind is JOB else {"TF_CONFIG": json.dumps(cluster)}
        log = self._folder / f"{name}-{index}.report"
        environment = {
            "PATH": os.environ["PATH"],
            **place,
            "S3SYNC_TERMINATION_LOG": str(log),
            **{item["name"]: item["value"] for item in container["env"]},
        }
        program = Path(sys.executable).parent / "s3sync-job"
        process = await asyncio.create_subprocess_exec(
            program, *container["args"], cwd=self._folder, env=environment,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(JOB_SECONDS):
            code = await process.wait()
        state = objects.terminated(code, log.read_text())
        pod = objects.pod_object(name, "Failed" if code else "Succeeded", state=state)
        pod["metadata"] |= {"name": f"{name}-worker-{index}", "uid": f"{name}-{index}"}
        return pod
