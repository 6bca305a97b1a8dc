"""The main job from end to end on this machine: `make demo`.

A real Kubernetes, the real training-operator, this operator and the job with real TensorFlow; the one stand-in is
Pachyderm's server. Takes no root, leaves nothing running, and ends with 0 only if every file is verified.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import botocore.session
import yaml
from botocore.config import Config

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_local.components import LOOPBACK
from s3sync_local.errors import LocalClusterError
from s3sync_local.node.catalogue import Image
from s3sync_local.processes import Component, free_ports, tail

ROOT = Path(__file__).resolve().parents[4]
NAMESPACE, NAME = "kubeflow", "s3-gateway-example"
SAMPLE = ROOT / "deploy/samples/s3-gateway-example.yaml"
JOB_IMAGE = "pachyderm-s3-sync/job:demo"
OPERATOR_USER = "system:serviceaccount:s3sync-system:s3sync-operator"
READY_SECONDS = 120
OPERATOR_STOP_SECONDS = 15
POLL_SECONDS = 0.2


class DemoError(Exception):
    """The demo did not show what it must; the message says what is missing and where to look."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo; Ctrl-C and SIGTERM clean up as its end does."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--keep", action="store_true", help="leave all up until Ctrl-C, and say how to use kubectl with it"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        with running() as demo:
            show(demo)
            say(f"all files are verified; {time.monotonic() - started:.0f} s from start to here")
            if options.keep:
                keep(demo)
    except (LocalClusterError, DemoError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped" if options.keep else "interrupted; nothing is left running")


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def say(text: str) -> None:
    """Write a line of progress."""
    sys.stdout.write(f"==> {text}\n")
    sys.stdout.flush()


def quote(text: str) -> None:
    """Write what a command printed, indented."""
    sys.stdout.write("".join(f"    {line}\n" for line in text.splitlines()))
    sys.stdout.flush()


@dataclass(frozen=True)
class Demo:
    """What runs: the cluster, Pachyderm's stand-in and the operator."""

    cluster: LocalCluster
    standin: StandinProcess
    operator: Component


@contextlib.contextmanager
def running() -> Iterator[Demo]:
    """Start cluster, stand-in and operator, and stop them in the opposite order, whatever happens."""
    images = {JOB_IMAGE: Image(path=(Path(sys.executable).parent,), workdir=ROOT)}
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(LocalCluster(images=images, progress=say))
        say("starting the stand-in for Pachyderm's S3 gateway")
        # With its data among the cluster's state, not even a crash leaves a temporary folder for long.
        data = cluster.state_dir / "pachyderm"
        data.mkdir()
        standin = stack.enter_context(StandinProcess(data))
        say(f"Pachyderm's S3 gateway (stand-in): {standin.endpoint}")
        install(cluster)
        operator = start_operator(cluster, standin.endpoint)
        stack.callback(operator.wait_or_kill, OPERATOR_STOP_SECONDS)
        stack.callback(operator.terminate)
        yield Demo(cluster, standin, operator)
        say("stopping")


def install(cluster: LocalCluster) -> None:
    """Apply the definition and the operator's role, and make the namespace of the example."""
    say("kubectl apply -k crd/ and the operator's role")
    quote(cluster.kubectl("apply", "-k", str(ROOT / "crd")))
    cluster.wait_for("crd/pachydermsyncs.sync.pachyderm.io", "Established")
    base = ROOT / "deploy/base"
    quote(cluster.kubectl("apply", "-f", str(base / "namespace.yaml"), "-f", str(base / "rbac.yaml")))
    if not cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        cluster.create_namespace(NAMESPACE)


def start_operator(cluster: LocalCluster, endpoint: str) -> Component:
    """Start the operator as a process with the rights of its service account."""
    say("starting the operator: python -m s3sync_operator")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONUNBUFFERED": "1",
        "KUBECONFIG": str(cluster.kubeconfig_for(OPERATOR_USER)),
        "S3SYNC_JOB_IMAGE": JOB_IMAGE,
        "S3SYNC_DEFAULT_ENDPOINT": endpoint,
        "S3SYNC_HEALTH_ADDRESS": f"{LOOPBACK}:{free_ports(1)[0]}",
        "S3SYNC_METRICS_ADDRESS": f"{LOOPBACK}:{free_ports(1)[0]}",
    }
    argv = [sys.executable, "-m", "s3sync_operator"]
    return Component("operator", argv, cluster.logs / "operator.log", environment)


def show(demo: Demo) -> None:
    """Apply the example, wait until it is ready, and show what there is to see."""
    kubectl = demo.cluster.kubectl
    say(f"kubectl apply -f {SAMPLE.relative_to(ROOT)}")
    quote(kubectl("apply", "-f", str(SAMPLE)))
    wait_until_ready(demo)
    say("kubectl get pachydermsyncs")
    quote(kubectl("get", "pachydermsyncs", "-n", NAMESPACE, "-o", "wide"))
    status = get_status(demo)
    say("its status")
    quote(yaml.safe_dump(status, sort_keys=False, width=110))
    pod = status["podNames"][0]
    say(f"kubectl logs {pod}")
    quote(kubectl("logs", pod, "-n", NAMESPACE, "--tail=15"))
    keys = list_objects(demo.standin.endpoint, "master.testrepo")
    say("the objects in s3://master.testrepo, listed by a plain S3 client")
    quote("\n".join(f"{size:>8}  {key}" for key, size in keys.items()))
    check(status, keys)


def wait_until_ready(demo: Demo) -> None:
    """Show each phase as it comes, then let `kubectl wait` have the last word."""
    say(f"kubectl wait --for=condition=Ready pachydermsyncs/{NAME} -n {NAMESPACE}")
    deadline, shown = time.monotonic() + READY_SECONDS, ""
    while time.monotonic() < deadline:
        if demo.operator.exit_code() is not None:
            raise demo.operator.failure("ended")
        status = get_status(demo)
        ready: dict[str, Any] = next((item for item in status.get("conditions", ()) if item["type"] == "Ready"), {})
        line = f"{status.get('phase', 'Pending')}: {ready.get('message', 'the operator has not seen it yet')}"
        if line != shown:
            quote(line)
            shown = line
        if ready.get("status") == "True" or status.get("phase") == "Failed":
            break
        time.sleep(POLL_SECONDS)
    try:
        quote(demo.cluster.kubectl(
            "wait", "--for=condition=Ready", f"pachydermsyncs/{NAME}", "-n", NAMESPACE, "--timeout=1s"
        ))  # fmt: skip
    except LocalClusterError as error:
        log = demo.cluster.logs / "operator.log"
        raise DemoError(f"the sync is not ready: {shown}\n{error}\nthe operator's log ends:\n{tail(log)}") from error


def get_status(demo: Demo) -> dict[str, Any]:
    """Return the status of the example."""
    raw = json.loads(demo.cluster.kubectl("get", "pachydermsyncs", NAME, "-n", NAMESPACE, "-o", "json"))
    return dict(raw.get("status") or {})


def list_objects(endpoint: str, bucket: str) -> dict[str, int]:
    """Return keys and sizes (bytes) in a bucket, as a plain S3 client lists them."""
    client = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="demo",
        aws_secret_access_key="demo",  # noqa: S106 - without auth, any pair of equal keys is right
        config=Config(s3={"addressing_style": "path"}, connect_timeout=10, read_timeout=10),
    )
    pages = client.get_paginator("list_objects").paginate(Bucket=bucket)
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}


def check(status: dict[str, Any], keys: dict[str, int]) -> None:
    """Raise DemoError unless the repo holds exactly the files of testdata and the status counts each as verified."""
    files = {
        str(path.relative_to(ROOT)): path.stat().st_size for path in (ROOT / "testdata").rglob("*") if path.is_file()
    }
    counts = status.get("counts", {})
    if keys != files:
        raise DemoError(f"the repo holds {keys}, but testdata/ holds {files}")
    if not files or counts.get("verified") != len(files) or counts.get("failed"):
        raise DemoError(f"the status counts {counts}, but there are {len(files)} files to verify")


def keep(demo: Demo) -> None:
    """Say how to use what runs, and wait for Ctrl-C."""
    say("everything stays up until Ctrl-C; in another terminal:")
    quote(
        f"export KUBECONFIG={demo.cluster.kubeconfig}\n"
        f"export PATH={Path(sys.executable).parent}:$PATH\n"
        f"kubectl get pachydermsyncs -A -o wide\n"
        f"kubectl describe ps3 {NAME} -n {NAMESPACE}\n"
        f"the S3 gateway: {demo.standin.endpoint} (any pair of equal keys)\n"
        f"the logs: {demo.cluster.logs}"
    )
    while True:
        demo.cluster.check()
        if demo.operator.exit_code() is not None:
            raise demo.operator.failure("ended")
        time.sleep(1)


if __name__ == "__main__":
    main()
