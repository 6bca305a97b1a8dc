"""One pod on the node: brings its processes and its status in line with its latest manifest, again and again."""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from s3sync_local.node import lifecycle
from s3sync_local.node.catalogue import CatalogueError, CatalogueFile, Image, find_image
from s3sync_local.node.client import TRANSIENT, ApiError, NodeClient
from s3sync_local.node.environment import (
    ConfigError,
    Data,
    Reference,
    base_environment,
    command_line,
    expand,
    references,
    render_environment,
)
from s3sync_local.node.files import PodFiles
from s3sync_local.node.logs import LogFile, last_output
from s3sync_local.node.processes import START_FAILED, ContainerProcess, Launch, StartError
from s3sync_local.node.records import ContainerRecord, Manifest, PodRecord, Running, State, Terminated, Verdict
from s3sync_local.node.server import LogSource, LogUnavailableError
from s3sync_local.node.status import is_news, pod_status
from s3sync_local.node.sweep import MARKER

TERMINATION_VARIABLE = "S3SYNC_TERMINATION_LOG"
"""Names the file that stands for the container's ``terminationMessagePath``."""

_FALLBACK_LINES, _FALLBACK_BYTES = 80, 2048
_KILLED = 137
_AGAIN = timedelta(seconds=1)
_RETRY_LIMIT = 60
_GONE = {404, 409}
"""What the API server answers where the pod is gone, or another of its name is there."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """What all pods of the node share."""

    client: NodeClient
    catalogue: CatalogueFile
    state: Path
    marker: str
    """The beginning of the marker of every process of this node."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _Run:
    """A container's process and its log."""

    process: ContainerProcess
    log: LogFile
    task: asyncio.Task[None] = field(init=False)


class PodWorker:
    """Runs one pod (one uid) from the moment it is bound to the node until it is gone from the API server."""

    def __init__(self, context: Context, pod: Manifest) -> None:
        self.pod = pod
        self._name = lifecycle.pod_id(pod)
        self._context = context
        self._files = PodFiles.of(context.state, pod)
        self._record = PodRecord.fresh(pod, _now())
        self._runs: dict[str, _Run] = {}
        self._wake = asyncio.Event()
        self._wake.set()
        self._quiet = asyncio.Event()
        self._gone = False
        self._terminated_at: datetime | None = None
        self._is_new = True

    def update(self, pod: Manifest) -> None:
        """Take a newer version of the pod; an older one, which a watch may bring after a patch, changes nothing."""
        if int(pod["metadata"]["resourceVersion"]) > int(self.pod["metadata"]["resourceVersion"]):
            self.pod = pod
            self._wake.set()

    def remove(self) -> None:
        """The pod is gone from the API server: its processes end at once."""
        self._gone = True
        self._wake.set()

    async def shut_down(self, verdict: Verdict) -> None:
        """End the pod's processes, for the node ends; returns when they have ended and a report was tried."""
        if not self._runs:
            return
        self._record.verdict = self._record.verdict or verdict
        self._quiet.clear()
        self._wake.set()
        await self._quiet.wait()

    def find_log(self, container: str, *, previous: bool) -> LogSource:
        """The container's log; raises LogUnavailableError with the kubelet's message."""
        path = self._files.latest_log(container, previous=previous)
        if path is not None:
            run = self._runs.get(container)
            return LogSource(path, run.log if run and run.log.path == path else None)
        name = self.pod["metadata"]["name"]
        if previous:
            raise LogUnavailableError(f'previous terminated container "{container}" in pod "{name}" not found')
        reason = getattr(self._record.get(container).state, "reason", "ContainerCreating")
        raise LogUnavailableError(f'container "{container}" in pod "{name}" is waiting to start: {reason}')

    async def run(self) -> None:
        """Reconcile on every change, and when a delay is over, until the pod is gone."""
        wake_at: datetime | None = None
        failures = 0
        while not (self._gone and not self._runs):
            await self._sleep_until(wake_at)
            self._wake.clear()
            try:
                wake_at = await self._sync(_now())
                failures = 0
            except Exception as error:
                # Whatever it is: a worker that gave up would leave its processes without a master.
                failures += 1
                wake_at = _now() + timedelta(seconds=lifecycle.doubled(1, failures, _RETRY_LIMIT))
                unforeseen = None if isinstance(error, TRANSIENT) else error
                logger.warning("%s: %s; trying again at %s", self._name, error, wake_at, exc_info=unforeseen)
            finally:
                if not self._runs:
                    self._quiet.set()
        self._files.remove()

    async def _sleep_until(self, moment: datetime | None) -> None:
        delay = None if moment is None else max(0.0, (moment - _now()).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._wake.wait()

    async def _sync(self, now: datetime) -> datetime | None:
        """Do what is to be done now; returns when to look again if nothing happens before."""
        if self._gone:
            return self._stop(0.0, now)
        if self._is_new and not lifecycle.is_finished(self.pod):
            self._adopt()
        self._is_new = False
        if "deletionTimestamp" in self.pod["metadata"]:
            return await self._delete(now)
        if lifecycle.is_finished(self.pod):
            return self._stop(0.0, now)
        self._record.verdict = self._record.verdict or lifecycle.judge(self.pod, self._record, now)
        if self._record.verdict:
            wake_at = self._stop(self._record.verdict.grace, now)
        else:
            wake_at = await self._start_due(now)
        await self._report()
        return wake_at

    async def _delete(self, now: datetime) -> datetime | None:
        """End the processes, report how they ended, then let the API server forget the pod."""
        wake_at = self._stop(lifecycle.grace_of(self.pod), now)
        if self._runs:
            return wake_at
        if any(container.ran for container in self._record.all()):
            await self._report()
        try:
            await self._context.client.delete_pod(self.pod)
        except ApiError as error:
            if error.status not in _GONE:
                raise
        return _now() + timedelta(seconds=_RETRY_LIMIT)

    def _stop(self, grace: float, now: datetime) -> datetime | None:
        """SIGTERM once, SIGKILL when the grace is over; returns when to look again."""
        if not self._runs:
            return None
        if self._terminated_at is None:
            self._terminated_at = now
            for run in self._runs.values():
                run.process.terminate()
        deadline = self._terminated_at + timedelta(seconds=grace)
        if now < deadline:
            return deadline
        for run in self._runs.values():
            run.process.kill()
        return now + _AGAIN

    async def _start_due(self, now: datetime) -> datetime | None:
        for container in self._record.all():
            self._record.put(lifecycle.settle(self.pod, container, now))
        steps = lifecycle.next_steps(self.pod, self._record, now)
        for name in steps.start:
            await self._start(self._record.get(name))
        return _now() if steps.start else steps.wake_at

    async def _start(self, container: ContainerRecord) -> None:
        """Start the container; what stands against it goes into its state."""
        manifest = self._manifest(container.name)
        try:
            image = self._find_image(container, manifest)
            if image is None:
                return
            data = await self._fetch(references(manifest))
            self._launch(container, manifest, image, render_environment(manifest, self.pod, data))
        except ConfigError as error:
            self._record.put(lifecycle.failed_config(container, str(error), _now()))

    def _find_image(self, container: ContainerRecord, manifest: Manifest) -> Image | None:
        try:
            images = self._context.catalogue.images()
        except CatalogueError as error:
            self._record.put(lifecycle.failed_pull(container, str(error), _now()))
            return None
        image = find_image(images, container.image)
        if image is None and manifest.get("imagePullPolicy") == "Never":
            message = f'Container image "{container.image}" is not present with pull policy of Never'
            self._record.put(lifecycle.failed_config(container, message, _now(), "ErrImageNeverPull"))
        elif image is None:
            message = (
                f'failed to pull image "{container.image}": not found in the catalogue of the local node, which has '
            )
            self._record.put(lifecycle.failed_pull(container, message + ", ".join(sorted(images)), _now()))
        return image

    async def _fetch(self, wanted: frozenset[Reference]) -> Data:
        """The content of Secrets and ConfigMaps; raises ConfigError where one may not be read."""
        namespace = self.pod["metadata"]["namespace"]
        data: dict[Reference, Mapping[str, str] | None] = {}
        for reference in wanted:
            try:
                if reference.kind == "Secret":
                    data[reference] = _decoded(await self._context.client.read_secret(namespace, reference.name))
                else:
                    found = await self._context.client.read_config_map(namespace, reference.name)
                    data[reference] = None if found is None else found.get("data") or {}
            except ApiError as error:
                raise ConfigError(f"{reference.kind} {namespace}/{reference.name}: {error}") from error
        return data

    def _launch(
        self, container: ContainerRecord, manifest: Manifest, image: Image, variables: Mapping[str, str]
    ) -> None:
        name = container.name
        number = container.restarts + 1 if container.ran else 0
        identity = uuid4().hex
        log = LogFile(self._files.log(name, number))
        self._files.drop_logs_before(name, number)
        launch = self._launch_of(manifest, image, variables, identity)
        last = container.state if isinstance(container.state, Terminated) else container.last
        container = replace(container, last=last, restarts=number, container_id=f"process://{identity}")
        try:
            process = ContainerProcess.start(launch, log)
        except StartError as error:
            log.close()
            self._record.put(replace(container, state=self._not_started(container, str(error))))
            return
        self._record.put(replace(container, state=Running(_now())))
        self._runs[name] = run = _Run(process, log)
        run.task = asyncio.create_task(self._attend(name, run), name=f"container {name}")

    def _launch_of(self, manifest: Manifest, image: Image, variables: Mapping[str, str], identity: str) -> Launch:
        marker = f"{self._context.marker}{identity}"
        environment = {
            **base_environment(image, self.pod["metadata"]["name"], str(self._files.temporary())),
            TERMINATION_VARIABLE: str(self._files.new_termination_file(manifest["name"])),
            **variables,
            MARKER: marker,
        }
        directory = expand(manifest.get("workingDir") or str(image.workdir), variables)
        return Launch(command_line(manifest, image, variables), environment, Path(directory), marker)

    def _not_started(self, container: ContainerRecord, message: str) -> Terminated:
        text = f'failed to start container "{container.name}": {message}'
        return Terminated(START_FAILED, "StartError", text, None, _now(), container.container_id)

    async def _attend(self, name: str, run: _Run) -> None:
        """Wait for the end of the container's process and take it into the record."""
        code = await run.process.wait()
        container = self._record.get(name)
        self._record.put(replace(container, state=self._ended(container, run, code)))
        del self._runs[name]
        self._wake.set()

    def _ended(self, container: ContainerRecord, run: _Run, code: int) -> State:
        started = container.state.started_at if isinstance(container.state, Running) else None
        message = self._files.termination_message(container.name)
        policy = self._manifest(container.name).get("terminationMessagePolicy")
        if not message and code != 0 and policy == "FallbackToLogsOnError":
            message = last_output(run.log.path, _FALLBACK_LINES, _FALLBACK_BYTES).decode(errors="replace")
        reason = "Completed" if code == 0 else "Error"
        return Terminated(code, reason, message, started, _now(), container.container_id)

    async def _report(self) -> None:
        """Patch the pod's status if that is news; a pod gone or replaced meanwhile is no error."""
        status = pod_status(self.pod, self._record, _now())
        if not is_news(self.pod.get("status"), status):
            return
        try:
            self.update(await self._context.client.patch_pod_status(self.pod, status))
        except ApiError as error:
            if error.status not in _GONE:
                raise

    def _manifest(self, name: str) -> Manifest:
        spec = self.pod["spec"]
        found: Manifest = next(c for c in (*spec.get("initContainers", ()), *spec["containers"]) if c["name"] == name)
        return found

    def _adopt(self) -> None:
        """Fail a pod that an earlier life of the node had run, as its processes ended with that."""
        self._record.verdict = lifecycle.lost(self.pod)
        if self._record.verdict is None:
            return
        status = self.pod.get("status", {})
        self._record.start_time = datetime.fromisoformat(status.get("startTime") or _now().isoformat())
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            self._record.put(_recovered(self._record.get(container["name"]), container))


def _decoded(secret: Manifest | None) -> dict[str, str] | None:
    """The Secret's values as text; bytes that are no UTF-8 pass through unchanged."""
    if secret is None:
        return None
    data: Mapping[str, str] = secret.get("data") or {}
    return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in data.items()}


def _recovered(container: ContainerRecord, status: Mapping[str, Any]) -> ContainerRecord:
    """The record of a container from its last reported status; one that ran then has ended in a way that nobody saw."""
    restored = replace(container, restarts=status.get("restartCount", 0), container_id=status.get("containerID", ""))
    state = status.get("state", {})
    if "terminated" in state:
        return replace(restored, state=_terminated(state["terminated"]))
    if "running" in state:
        started = datetime.fromisoformat(state["running"]["startedAt"])
        message = "The container could not be located when the pod was terminated"
        ended = Terminated(_KILLED, "ContainerStatusUnknown", message, started, _now(), restored.container_id)
        return replace(restored, state=ended)
    return restored


def _terminated(state: Mapping[str, Any]) -> Terminated:
    started, finished = state.get("startedAt"), state.get("finishedAt")
    return Terminated(
        state["exitCode"],
        state.get("reason", ""),
        state.get("message", ""),
        datetime.fromisoformat(started) if started else None,
        datetime.fromisoformat(finished) if finished else _now(),
        state.get("containerID", ""),
    )
