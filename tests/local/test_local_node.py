"""The local node as seen through a real API server: pods run, log, fail, restart and end as under a kubelet."""

import base64
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from s3sync_local.cluster import LocalCluster
from s3sync_local.errors import KubectlError
from tests.support.cluster import JOB_IMAGE, WORKER

NAMESPACE = f"local-node-{WORKER}"
OTHER = f"other-{WORKER}"
LIMIT = 30.0


class Pods:
    """Creates pods in the tests' namespace and looks at them."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("--namespace", NAMESPACE, *arguments, stdin=stdin)

    def apply(self, manifest: Mapping[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def start(self, name: str, script: str, *, image: str = JOB_IMAGE, **spec: Any) -> None:
        """Create a pod whose container, ``main``, runs the shell script; its other fields begin with ``main_``."""
        main = {key.removeprefix("main_"): spec.pop(key) for key in list(spec) if key.startswith("main_")}
        container = {"name": "main", "image": image, "command": ["sh", "-c", script], **main}
        pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container], **spec}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod})

    def wait(self, name: str, path: str, value: str) -> dict[str, Any]:
        """Wait until the pod's field has the value; returns the pod."""
        self.kubectl("wait", f"pod/{name}", f"--for=jsonpath={path}={value}", f"--timeout={LIMIT:.0f}s")
        return self.get(name)

    def ended(self, name: str, phase: str) -> dict[str, Any]:
        """Wait until the pod is in the phase; returns how its main container ended."""
        terminated: dict[str, Any] = self.wait(name, "{.status.phase}", phase)["status"]["containerStatuses"][0][
            "state"
        ]["terminated"]
        return terminated

    def get(self, name: str) -> dict[str, Any]:
        pod: dict[str, Any] = json.loads(self.kubectl("get", "pod", name, "-o", "json"))
        return pod

    def waiting(self, name: str, reason: str) -> dict[str, Any]:
        """Wait until the main container waits for the reason; returns that state."""
        path = "{.status.containerStatuses[0].state.waiting.reason}"
        state: dict[str, Any] = self.wait(name, path, reason)["status"]["containerStatuses"][0]["state"]["waiting"]
        return state


@pytest.fixture(scope="module")
def pods(cluster: LocalCluster) -> Iterator[Pods]:
    cluster.create_namespace(NAMESPACE)
    yield Pods(cluster)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def processes_of(mark: str) -> list[str]:
    """The command lines of the live processes that have the mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        except OSError:
            continue
    return found


def eventually(holds: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < limit, f"not within {LIMIT:.0f} s: {what}"
        time.sleep(0.05)


def marked(mark: str) -> list[dict[str, str]]:
    return [{"name": "TEST_MARK", "value": mark}]


FAMILY = "trap '' TERM; sleep 600 & setsid sleep 600 & echo up; wait"


def start_family(pods: Pods, name: str, script: str = FAMILY, **spec: Any) -> str:
    """Start a pod of three processes, one of them in a session of its own; returns their mark."""
    mark = uuid4().hex
    pods.start(name, script, main_env=marked(mark), **spec)
    eventually(lambda: len(processes_of(mark)) == 3, "the pod's three processes run")
    return mark


def test_the_node_is_ready_and_tells_where_its_logs_are_served(pods: Pods) -> None:
    node = json.loads(pods.kubectl("get", "node", "local", "-o", "json"))
    conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert node["status"]["addresses"] == [{"type": "InternalIP", "address": "127.0.0.1"}]
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "local"
    assert "taints" not in node["spec"]


def test_a_pod_runs_succeeds_and_its_log_is_read_through_the_api_server(pods: Pods) -> None:
    pods.start("hello", "echo one; echo two >&2; echo three; printf four", main_args=[])
    assert pods.ended("hello", "Succeeded")["exitCode"] == 0
    log = pods.kubectl("logs", "hello").splitlines()
    assert sorted(log) == ["four", "one", "three", "two"]
    status = pods.get("hello")["status"]
    assert status["podIP"] == status["hostIP"] == "127.0.0.1"
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_kubectl_reads_the_part_of_a_log_that_it_asks_for(pods: Pods) -> None:
    pods.start("count", "seq 1000")
    pods.ended("count", "Succeeded")
    assert pods.kubectl("logs", "count", "--tail=2") == "999\n1000\n"
    assert pods.kubectl("logs", "count", "--limit-bytes=4") == "1\n2\n"
    assert pods.kubectl("logs", "count", "--since=1h").count("\n") == 1000
    time_of_line, _, text = pods.kubectl("logs", "count", "--tail=1", "--timestamps").partition(" ")
    assert (time_of_line[10], text) == ("T", "1000\n")


def test_kubectl_follows_a_log_until_the_pod_ends(pods: Pods, tmp_path: Path) -> None:
    go = tmp_path / "go"
    pods.start("follow", f"echo before; until [ -e {go} ]; do sleep 0.05; done; echo after")
    pods.wait("follow", "{.status.phase}", "Running")
    kubectl = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert kubectl is not None
    command = [kubectl, f"--kubeconfig={pods.cluster.kubeconfig}", f"--namespace={NAMESPACE}", "logs", "-f", "follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "before\n"
        go.touch()
        rest, _ = follower.communicate(timeout=LIMIT)
    assert (rest, follower.returncode) == ("after\n", 0)


def ask_node(pods: Pods, path: str, context: ssl.SSLContext) -> tuple[int, str]:
    """Ask the node's own server, past the API server."""
    node = json.loads(pods.kubectl("get", "node", "local", "-o", "json"))
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=LIMIT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_the_node_shows_logs_to_the_api_server_alone(pods: Pods, tmp_path: Path) -> None:
    pods.start("private", "echo private")
    pods.ended("private", "Succeeded")
    path = f"/containerLogs/{NAMESPACE}/private/main"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask_node(pods, path, ssl.create_default_context())
    user = json.loads(pods.cluster.kubeconfig_for("curious").read_text())["users"][0]["user"]
    pem = tmp_path / "curious.pem"
    pem.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
    context = ssl.create_default_context()
    context.load_cert_chain(pem)
    status, text = ask_node(pods, path, context)
    assert status == 403
    assert "kubectl logs" in text


def test_a_pod_gets_its_variables_from_secrets_config_maps_and_its_own_fields(pods: Pods) -> None:
    pods.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"id": "me", "key": "s"}}
    )
    pods.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"MODE": "fast"}})
    env = [
        {"name": "ID", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "id"}}},
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "BOTH", "value": "$(ID)@$(ME)"},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "x", "optional": True}}},
    ]
    from_settings = [{"configMapRef": {"name": "settings"}}]
    pods.start(
        "variables",
        'echo "$BOTH $MODE ${NONE-unset} $0"',
        main_args=["$(ID)"],
        main_env=env,
        main_envFrom=from_settings,
    )
    pods.ended("variables", "Succeeded")
    assert pods.kubectl("logs", "variables") == "me@variables fast unset me\n"


def test_a_pod_waits_for_its_secret_and_runs_when_it_comes(pods: Pods) -> None:
    env = [{"name": "ID", "valueFrom": {"secretKeyRef": {"name": "late", "key": "id"}}}]
    pods.start("patient", "echo $ID", main_env=env)
    assert pods.waiting("patient", "CreateContainerConfigError")["message"] == 'secret "late" not found'
    pods.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"id": "here"}})
    pods.ended("patient", "Succeeded")
    assert pods.kubectl("logs", "patient") == "here\n"


def test_an_image_that_does_not_exist_leaves_the_pod_pending_in_back_off(pods: Pods) -> None:
    pods.start("no-image", "true", image="registry.example/none:1")
    assert "registry.example/none:1" in pods.waiting("no-image", "ErrImagePull")["message"]
    state = pods.waiting("no-image", "ImagePullBackOff")
    assert state["message"].startswith('Back-off pulling image "registry.example/none:1"')
    assert pods.get("no-image")["status"]["phase"] == "Pending"
    with pytest.raises(KubectlError, match="is waiting to start: ImagePullBackOff"):
        pods.kubectl("logs", "no-image")


def test_an_image_that_may_not_be_pulled_is_told_apart(pods: Pods) -> None:
    pods.start("never", "true", image="registry.example/none:1", main_imagePullPolicy="Never")
    assert "registry.example/none:1" in pods.waiting("never", "ErrImageNeverPull")["message"]


def test_a_failing_command_gives_its_exit_code_and_termination_message(pods: Pods) -> None:
    pods.start("fails", 'printf "why it failed" > "$S3SYNC_TERMINATION_LOG"; exit 42')
    ended = pods.ended("fails", "Failed")
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (42, "Error", "why it failed")


def test_a_termination_message_is_cut_to_4096_bytes(pods: Pods) -> None:
    pods.start("talks", 'seq 9999 > "$S3SYNC_TERMINATION_LOG"')
    assert len(pods.ended("talks", "Succeeded")["message"]) == 4096


def test_the_end_of_the_log_stands_in_for_a_missing_termination_message(pods: Pods) -> None:
    pods.start("falls-back", "seq 9999; exit 1", main_terminationMessagePolicy="FallbackToLogsOnError")
    message = pods.ended("falls-back", "Failed")["message"]
    assert message.endswith("9998\n9999\n")
    assert message.count("\n") == 80


def test_a_command_that_is_not_found_fails_the_pod_with_128(pods: Pods) -> None:
    pods.start("no-command", "", main_command=["no-such-command"])
    ended = pods.ended("no-command", "Failed")
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "no-such-command" in ended["message"]


def test_a_process_killed_by_a_signal_counts_128_and_the_signal(pods: Pods) -> None:
    pods.start("killed", "kill -KILL $$$$")
    assert pods.ended("killed", "Failed")["exitCode"] == 137


def test_a_failed_container_is_restarted_and_its_log_before_that_can_be_read(pods: Pods) -> None:
    pods.start(
        "restarts",
        'n=$(cat "$HOME/n" 2>&- || echo 0); echo $((n+1)) > "$HOME/n"; echo run $n; exit $((1-n))',
        restartPolicy="OnFailure",
    )
    pods.ended("restarts", "Succeeded")
    status = pods.get("restarts")["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert pods.kubectl("logs", "restarts") == "run 1\n"
    assert pods.kubectl("logs", "restarts", "-p") == "run 0\n"


def test_a_container_that_keeps_failing_backs_off(pods: Pods) -> None:
    pods.start("crashes", "exit 1", restartPolicy="Always")
    assert pods.waiting("crashes", "CrashLoopBackOff")["message"].startswith(
        "back-off 10s restarting failed container=main"
    )
    assert pods.get("crashes")["status"]["phase"] == "Running"


def test_init_containers_run_in_order_before_the_others(pods: Pods, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    init = [
        {"name": name, "image": JOB_IMAGE, "command": ["sh", "-c", f"echo {name} >> {trace}"]}
        for name in ("first", "second")
    ]
    pods.start("ordered", f"echo main >> {trace}", initContainers=init)
    pods.ended("ordered", "Succeeded")
    assert trace.read_text().split() == ["first", "second", "main"]


def test_a_deleted_pods_processes_are_asked_then_killed_and_the_pod_goes(pods: Pods) -> None:
    mark = start_family(pods, "deleted")
    pods.kubectl("delete", "pod", "deleted", "--grace-period=1", f"--timeout={LIMIT:.0f}s")
    assert processes_of(mark) == []


def test_a_deleted_pod_may_end_in_order(pods: Pods, tmp_path: Path) -> None:
    said = tmp_path / "said"
    pods.start("orderly", f"trap 'echo bye > {said}; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    pods.wait("orderly", "{.status.phase}", "Running")
    eventually(lambda: "up" in pods.kubectl("logs", "orderly"), "the trap is set")
    pods.kubectl("delete", "pod", "orderly", f"--timeout={LIMIT:.0f}s")
    assert said.read_text() == "bye\n"


def test_a_pod_deleted_by_force_loses_its_processes(pods: Pods) -> None:
    mark = start_family(pods, "forced")
    pods.kubectl("delete", "pod", "forced", "--force", "--grace-period=0")
    eventually(lambda: not processes_of(mark), "the processes of the removed pod are gone")


def test_an_evicted_pod_is_deleted(pods: Pods) -> None:
    mark = start_family(pods, "evicted")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted", "namespace": NAMESPACE}}
    eviction["deleteOptions"] = {"gracePeriodSeconds": 1}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/evicted/eviction"
    pods.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    pods.kubectl("wait", "pod/evicted", "--for=delete", f"--timeout={LIMIT:.0f}s")
    assert processes_of(mark) == []


def test_a_pod_that_the_node_evicts_fails_with_reason_evicted(pods: Pods) -> None:
    mark = start_family(pods, "pressed")
    pods.kubectl("annotate", "pod", "pressed", "local.s3sync/evict=true")
    ended = pods.ended("pressed", "Failed")
    status = pods.get("pressed")["status"]
    assert (status["reason"], ended["exitCode"]) == ("Evicted", 137)
    assert status["message"].startswith("The node was low on resource: memory.")
    assert processes_of(mark) == []


def test_a_pod_that_overruns_its_deadline_fails(pods: Pods) -> None:
    mark = start_family(pods, "overruns", "sleep 600 & sleep 600 & wait", activeDeadlineSeconds=2)
    pods.ended("overruns", "Failed")
    assert pods.get("overruns")["status"]["reason"] == "DeadlineExceeded"
    assert processes_of(mark) == []


def test_a_pod_with_a_mount_is_refused_by_the_volumes_name(pods: Pods) -> None:
    mount = [{"name": "data", "mountPath": "/data"}]
    pods.start("mounts", "true", main_volumeMounts=mount, volumes=[{"name": "data", "emptyDir": {}}])
    status = pods.wait("mounts", "{.status.phase}", "Failed")["status"]
    assert status["reason"] == "UnsupportedVolume"
    assert 'Volume "data"' in status["message"]


def test_an_empty_directory_at_tmp_is_left_out(pods: Pods) -> None:
    mount = [{"name": "tmp", "mountPath": "/tmp"}]
    pods.start("scratch", 'touch "$TMPDIR/x"', main_volumeMounts=mount, volumes=[{"name": "tmp", "emptyDir": {}}])
    pods.ended("scratch", "Succeeded")


def test_a_pod_that_fits_nowhere_stays_pending_and_says_so(pods: Pods) -> None:
    pods.start("selective", "true", nodeSelector={"gpu": "yes"})
    path = "{.status.conditions[?(@.type=='PodScheduled')].reason}"
    assert pods.wait("selective", path, "Unschedulable")["status"]["phase"] == "Pending"


class OtherNode:
    """A second node of the cluster, which a test may stop and kill."""

    def __init__(self, pods: Pods, directory: Path) -> None:
        self.pods = pods
        self.state = directory / "state"
        self._images = directory / "images.yaml"
        self._images.write_text("images: {shell: {}}")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        flags = {
            "--kubeconfig": self.pods.cluster.kubeconfig,
            "--name": OTHER,
            "--images": self._images,
            "--state-dir": self.state,
        }
        words = [str(word) for flag in flags.items() for word in flag]
        process = subprocess.Popen([sys.executable, "-m", "s3sync_local.node", *words])
        try:
            self.pods.kubectl("wait", f"node/{OTHER}", "--for=create", f"--timeout={LIMIT:.0f}s")
            self.pods.kubectl("wait", f"node/{OTHER}", "--for=condition=Ready", f"--timeout={LIMIT:.0f}s")
        except BaseException:
            process.kill()
            process.wait(LIMIT)
            raise
        return process

    def start_again(self) -> None:
        self.process = self._start()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT)


@pytest.fixture
def other(pods: Pods, tmp_path: Path) -> Iterator[OtherNode]:
    node = OtherNode(pods, tmp_path)
    yield node
    if node.process.poll() is None:
        node.end(signal.SIGTERM)
    pods.kubectl("delete", "node", OTHER, "--ignore-not-found")


def test_a_killed_node_leaves_no_process_of_its_pods_and_its_next_life_fails_them(pods: Pods, other: OtherNode) -> None:
    mark = start_family(pods, "orphaned", image="shell", nodeName=OTHER)
    pods.wait("orphaned", "{.status.phase}", "Running")
    other.end(signal.SIGKILL)
    eventually(lambda: not processes_of(mark), "all three processes are gone")
    other.start_again()
    ended = pods.ended("orphaned", "Failed")
    assert pods.get("orphaned")["status"]["reason"] == "NodeLost"
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
    assert pods.kubectl("logs", "orphaned") == "up\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_node_ends_its_pods_takes_itself_off_and_leaves_no_file(
    pods: Pods, other: OtherNode, number: signal.Signals
) -> None:
    name = f"stopped-{number.name.lower()}"
    mark = start_family(pods, name, image="shell", nodeName=OTHER)
    assert other.end(number) == 0
    assert processes_of(mark) == []
    assert not other.state.exists()
    assert pods.kubectl("get", "node", OTHER, "--ignore-not-found") == ""
    assert pods.get(name)["status"]["reason"] == "Terminated"


@pytest.mark.parametrize(
    ("flag", "content", "message"),
    [("--images", "images: {a: {paths: []}}", "images.a.paths"), ("--kubeconfig", "not: one", "--kubeconfig")],
)
def test_a_node_that_cannot_start_names_the_flag(tmp_path: Path, flag: str, content: str, message: str) -> None:
    files = {"--images": "images: {a: {}}", "--kubeconfig": "{}", flag: content}
    words = ["--name", "n", "--state-dir", str(tmp_path / "state")]
    for name, text in files.items():
        file = tmp_path / name.strip("-")
        file.write_text(text)
        words += [name, str(file)]
    ran = subprocess.run(
        [sys.executable, "-m", "s3sync_local.node", *words], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert ran.returncode == 2
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list((tmp_path / "state").glob("*"))
