"""The node as a whole: registers itself, watches pods, gives each its worker, and leaves nothing behind."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from s3sync_local.node import sweep
from s3sync_local.node.catalogue import CatalogueFile
from s3sync_local.node.client import TRANSIENT, ApiError, NodeClient
from s3sync_local.node.files import remove_all_but
from s3sync_local.node.lifecycle import doubled, grace_of, pod_id
from s3sync_local.node.machine import this_machine
from s3sync_local.node.records import Manifest, Verdict
from s3sync_local.node.registration import lease_manifest, node_labels, node_manifest
from s3sync_local.node.scheduling import fits, is_marked_unschedulable, unschedulable_condition, wants_node
from s3sync_local.node.server import LogServer, LogSource, LogUnavailableError
from s3sync_local.node.status import rfc3339
from s3sync_local.node.worker import Context, PodWorker

_LEASE_EVERY = 10.0
_STATUS_EVERY_LEASES = 30
_WATCH_SECONDS = 240
_ATTEMPTS = 6
_BACKOFF_LIMIT = 10
_STOP_GRACE = 3.0
_STOP_SECONDS = 6.0
_FAREWELL_SECONDS = 5.0
_GUARD_SECONDS = 15.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeSettings:
    """How the node is started: its name, where it keeps its state, its port (0: a free one) and extra labels."""

    name: str
    state: Path
    port: int
    labels: Mapping[str, str]


class Guard:
    """A process that ends what the node leaves when it is killed, and at its orderly end as well."""

    def __init__(self, marker: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", sweep.__file__, marker], stdin=subprocess.PIPE, start_new_session=True
        )

    async def dismiss(self) -> None:
        """Let it end all that carries the marker, and wait for that."""
        assert self._process.stdin  # noqa: S101 - it is a pipe, for the type checker
        self._process.stdin.close()
        code = await asyncio.to_thread(self._process.wait, _GUARD_SECONDS)
        if code != 0:
            logger.error("processes of this node's pods would not end")


class Agent:
    """A node of the cluster. ``run`` it in the main thread, whose life its pods' processes share."""

    def __init__(self, settings: NodeSettings, client: NodeClient, catalogue: CatalogueFile) -> None:
        self._settings = settings
        self._client = client
        self._marker = f"{uuid4().hex}/"
        self._context = Context(client, catalogue, settings.state, self._marker)
        self._machine = this_machine(settings.state)
        self._labels = node_labels(settings.name, self._machine, settings.labels)
        self._server = LogServer(self._find_log, client.authority)
        self._port = 0
        self._uid = ""
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._scheduling: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Be a node until ``stop`` is set; raises ApiError and the like where the API server refuses the node."""
        guard = Guard(self._marker)
        try:
            self._port = await self._server.start(self._settings.port)
            await self._work_until(stop)
        finally:
            await self._leave()
            await guard.dismiss()

    async def _work_until(self, stop: asyncio.Event) -> None:
        work = asyncio.create_task(self._work(), name="node")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()  # It ends by an error alone.
        finally:
            await _cancel(work, stopped, *self._scheduling.values())

    async def _work(self) -> None:
        await _retry(self._register)
        logger.info("node %s: pod logs at 127.0.0.1:%d", self._settings.name, self._port)
        await asyncio.gather(self._beat(), self._watch())

    async def _register(self) -> None:
        now = datetime.now(UTC)
        manifest = node_manifest(self._settings.name, self._labels, self._port, self._machine, now)
        self._uid = (await self._client.apply_node(manifest))["metadata"]["uid"]
        await self._renew_lease()

    async def _renew_lease(self) -> None:
        await self._client.renew_lease(lease_manifest(self._settings.name, self._uid, datetime.now(UTC)))

    async def _beat(self) -> None:
        """Renew the lease every 10 s and the Node every 5 min; what fails is tried again at the next beat."""
        beats = 0
        while True:
            await asyncio.sleep(_LEASE_EVERY)
            beats += 1
            try:
                if beats % _STATUS_EVERY_LEASES == 0:
                    await self._register()
                else:
                    await self._renew_lease()
            except TRANSIENT as error:
                logger.warning("heartbeat: %s", error)

    async def _watch(self) -> None:
        """List, then watch; again after every watch, which is the resync, and with a growing delay after a failure."""
        failures = 0
        while True:
            try:
                version = await self._list()
                failures = 0
                async for kind, pod in self._client.watch_pods(version, _WATCH_SECONDS):
                    self._observe(kind, pod)
            except TRANSIENT as error:
                failures += 1
                logger.warning("watch: %s", error)
                await asyncio.sleep(doubled(1, failures, _BACKOFF_LIMIT))

    async def _list(self) -> str:
        pods, version = await self._client.list_pods()
        present = {pod["metadata"]["uid"] for pod in pods}
        for uid, worker in list(self._workers.items()):
            if uid not in present:
                worker.remove()
        remove_all_but(self._settings.state, pods + [worker.pod for worker in self._workers.values()])
        for pod in pods:
            self._observe("ADDED", pod)
        return version

    def _observe(self, kind: str, pod: Manifest) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if kind == "DELETED":
            if worker:
                worker.remove()
        elif worker:
            worker.update(pod)
        elif pod["spec"].get("nodeName") == self._settings.name:
            self._employ(uid, pod)
        elif wants_node(pod) and uid not in self._scheduling:
            task = asyncio.create_task(self._schedule(pod), name=f"schedule {pod_id(pod)}")
            self._scheduling[uid] = task
            task.add_done_callback(lambda _: self._scheduling.pop(uid, None))

    def _employ(self, uid: str, pod: Manifest) -> None:
        self._workers[uid] = worker = PodWorker(self._context, pod)
        self._tasks[uid] = task = asyncio.create_task(worker.run(), name=f"pod {pod_id(pod)}")
        task.add_done_callback(lambda done: self._dismiss(uid, done))

    def _dismiss(self, uid: str, task: asyncio.Task[None]) -> None:
        worker = self._workers.pop(uid)
        del self._tasks[uid]
        if not task.cancelled() and task.exception():
            logger.error("%s: the worker failed", pod_id(worker.pod), exc_info=task.exception())

    async def _schedule(self, pod: Manifest) -> None:
        """Take the pod, or tell that it fits nowhere; one that somebody else took or removed meanwhile is no error."""
        try:
            if fits(pod, self._labels):
                await _retry(lambda: self._client.bind(pod, self._settings.name))
            elif not is_marked_unschedulable(pod):
                condition = unschedulable_condition(rfc3339(datetime.now(UTC)))
                await _retry(lambda: self._client.patch_pod_status(pod, {"conditions": [condition]}))
        except ApiError as error:
            if error.status not in {404, 409}:
                logger.warning("scheduling %s: %s", pod_id(pod), error)
        except TRANSIENT as error:
            logger.warning("scheduling %s: %s", pod_id(pod), error)

    def _find_log(self, namespace: str, name: str, container: str, previous: bool) -> LogSource:
        for worker in reversed(self._workers.values()):
            meta = worker.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name):
                return worker.find_log(container, previous=previous)
        raise LogUnavailableError(f'pod "{name}" is not on this node')

    async def _leave(self) -> None:
        """End the pods' processes, take the Node off the API server, and remove the node's files."""
        await _within(_STOP_SECONDS, asyncio.gather(*(w.shut_down(_farewell(w.pod)) for w in self._workers.values())))
        await _cancel(*self._tasks.values())
        await self._server.stop()
        await _within(_FAREWELL_SECONDS, self._client.remove_node(self._settings.name))
        remove_all_but(self._settings.state, ())
        _remove_empty(self._settings.state / "pods", self._settings.state)


def _farewell(pod: Manifest) -> Verdict:
    message = "Pod was terminated in response to imminent node shutdown."
    return Verdict("Terminated", message, grace=min(grace_of(pod), _STOP_GRACE))


def _remove_empty(*directories: Path) -> None:
    for directory in directories:
        try:
            directory.rmdir()
        except OSError:  # Somebody else's files are in it.
            return


async def _retry(call: Callable[[], Awaitable[object]]) -> None:
    """Try a few times with a growing delay; raises what the last try raised, or a refusal that no retry mends."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await call()
        except TRANSIENT as error:
            if attempt == _ATTEMPTS or (isinstance(error, ApiError) and error.status in {400, 401, 403, 409, 422}):
                raise
            await asyncio.sleep(doubled(1, attempt, _BACKOFF_LIMIT) / 4)
        else:
            return


async def _within(seconds: float, work: Awaitable[object]) -> None:
    """Do the last things as far as time and the API server let us."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TRANSIENT as error:
        logger.warning("leaving: %s", error or "out of time")


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
