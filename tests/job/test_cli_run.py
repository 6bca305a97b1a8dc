"""`s3sync run`: whole syncs without a cluster, with real TensorFlow, against the stand-in for Pachyderm.

Where a test is about what the command decides and shows, it runs in this process, and its jobs are forks; where it is
about signals, terminals and what is read meanwhile, the real program runs, and starts real jobs.
"""

import base64
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from tests.support.command_line import Ran, s3sync, start_jobs_by
from tests.support.job_server import JobServer
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
        """Start the program."""
        return subprocess.Popen(
            [COMMAND, "run", "-f", self.sync(**spec), "-o", "json", *self.addresses(), *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **self.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def addresses(self) -> list[str]:
        return [f"--default-endpoint={self.standin.endpoint}", f"--default-pachd-address={self.standin.pachd_address}"]

    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.folder), **self.variables}

    def run(self, *arguments: str, **spec: Any) -> Ended:
        """Run the command in this process."""
        given = ("run", "-f", self.sync(**spec), "-o", "json", *self.addresses(), *arguments)
        return ended(s3sync(*given, folder=self.folder, **self.environment()))

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


def ended(ran: Ran) -> Ended:
    return Ended(ran.code, json.loads(ran.output) if ran.output.startswith("{") else {}, ran.errors)


def end_of(process: subprocess.Popen[str]) -> Ended:
    try:
        output, errors = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return ended(Ran(process.returncode, output, errors))


@pytest.fixture(scope="session")
def guarded_standin() -> Iterator[StandinProcess]:
    with StandinProcess(tokens=[TOKEN]) as process:
        yield process


@pytest.fixture(scope="session")
def repos() -> Callable[[], str]:
    numbers = iter(range(1000))
    return lambda: f"cli-repo{next(numbers)}"


@pytest.fixture
def folder(tmp_path: Path, job_server: JobServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files; what runs in this process has its jobs forked."""
    start_jobs_by(job_server.program, tmp_path, monkeypatch)
    plant(tmp_path / "in", FILES)
    return tmp_path


def plant(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@pytest.fixture
def here(standin: StandinProcess, folder: Path, repos: Callable[[], str]) -> Iterator[Here]:
    yield Here(standin, folder, repos())
    standin.clear_faults()


@pytest.fixture
def guarded(guarded_standin: StandinProcess, folder: Path, repos: Callable[[], str]) -> Here:
    return Here(guarded_standin, folder, repos())


def plant_much(here: Here, count: int) -> None:
    """Plant so many files, each of which takes its time to be put."""
    plant(here.folder / "in", {f"many/{index}.bin": os.urandom(1000) for index in range(count)})
    here.standin.set_faults([{"action": "latency", "operation": "PutObject", "seconds": 0.05}])
    here.standin.reset_requests()


def wait_for_the_middle(here: Here) -> None:
    here.standin.wait_for_requests("PutObject", calls=20)


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
    plant_much(here, 400)
    with here.start(client="minio") as process:
        wait_for_the_middle(here)
        process.send_signal(number)
        result = end_of(process)
    assert (result.code, result.told["reason"]) == (128 + number, "Terminated"), result.errors
    assert here.held() == {}
    assert len(here.pachd.commits(here.pachd.branch(here.repo).repo)) == 1, "the empty head of master alone"
    assert here.branches() == {"master"}, result.errors


@pytest.mark.parametrize("command", ["s3sync run", "s3sync-job"])
def test_a_terminal_that_is_closed_ends_a_run_as_a_signal_does(here: Here, command: str) -> None:
    plant_much(here, 400)
    log = here.folder / "report.json"
    if command == "s3sync-job":
        staged = make_repo(here)
        arguments = ["-b", f"master.{here.repo}", "-i", "in", "--client", "minio", *staged, f"--termination-log={log}"]
        program = [str(Path(COMMAND).with_name(command)), *arguments]
    else:
        program = [COMMAND, "run", "-f", here.sync(client="minio"), *here.addresses()]
    process, terminal = on_a_terminal(program, here)
    wait_for_the_middle(here)
    os.close(terminal)
    here.standin.clear_faults()
    assert exit_code_of(process) == 128 + signal.SIGHUP
    if command == "s3sync-job":
        assert json.loads(log.read_text())["reason"] == "Terminated"
        assert not [info for info in here.pachd.commits(here.pachd.branch(here.repo).repo) if is_open(info)]
    else:
        assert (here.branches(), here.held()) == ({"master"}, {})


def exit_code_of(process: int) -> int:
    """Wait for the end of a child."""
    end = os.pidfd_open(process)
    try:
        if not select.select([end], [], [], RUN_SECONDS)[0]:
            os.kill(process, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    finally:
        os.close(end)


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
    plant_much(here, 100)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = here.start(client="minio")
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        wait_for_the_middle(here)
        process.send_signal(signal.SIGHUP)
        here.standin.clear_faults()
        assert end_of(process).code == 0
    assert len(here.held()) == 100 + len(FILES)


def test_a_branch_that_somebody_holds_open_is_waited_for(here: Here) -> None:
    assert here.run(client="pfs").code == 0
    plant(here.folder / "in", {"new.txt": b"new"})
    held = here.pachd.start(here.pachd.branch(here.repo), "somebody's work")
    with here.start(client="pfs") as process:
        assert process.stderr
        first = process.stderr.readline()
        here.pachd.finish(held)
        result = end_of(process)
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
    ran = s3sync("run", "-f", "-", *here.addresses(), stdin=f"{text}---\n{text}")
    assert (ran.code, "holds 2 syncs" in ran.one_line) == (2, True)
