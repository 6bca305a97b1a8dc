import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.__main__ import main
from pachyderm_standin.process import StandinError, StandinProcess
from tests.support.pachd import Pachd
from tests.support.s3 import RawS3

PATIENCE_SECONDS = 20.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_listens_when_it_says_so_and_is_gone_after_stop() -> None:
    with StandinProcess() as standin:
        host_port, pid = standin.host_port, standin.pid
        assert RawS3(standin.endpoint, "key").request("GET", "/").status == 200
    assert not is_running(pid)
    host, _, port = host_port.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


def test_it_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with StandinProcess() as standin:
        raw = RawS3(standin.endpoint, "key")
        raw.request("PUT", "/repo")
        assert raw.request("PUT", "/repo/file", b"content").status == 200
    assert list(tmp_path.iterdir()) == []


def test_a_given_folder_is_used_and_kept(tmp_path: Path) -> None:
    with StandinProcess(tmp_path / "data") as standin:
        raw = RawS3(standin.endpoint, "key")
        raw.request("PUT", "/repo")
        raw.request("PUT", "/repo/file", b"content")
    assert [path.read_bytes() for path in (tmp_path / "data" / "blobs").iterdir()] == [b"content"]


def test_killing_it_is_noticed_by_clients_and_harmless_to_stop() -> None:
    with StandinProcess() as standin:
        endpoint = standin.endpoint
        standin.kill()
        with pytest.raises(ConnectionRefusedError):
            RawS3(endpoint, "key").request("GET", "/")
        with pytest.raises(StandinError, match="not running"):
            _ = standin.endpoint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_success(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "pachyderm_standin", f"--data-dir={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 0


def test_it_dies_with_the_process_that_started_it_and_takes_its_folder_along(tmp_path: Path) -> None:
    program = (
        "import os; from pachyderm_standin.process import StandinProcess\n"
        "standin = StandinProcess(); standin.start(); print(standin.pid, flush=True); os._exit(0)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, env=environment)
    pid = int(done.stdout)
    wait_until(lambda: not is_running(pid))
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told(tmp_path: Path, capsys: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([f"--data-dir={tmp_path}", f"--port={port}", "--outlive-parent"]) == 1
    message = capsys.readouterr().err
    assert f"{port}" in message
    assert "--host/--port: cannot listen" in message


def test_a_port_that_is_taken_for_grpc_is_told(tmp_path: Path, capsys: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([f"--data-dir={tmp_path}", f"--grpc-port={port}", "--outlive-parent"]) == 1
    message = capsys.readouterr().err
    assert f"{port}" in message
    assert "--grpc-port" in message


def test_grpc_listens_where_it_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with StandinProcess(grpc_port=port) as standin:
        assert standin.pachd_address == f"grpc://127.0.0.1:{port}"
        assert Pachd(standin.pachd_address).client.get_version().major == 2


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--auth-token-file=/no/such/file"], "--auth-token-file: cannot read /no/such/file"),
        (["--data-dir=/proc/no"], "--data-dir: cannot make /proc/no"),
        (["--tls-cert=/no/such/file"], "--tls-cert and --tls-key go together"),
        (["--tls-cert=/no/such/file", "--tls-key=/no/such/key"], "--tls-cert/--tls-key: cannot use /no/such/file"),
        ([f"--tls-cert={__file__}", f"--tls-key={__file__}"], "give PEM files that match"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named(tmp_path: Path, capsys: Any, flags: list[str], complaint: str) -> None:
    assert main([f"--data-dir={tmp_path}", "--outlive-parent", *flags]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--port=65536", "--port=x", "--commit-latency=-1", "--commit-latency=x", "--costs=x"])
def test_a_value_out_of_bounds_is_refused(capsys: Any, flag: str) -> None:
    with pytest.raises(SystemExit):
        main(["--data-dir=/tmp", flag])
    assert flag.partition("=")[0] in capsys.readouterr().err


def test_a_start_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StandinError, match="did not start: it ended with exit code 2"):
        StandinProcess(tmp_path / "file" / "below", stderr=subprocess.DEVNULL).start()  # type: ignore[arg-type]


def test_commits_take_the_latency_that_is_asked_for_one_after_the_other() -> None:
    with StandinProcess(commit_latency=0.01) as standin:
        raw = RawS3(standin.endpoint, "key")
        raw.request("PUT", "/repo")
        versions = [raw.request("PUT", f"/repo/{number}", b"x").headers["x-amz-version-id"] for number in range(3)]
        assert [commit["id"] for commit in standin.commits("repo")[:3]] == versions[::-1]
        assert {commit["state"] for commit in standin.commits("repo")} == {"FINISHED"}


def test_clients_that_leave_halfway_are_no_news(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("wb") as stderr, StandinProcess(stderr=stderr) as standin:
        raw = RawS3(standin.endpoint, "key")
        raw.request("PUT", "/repo")
        raw.request("PUT", "/repo/file", b"content" * 1_000_000)
        with socket.create_connection(("127.0.0.1", int(standin.host_port.rpartition(":")[2])), timeout=5) as client:
            client.sendall(b"GET /repo/file HTTP/1.1\r\nHost: here\r\n\r\n")
            client.recv(1)
        standin.set_faults([{"action": "cut"}])
        for method in ("GET", "PUT"):
            with pytest.raises((HTTPException, ConnectionError)):
                raw.request(method, "/repo/file", b"x" * 1_000_000 if method == "PUT" else b"")
    assert (tmp_path / "stderr").read_text() == ""
