"""Commands that wait, before an API server that answers as it is told to: it hangs, fails, or takes its time."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from s3sync_cli.app import app
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED
from tests.support.objects import pod_object, sync_object, terminated

S3SYNC = Path(sys.executable).parent / "s3sync"
PATH = "/apis/sync.pachyderm.io/v1alpha1/namespaces/kubeflow/pachydermsyncs/books"
Answer = dict[str, Any] | int
SOON = 0.05
"""How often a command looks, in seconds."""


@dataclass
class Server:
    """Answers each look at the sync by what `answers` gives of its number: a status, or an HTTP status to fail with."""

    answers: Callable[[int], Answer]
    broken: int = 0
    looks: int = 0
    logs: int = 0
    listed: int = 0
    annotations: dict[str, str] = field(default_factory=dict)
    url: str = ""

    async def sync(self, request: web.Request) -> web.Response:
        self.looks += 1
        answer = self.answers(self.looks)
        if answer == 0:
            await asyncio.sleep(5)
        if isinstance(answer, int):
            return web.json_response({"message": "not now"}, status=answer or 504)
        token = self.annotations.get(ANNOTATION_RUN_REQUESTED)
        status = {"observedGeneration": 1, "lastHandledRunRequest": token, **answer}
        return web.json_response(sync_object(status=status))

    async def patch(self, request: web.Request) -> web.Response:
        self.annotations = (await request.json())["metadata"]["annotations"]
        return web.json_response(sync_object())

    async def pods(self, request: web.Request) -> web.Response:
        self.listed += 1
        if self.listed <= self.broken:
            return web.json_response({"message": "not now"}, status=500)
        pod = pod_object("books-1", "Succeeded", state=terminated(0))
        pod["metadata"]["ownerReferences"][0]["apiVersion"] = "kubeflow.org/v1"
        pod["status"]["containerStatuses"][0] |= {"image": "job", "imageID": "", "ready": False, "restartCount": 0}
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [pod]})

    async def log(self, request: web.Request) -> web.StreamResponse:
        """Write two lines; the first `broken` times it breaks off after one, and the time before that it fails."""
        self.logs += 1
        if self.logs <= self.broken:
            if self.logs <= 1:
                return web.json_response({"message": "not now"}, status=503)
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"the job's line\n")
            assert request.transport
            request.transport.close()
            return response
        return web.Response(text="the job's line\nand its last\n")


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def start() -> web.AppRunner:
        application = web.Application()
        application.router.add_get(PATH, server.sync)
        application.router.add_patch(PATH, server.patch)
        application.router.add_get("/api/v1/namespaces/kubeflow/pods", server.pods)
        application.router.add_get("/api/v1/namespaces/kubeflow/pods/{name}/log", server.log)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(end_what_hangs())
        loop.close()

    async def end_what_hangs() -> None:
        """End the answers that outlive the connections which waited for them."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command that runs in this process look again soon."""
    for pause in ("logs.PAUSE", "requests.FIRST_PAUSE", "requests.LONGEST_PAUSE"):
        monkeypatch.setattr(f"s3sync_cli.{pause}", SOON)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Callable[[Server], str]:
    def write(server: Server) -> str:
        path = tmp_path / "kubeconfig"
        path.write_text(
            "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
            f" clusters: [{{name: c, cluster: {{server: '{server.url}'}}}}],"
            " contexts: [{name: c, context: {cluster: c, user: u, namespace: kubeflow}}]}"
        )
        return str(path)

    return write


def call(kubeconfig: Callable[[Server], str], server: Server, *arguments: str) -> Result:
    flags = ("--kubeconfig", kubeconfig(server), "--request-timeout", "1")
    return CliRunner().invoke(app, [*arguments, *flags])


READY = {"type": "Ready", "status": "True", "reason": "Verified", "message": "done", "observedGeneration": 1}
DONE = {
    "phase": "Succeeded",
    "tfJobName": "books-1",
    "conditions": [{**READY, "lastTransitionTime": "2026-11-24T12:00:00Z"}],
}
RUNNING = {"phase": "Running", "tfJobName": "books-1"}


@pytest.mark.parametrize("trouble", [0, 429, 500, 503])
def test_a_run_is_waited_for_through_answers_that_fail(kubeconfig: Any, trouble: int) -> None:
    answers: list[Answer] = [RUNNING, trouble, RUNNING, trouble, DONE]
    with serving(Server(lambda look: answers[min(look, 5) - 1])) as server:
        result = call(kubeconfig, server, "retry", "books", "--wait", "--timeout", "60")
    assert (result.exit_code, server.looks) == (0, 5), (result.output, result.exception)


def test_an_api_server_that_never_answers_is_waited_for_no_longer_than_asked(kubeconfig: Any) -> None:
    with serving(Server(lambda look: RUNNING if look == 1 else 503)) as server:
        result = call(kubeconfig, server, "retry", "books", "--wait", "--timeout", "1")
    assert (result.exit_code, "the API server has not told" in result.output) == (4, True)


def test_an_api_server_that_hangs_is_waited_for_no_longer_than_asked(kubeconfig: Any) -> None:
    with serving(Server(lambda look: RUNNING if look == 1 else 0)) as server:
        begun = time.monotonic()
        flags = ("--kubeconfig", kubeconfig(server), "--request-timeout", "60")
        result = CliRunner().invoke(app, ["retry", "books", "--wait", "--timeout", "1", *flags])
    assert (result.exit_code, time.monotonic() - begun < 5) == (4, True)


def test_a_run_whose_sync_is_deleted_is_waited_for_no_longer(kubeconfig: Any) -> None:
    with serving(Server(lambda look: RUNNING if look == 1 else 404)) as server:
        result = call(kubeconfig, server, "retry", "books", "--wait", "--timeout", "60")
    assert result.exit_code == 3


def test_a_log_is_followed_through_a_publish_that_takes_longer_than_a_pod_is_waited_for(kubeconfig: Any) -> None:
    longer = 1 + round(1 / SOON)
    with serving(Server(lambda look: DONE if look > longer else RUNNING)) as server:
        result = call(kubeconfig, server, "logs", "books", "-f", "--pod-timeout", "1")
    assert (result.exit_code, result.output) == (0, "the job's line\nand its last\n")


def test_a_log_is_followed_through_an_api_server_that_fails(kubeconfig: Any) -> None:
    answers: list[Answer] = [RUNNING, 503, 0, DONE]
    with serving(Server(lambda look: answers[min(look, 4) - 1], broken=3)) as server:
        result = call(kubeconfig, server, "logs", "books", "-f", "--pod-timeout", "20")
    assert (result.exit_code, result.output) == (0, "the job's line\nand its last\n")


def test_a_log_that_never_comes_is_given_up(kubeconfig: Any) -> None:
    with serving(Server(lambda _: RUNNING, logs=-99)) as server:
        result = call(kubeconfig, server, "logs", "books")
    assert (result.exit_code, "broke off 5 times" in result.output) == (3, True)


def test_an_attempt_that_is_due_and_does_not_come_is_waited_for_no_longer_than_asked(kubeconfig: Any) -> None:
    late = {**RUNNING, "phase": "Retrying", "nextAttemptTime": "2026-01-01T00:00:00Z"}
    with serving(Server(lambda look: late if look > 1 else RUNNING)) as server:
        result = call(kubeconfig, server, "logs", "books", "-f", "--pod-timeout", "1")
    assert (result.exit_code, "no job was made" in result.output) == (4, True)


def test_ctrl_c_ends_a_command_with_the_code_that_shells_know_it_by(kubeconfig: Any) -> None:
    with serving(Server(lambda _: {"phase": "Pending"})) as server:
        command = [S3SYNC, "logs", "books", "-f", "--kubeconfig", kubeconfig(server)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 30
            while not server.looks:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (130, "", "s3sync: interrupted\n")
