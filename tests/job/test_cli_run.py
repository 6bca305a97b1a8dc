"""`s3sync run`: whole syncs without a cluster, with real TensorFlow, against the stand-in for Pachyderm."""

import base64
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from tests.support.pachd import Pachd, is_open

COMMAND = str(Path(sys.executable).parent / "s3sync")
RUN_SECONDS = 120
TOKEN = "a-token-of-the-tests"
FILES = {"a.txt": b"a", "sub/b.txt": b"bb"}


@dataclass(frozen=True)
class Ended:
    code: int
    told: dict[str, Any]
    errors: str


@dataclass(frozen=True)
class Here:
    """A working directory with a sync in it, and the stand-in that it goes to."""

    standin: StandinProcess
    folder: Path
    repo: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def sync(self, **spec: Any) -> str:
        raw = {
            "apiVersion": "sync.pachyderm.io/v1alpha1",
            "kind": "PachydermS3Sync",
            "metadata": {"name": "books"},
            "spec": {"repo": self.repo, "inputPath": "in", **spec},
        }
        (self.folder / "sync.yaml").write_text(yaml.safe_dump(raw))
        return "sync.yaml"

    def start(self, *arguments: str, **spec: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, "run", "-f", self.sync(**spec), "-o", "json", *self.addresses(), *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def addresses(self) -> list[str]:
        return [f"--default-endpoint={self.standin.endpoint}", f"--default-pachd-address={self.standin.pachd_address}"]

    def run(self, *arguments: str, **spec: Any) -> Ended:
        with self.start(*arguments, **spec) as process:
            return ended(process)

    def having(self, **variables: str) -> "Here":
        return Here(self.standin, self.folder, self.repo, variables)

    @property
    def pachd(self) -> Pachd:
        return Pachd(self.standin.pachd_address, TOKEN)

    def held(self) -> dict[str, bytes]:
        """Return what the branch holds, by path."""
        files = self.pachd.files(self.pachd.head(self.pachd.branch(self.repo, "master")))
        return {path.removeprefix("/"): content for path, content in files.items()}

    def branches(self) -> set[str]:
        repo = self.pachd.branch(self.repo, "master").repo
        return {info.branch.name for info in self.pachd.api.list_branch(repo=repo)}


def ended(process: subprocess.Popen[str]) -> Ended:
    try:
        output, errors = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Ended(process.returncode, json.loads(output) if output.startswith("{") else {}, errors)


@pytest.fixture(scope="module")
def open_standin() -> Iterator[StandinProcess]:
    with StandinProcess() as process:
        yield process


@pytest.fixture(scope="module")
def guarded_standin() -> Iterator[StandinProcess]:
    with StandinProcess(tokens=[TOKEN]) as process:
        yield process


@pytest.fixture(scope="module")
def repos() -> Callable[[], str]:
    numbers = iter(range(1000))
    return lambda: f"repo{next(numbers)}"


def plant(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@pytest.fixture
def here(open_standin: StandinProcess, tmp_path: Path, repos: Callable[[], str]) -> Here:
    plant(tmp_path / "in", FILES)
    return Here(open_standin, tmp_path, repos())


@pytest.fixture
def guarded(guarded_standin: StandinProcess, tmp_path: Path, repos: Callable[[], str]) -> Here:
    plant(tmp_path / "in", FILES)
    return Here(guarded_standin, tmp_path, repos())


def under(prefix: str) -> dict[str, bytes]:
    return {f"{prefix}/{path}": content for path, content in FILES.items()}


@pytest.mark.parametrize("publish", ["Atomic", "Direct"])
def test_a_sync_makes_its_repo_and_brings_every_file_there_verified(here: Here, publish: str) -> None:
    result = here.run(publish=publish)
    assert (result.code, result.told["reason"]) == (0, "Verified"), result.errors
    assert result.told["files"]["verified"] == 2
    assert here.held() == under("in")
    assert here.branches() == {"master"}


def test_an_atomic_sync_tells_its_commit_and_finds_nothing_to_do_the_second_time(here: Here) -> None:
    first = here.run(client="pfs")
    assert first.told["commit"] == str(here.pachd.head(here.pachd.branch(here.repo, "master")).id)
    second = here.run(client="pfs")
    assert (second.code, second.told["result"], second.told["reason"]) == (0, "Verified", "Unchanged")
    assert second.told["commit"] == first.told["commit"]


def test_another_input_path_keeps_the_files_place_in_the_repo(here: Here) -> None:
    plant(here.folder / "elsewhere", {"c.txt": b"c"})
    result = here.run("--input-path", "elsewhere", client="pfs", source={"persistentVolumeClaim": {"claimName": "c"}})
    assert result.code == 0, result.errors
    assert here.held() == {"in/c.txt": b"c"}


def test_a_source_that_this_machine_does_not_have_needs_an_input_path(here: Here) -> None:
    result = here.run(source={"persistentVolumeClaim": {"claimName": "c"}})
    assert (result.code, result.told) == (2, {})
    assert result.errors.startswith("s3sync: spec.source is a volume")


@pytest.mark.parametrize("publish", ["Atomic", "Direct"])
def test_a_missing_input_ends_with_the_jobs_exit_code_and_leaves_nothing_staged(here: Here, publish: str) -> None:
    result = here.run(publish=publish, inputPath="absent")
    assert (result.code, result.told["result"], result.told["reason"]) == (3, "Failed", "InputPathNotFound")
    assert here.branches() == {"master"}


@pytest.mark.parametrize("publish", ["Atomic", "Direct"])
def test_a_wrong_token_is_denied_and_never_shown(guarded: Here, publish: str) -> None:
    result = guarded.having(PACHYDERM_TOKEN="wrong-token-of-the-tests").run(publish=publish, secretRef={"name": "s"})
    assert (result.code, result.told["reason"]) == (7, "AccessDenied"), result.errors
    assert "wrong-token" not in result.errors + json.dumps(result.told)


@pytest.mark.parametrize(
    "variables",
    [
        {"PACHYDERM_TOKEN": TOKEN},
        {"AWS_ACCESS_KEY_ID": TOKEN, "AWS_SECRET_ACCESS_KEY": TOKEN},
        {"PACHYDERM_TOKEN": TOKEN, "AWS_ACCESS_KEY_ID": "another-s3", "AWS_SECRET_ACCESS_KEY": "of-amazon"},
    ],
)
def test_credentials_come_from_the_environment(guarded: Here, variables: dict[str, str]) -> None:
    result = guarded.having(**variables).run(client="pfs", secretRef={"name": "s"})
    assert (result.code, result.told["reason"]) == (0, "Verified"), result.errors
    assert TOKEN not in result.errors + json.dumps(result.told)


def test_credentials_come_from_the_manifest_of_the_secret(guarded: Here) -> None:
    data = {"token": base64.b64encode(TOKEN.encode()).decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data}
    (guarded.folder / "secret.yaml").write_text(yaml.safe_dump(secret))
    result = guarded.run("--secret-file", "secret.yaml", publish="Direct", client="minio", secretRef={"name": "s"})
    assert (result.code, result.told["reason"]) == (0, "Verified"), result.errors


def test_a_secret_that_is_nowhere_is_asked_for(guarded: Here) -> None:
    result = guarded.run(secretRef={"name": "s"})
    assert (result.code, result.told["reason"]) == (2, "SecretNotFound")
    assert "set PACHYDERM_TOKEN, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in result.told["message"]


def test_a_sync_that_names_no_secret_sends_no_credentials_of_the_environment(guarded: Here) -> None:
    result = guarded.having(PACHYDERM_TOKEN=TOKEN, AWS_ACCESS_KEY_ID=TOKEN, AWS_SECRET_ACCESS_KEY=TOKEN).run()
    assert (result.code, result.told["reason"]) == (7, "AccessDenied")
    assert "spec.secretRef is not set, so PACHYDERM_TOKEN is not used" in result.errors


def test_no_pachyderm_at_all_is_told_with_a_code_that_asks_for_a_retry(here: Here) -> None:
    result = here.run(endpoint="http://127.0.0.1:1", publish="Direct")
    assert (result.code, result.told["reason"]) == (160, "EndpointUnreachable")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_leaves_nothing_on_the_branch_and_nothing_staged(
    here: Here, number: signal.Signals
) -> None:
    plant(here.folder / "in", {f"many/{index}.bin": os.urandom(100_000) for index in range(400)})
    with here.start(client="minio") as process:
        wait_until(lambda: len(here.branches()) > 1)
        process.send_signal(number)
        result = ended(process)
    assert (result.code, result.told["reason"]) == (128 + number, "Terminated"), result.errors
    assert here.held() == {}
    assert len(here.pachd.commits(here.pachd.branch(here.repo).repo)) == 1, "the empty head of master alone"
    assert here.branches() == {"master"}, result.errors


@pytest.mark.parametrize("command", ["s3sync run", "s3sync-job"])
def test_a_terminal_that_is_closed_ends_a_run_as_a_signal_does(here: Here, command: str) -> None:
    plant(here.folder / "in", {f"many/{index}.bin": os.urandom(1000) for index in range(400)})
    here.standin.set_faults([{"action": "latency", "operation": "PutObject", "seconds": 0.05}])
    log = here.folder / "report.json"
    if command == "s3sync-job":
        staged = make_repo(here)
        arguments = ["-b", f"master.{here.repo}", "-i", "in", "--client", "minio", *staged, f"--termination-log={log}"]
        program = [str(Path(COMMAND).with_name(command)), *arguments]
    else:
        program = [COMMAND, "run", "-f", here.sync(client="minio"), *here.addresses()]
    here.standin.reset_requests()
    process, terminal = on_a_terminal(program, here)
    wait_until(lambda: here.standin.requests()["by_operation"].get("PutObject", 0) > 20)
    os.close(terminal)
    here.standin.clear_faults()
    wait_until(lambda: os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    if command == "s3sync-job":
        assert json.loads(log.read_text())["reason"] == "Terminated"
        assert not [info for info in here.pachd.commits(here.pachd.branch(here.repo).repo) if is_open(info)]
    else:
        assert (here.branches(), here.held()) == ({"master"}, {})


def make_repo(here: Here) -> tuple[str, ...]:
    """Make the repo and its branch, as the operator does; return the flags of an atomic sync to it."""
    branch = here.pachd.branch(here.repo)
    here.pachd.api.create_repo(repo=branch.repo)
    here.pachd.api.create_branch(branch=branch)
    return ("--staging-branch=s3sync-0123456789abcdef", f"--base-commit={here.pachd.head(branch).id}")


def on_a_terminal(program: list[str], here: Here) -> tuple[int, int]:
    """Start a program on a terminal of its own; return its process's number, and the terminal to read and to close."""
    environment = {"S3_ENDPOINT": here.standin.endpoint, "PACHD_ADDRESS": here.standin.pachd_address}
    environment |= {"PATH": os.environ["PATH"], "HOME": str(here.folder), "TERM": "xterm"}
    process, terminal = pty.fork()
    if not process:
        os.chdir(here.folder)
        os.execve(program[0], program, environment)
    os.set_blocking(terminal, False)
    return process, terminal


def test_a_closed_terminal_does_not_end_what_was_started_to_outlive_it(here: Here) -> None:
    plant(here.folder / "in", {f"many/{index}.bin": os.urandom(100_000) for index in range(100)})
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = here.start(client="minio")
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        wait_until(lambda: len(here.branches()) > 1)
        process.send_signal(signal.SIGHUP)
        assert ended(process).code == 0
    assert len(here.held()) == 100 + len(FILES)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        # The repo is made only once the run has begun.
        with suppress(grpc.RpcError):
            if holds():
                return
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def test_a_branch_that_somebody_holds_open_is_waited_for(here: Here) -> None:
    assert here.run(client="pfs").code == 0
    plant(here.folder / "in", {"new.txt": b"new"})
    held = here.pachd.start(here.pachd.branch(here.repo), "somebody's work")
    with here.start(client="pfs") as process:
        assert process.stderr
        first = process.stderr.readline()
        here.pachd.finish(held)
        result = ended(process)
    assert "is held by the unfinished commit" in first
    assert "somebody's work" in first
    assert (result.code, result.told["reason"]) == (0, "Verified"), result.errors
    assert here.held() == {**under("in"), "in/new.txt": b"new"}


def test_a_variable_whose_value_only_the_cluster_has_is_told(here: Here) -> None:
    of_map = {"configMapKeyRef": {"name": "settings", "key": "x"}}
    env = [{"name": name, "valueFrom": of_map} for name in ("PROXY", "HOME")]
    result = here.run(client="pfs", podTemplate={"env": [*env, {"name": "PLAIN", "value": "1"}]})
    assert (result.code, result.told["result"]) == (0, "Verified"), result.errors
    told = [line for line in result.errors.splitlines() if "podTemplate" in line]
    assert told == [
        "spec.podTemplate.env: PROXY has its value from the cluster; here, it is not set; export PROXY if it matters",
        "spec.podTemplate.env: HOME has its value from the cluster; here, it is as this shell has it",
    ]


def test_a_sync_that_is_not_valid_does_not_begin(here: Here) -> None:
    result = here.run(workers=0)
    assert (result.code, result.told) == (1, {})
    assert "sync.yaml:8: books: spec.workers: " in result.errors


def test_a_file_with_two_syncs_is_refused(here: Here) -> None:
    text = (here.folder / here.sync()).read_text()
    ran = subprocess.run(
        [COMMAND, "run", "-f", "-", *here.addresses()],
        input=f"{text}---\n{text}",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, "holds 2 syncs" in ran.stderr) == (2, True)
