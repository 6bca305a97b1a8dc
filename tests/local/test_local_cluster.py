"""The local cluster is a real Kubernetes, and no end of its owner leaves anything of it behind."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from s3sync_local import training_operator
from s3sync_local.cluster import LocalCluster
from s3sync_local.errors import ComponentError, KubectlError, StateDirError
from tests.support.cluster import JOB_IMAGE

WAIT_SECONDS = 90.0
CONTROL_PLANE = {"etcd", "kube-apiserver", "kube-controller-manager"}

TFJOB = """
apiVersion: kubeflow.org/v1
kind: TFJob
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  tfReplicaSpecs:
    Worker:
      replicas: 1
      template:
        spec:
          containers: [{name: tensorflow, image: example.org/absent, command: ["true"]}]
"""


@pytest.fixture
def namespace(cluster: LocalCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"local-{abs(hash(request.node.name)) % 10**8}"
    cluster.create_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


class Starter(Protocol):
    def __call__(self, *, training_operator: bool = True, node: bool = True) -> LocalCluster: ...


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Starter]:
    """Start a cluster whose state lies in tmp_path/state; it is stopped whatever becomes of the test."""
    with ExitStack() as stack:

        def start(*, training_operator: bool = True, node: bool = True) -> LocalCluster:
            made = LocalCluster(tmp_path / "state", training_operator=training_operator, node=node)
            return stack.enter_context(made)

        yield start


OWNER = """
import sys, time
from pathlib import Path
from s3sync_local.cluster import LocalCluster
with LocalCluster(Path(sys.argv[1]), training_operator=False, node=False):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that starts a cluster whose state lies in tmp_path/state, writes `ready`, and would stay."""
    command = [sys.executable, "-P", "-c", OWNER, str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_kubectl_and_the_server_have_the_pinned_version(cluster: LocalCluster) -> None:
    versions = json.loads(cluster.kubectl("version", "--output=json"))
    assert versions["clientVersion"]["gitVersion"] == versions["serverVersion"]["gitVersion"] == "v1.36.3"


def test_an_error_of_kubectl_says_what_the_server_said(cluster: LocalCluster) -> None:
    with pytest.raises(KubectlError, match='namespaces "absent" not found'):
        cluster.kubectl("get", "namespace", "absent")


def test_kubectl_applies_a_manifest_from_its_standard_input(cluster: LocalCluster, namespace: str) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": namespace}}
    assert cluster.kubectl("apply", "--filename=-", stdin=json.dumps(manifest)) == "configmap/c created\n"


def test_the_training_operator_makes_the_worker_pod_of_a_tfjob(cluster: LocalCluster, namespace: str) -> None:
    _apply_tfjob(cluster, "copy", namespace)
    cluster.wait_for("pod/copy-worker-0", namespace=namespace)
    pod = json.loads(cluster.kubectl("get", "pod", "copy-worker-0", f"--namespace={namespace}", "--output=json"))
    owner = pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("TFJob", "copy", True)


def test_the_training_operators_webhook_refuses_a_name_that_kubernetes_itself_takes(
    cluster: LocalCluster, namespace: str
) -> None:
    with pytest.raises(KubectlError, match=r"admission webhook \"validator\.tfjob\..* denied .*metadata\.name"):
        _apply_tfjob(cluster, "not.dns-1035", namespace)


def test_deleting_a_tfjob_removes_its_pod(cluster: LocalCluster, namespace: str) -> None:
    _apply_tfjob(cluster, "gone", namespace)
    cluster.wait_for("pod/gone-worker-0", namespace=namespace)
    cluster.kubectl("delete", "tfjob", "gone", f"--namespace={namespace}")
    cluster.kubectl("wait", "--for=delete", "pod/gone-worker-0", f"--namespace={namespace}", "--timeout=60s")


def test_the_node_runs_a_pod_and_serves_its_log(cluster: LocalCluster, namespace: str) -> None:
    command = ["python", "-c", "print('hello from the pod')"]
    here = f"--namespace={namespace}"
    cluster.kubectl("run", "hello", here, f"--image={JOB_IMAGE}", "--restart=Never", "--command", "--", *command)
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/hello", here, "--timeout=60s")
    assert cluster.kubectl("logs", "hello", here) == "hello from the pod\n"


def test_a_user_may_do_nothing_until_a_role_is_granted_to_one_of_its_groups(
    cluster: LocalCluster, namespace: str
) -> None:
    kubeconfig = f"--kubeconfig={cluster.kubeconfig_for('jane', ['readers'])}"
    with pytest.raises(KubectlError, match='User "jane" cannot list resource "pods"'):
        cluster.kubectl(kubeconfig, "get", "pods", f"--namespace={namespace}")
    here = f"--namespace={namespace}"
    cluster.kubectl("create", "rolebinding", "readers", here, "--clusterrole=view", "--group=readers")
    assert cluster.kubectl(kubeconfig, "get", "pods", here, "--output=name") == ""


def test_the_audit_log_tells_who_wrote_which_object(cluster: LocalCluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "audited", f"--namespace={namespace}")
    events = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    written = [
        (event["verb"], event["user"]["username"], event["responseStatus"]["code"])
        for event in events
        if event.get("objectRef", {}).get("namespace") == namespace
        and event["objectRef"].get("name") == "audited"
        and event["verb"] not in {"get", "list", "watch"}
    ]
    assert written == [("create", "kubernetes-admin", 201)]


def test_two_clusters_that_start_at_once_know_nothing_of_each_other(tmp_path: Path) -> None:
    pair = [LocalCluster(tmp_path / name, node=False) for name in ("one", "two")]
    try:
        _in_threads(*[each.start for each in pair])
        pair[0].create_namespace("only-in-one")
        assert "namespace/only-in-one" in pair[0].kubectl("get", "namespaces", "--output=name")
        assert "namespace/only-in-one" not in pair[1].kubectl("get", "namespaces", "--output=name")
        for each in pair:
            _apply_tfjob(each, "copy", "default")
            each.wait_for("pod/copy-worker-0")
    finally:
        _in_threads(*[each.stop for each in pair])
    assert _processes_of(tmp_path) == []


def test_a_stop_leaves_no_process_no_state_directory_and_no_temporary_file(tmp_path: Path, started: Starter) -> None:
    cluster = started()
    assert _programs_of(tmp_path) >= CONTROL_PLANE | {"training-operator"}
    cluster.stop()
    assert _processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    _assert_no_operator_is_waited_for()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_owners_end_by_a_signal_leaves_nothing(
    tmp_path: Path, owner: subprocess.Popen[str], signum: signal.Signals
) -> None:
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    assert _programs_of(tmp_path) >= CONTROL_PLANE
    owner.send_signal(signum)
    owner.communicate(timeout=WAIT_SECONDS)
    _until(lambda: not _processes_of(tmp_path), "processes are left")
    _until(lambda: not (tmp_path / "state").exists(), "the state directory is left")


def test_an_owner_that_is_killed_during_the_start_leaves_nothing(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    _until((tmp_path / "state" / "logs" / "kube-apiserver.log").exists, "the API server was not started")
    owner.kill()
    owner.communicate(timeout=WAIT_SECONDS)
    _until(lambda: not _processes_of(tmp_path), "processes are left")
    _until(lambda: not (tmp_path / "state").exists(), "the state directory is left")


def test_a_keeper_that_is_killed_takes_every_component_with_it(tmp_path: Path, started: Starter) -> None:
    cluster = started(training_operator=False, node=False)
    os.kill(int((tmp_path / "state" / "keeper.lock").read_text()), signal.SIGKILL)
    _until(lambda: not _processes_of(tmp_path), "processes are left")
    assert "keeper has ended" in _end_told_by(cluster)
    cluster.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_keeper_that_is_killed_takes_the_processes_of_running_pods_with_it(tmp_path: Path, started: Starter) -> None:
    cluster = started(training_operator=False)
    program = f"import time; folder = '{tmp_path}'; print('up', flush=True); time.sleep(600)"
    cluster.kubectl("run", "sleeper", "--image=python", "--restart=Never", "--command", "--", "python", "-c", program)
    cluster.wait_for("pod/sleeper", "Ready", seconds=60)
    _until(lambda: [line for line in _processes_of(tmp_path) if "time.sleep(600)" in line], "the pod does not run")
    os.kill(int((tmp_path / "state" / "keeper.lock").read_text()), signal.SIGKILL)
    _until(lambda: not _processes_of(tmp_path), "processes are left")
    cluster.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_component_that_dies_ends_the_cluster_with_its_name_and_its_log(tmp_path: Path, started: Starter) -> None:
    cluster = started(training_operator=False, node=False)
    components = json.loads((tmp_path / "state" / "cluster.json").read_text())["components"]
    os.kill(components["kube-controller-manager"], signal.SIGKILL)
    _until(lambda: not _processes_of(tmp_path), "processes are left")
    assert "kube-controller-manager ended unexpectedly with exit code -9; its log" in _end_told_by(cluster)
    cluster.stop()


def test_a_component_that_does_not_start_is_named_with_its_log_and_the_logs_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etcd = tmp_path / "assets" / "etcd"
    etcd.parent.mkdir()
    etcd.write_text("#!/bin/sh\necho 'no space left on device' >&2\nexit 7\n")
    etcd.chmod(etcd.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(etcd.parent))
    with pytest.raises(ComponentError, match=r"etcd ended unexpectedly with exit code 7") as caught:
        LocalCluster(tmp_path / "state", training_operator=False, node=False).start()
    log = tmp_path / "state" / "logs" / "etcd.log"
    assert f"{log} ends:\nno space left on device" in str(caught.value)
    assert log.read_text() == "no space left on device\n"
    assert _processes_of(tmp_path) == []


def test_a_running_clusters_state_directory_is_refused_to_another(cluster: LocalCluster) -> None:
    with pytest.raises(StateDirError, match="a local cluster is running in"):
        LocalCluster(cluster.state_dir).start()
    assert cluster.kubectl("get", "--raw=/readyz") == "ok"


def test_a_detached_cluster_runs_until_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("S3SYNC_CACHE", raising=False)
    _share_binaries(tmp_path)
    up = _run_command("up", "--detach")
    kubeconfig = up.partition("export KUBECONFIG=")[2].strip()
    assert kubeconfig in _run_command("status")
    assert "stopped the cluster of" in _run_command("down")
    assert _processes_of(tmp_path) == []
    assert not Path(kubeconfig).exists()


def _apply_tfjob(cluster: LocalCluster, name: str, namespace: str) -> None:
    manifest = TFJOB.replace("NAMESPACE", namespace).replace("NAME", name)
    cluster.kubectl("apply", "--filename=-", stdin=manifest)


def _run_command(*arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "s3sync_local", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=True)
    return ran.stdout


def _share_binaries(cache_home: Path) -> None:
    """Let a throwaway cache use the programs of the real one, so that nothing is built again."""
    base = Path(os.environ.get("S3SYNC_CACHE") or Path.home() / ".cache" / "pachyderm-s3-sync")
    (cache_home / "pachyderm-s3-sync").mkdir()
    (cache_home / "pachyderm-s3-sync" / "bin").symlink_to(base / "bin")


def _processes_of(folder: Path) -> list[str]:
    """Return the command lines of the processes that name the folder in their arguments or their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in line + environment and int(process.name) != os.getpid():
            found.append(line.replace(b"\0", b" ").decode())
    return found


def _programs_of(folder: Path) -> set[str]:
    return {Path(line.split()[0]).name for line in _processes_of(folder) if line.strip()}


def _until(condition: Callable[[], object], trouble: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, trouble
        time.sleep(0.1)


def _end_told_by(cluster: LocalCluster) -> str:
    """Wait for what check says: a process that ends has lost its command line a moment before it can be waited for."""
    told: list[str] = []

    def is_told() -> bool:
        try:
            cluster.check()
        except ComponentError as error:
            told.append(str(error))
        return bool(told)

    _until(is_told, "the cluster's end was not told")
    return told[0]


def _assert_no_operator_is_waited_for() -> None:
    """Look while no other cluster of this machine may be starting, for that one may place the file."""
    mutex = None
    deadline = time.monotonic() + WAIT_SECONDS
    while (mutex := training_operator.try_mutex()) is None:
        assert time.monotonic() < deadline, "another cluster's training-operator did not start in time"
        time.sleep(0.1)
    with mutex:
        assert not training_operator.EXPECTED_CERTIFICATE.exists()


def _in_threads(*calls: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def guarded(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
