"""The cluster and the Pachyderm that the end-to-end tests run on: made on this machine, or given by their user."""

import contextlib
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from pachyderm_standin.control_client import Control, RemoteControl
from s3sync_local.binaries import find_kubectl
from s3sync_local.errors import KubectlError, LocalClusterError
from s3sync_local.images import JOB, OPERATOR, STANDIN, build_images
from s3sync_local.realnode import RealCluster
from tests.support.s3 import s3_client
from tests.support.syncs import unique

ROOT = Path(__file__).resolve().parents[2]
PACHD = ROOT / "tests/e2e/manifests/pachd.yaml"
OPERATOR_NAMESPACE = "s3sync-system"
DEFINITION = "pachydermsyncs.sync.pachyderm.io"
S3_PORT, GRPC_PORT, CONTROL_PORT = 30600, 30650, 1699
KUBECTL_SECONDS = 60.0
ANY_KEY = "any-pair-of-equal-keys"

Progress = Callable[[str], None]


class InUseError(LocalClusterError):
    """The given cluster lacks what the tests need, or has what they would remove."""


class Cluster(Protocol):
    """What the tests ask of a cluster, whoever runs it."""

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = KUBECTL_SECONDS) -> str:
        """Run kubectl and return what it prints; raises KubectlError."""


@dataclass(frozen=True)
class GivenCluster:
    """A cluster that the user of the tests named by a kubeconfig."""

    kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = KUBECTL_SECONDS) -> str:
        """Run kubectl and return what it prints; raises KubectlError with what it says."""
        ran = subprocess.run(
            [find_kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if ran.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {ran.stderr.strip()}")
        return ran.stdout


@dataclass(frozen=True)
class Target:
    """Where the tests run. `endpoint` is the S3 gateway as pods reach it, `endpoint_here` as this process does;
    `pachd_address` is Pachyderm's gRPC API as pods reach it, empty where there is none to be used.

    `node`, `control` (faults on demand) and `host_folder`, a directory of the node that the operator lets syncs mount,
    are there only where cluster and Pachyderm are ours. `suffix` keeps names in a Pachyderm that others use apart from
    theirs.
    """

    cluster: Cluster
    kubeconfig: Path
    endpoint: str
    endpoint_here: str
    operator_image: str
    job_image: str
    overlay: str
    pachd_address: str = ""
    token: str = field(default="", repr=False)
    suffix: str = ""
    node: RealCluster | None = None
    control: Control | None = None
    host_folder: Path | None = None

    def unique(self, kind: str) -> str:
        """Return a name that no other test uses, nor anybody else of the same Pachyderm."""
        return f"{kind}-{unique()}{self.suffix}"

    def facts(self) -> dict[str, Any]:
        """Return what another process needs to use the same cluster and Pachyderm, but for the token."""
        plain = {name: getattr(self, name) for name in PLAIN_FACTS}
        places = {name: str(value) for name in PLACES if (value := getattr(self, name))}
        control = {"control": self.control.control} if self.control else {}
        return plain | places | control | ({"node": str(self.node.state_dir)} if self.node else {})

    def s3(self) -> Any:
        """Return a plain S3 client of the gateway."""
        return s3_client(self.endpoint_here, self.token or ANY_KEY)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = KUBECTL_SECONDS) -> str:
        """Run kubectl and return what it prints."""
        return self.cluster.kubectl(*arguments, stdin=stdin, timeout=timeout)


PLAIN_FACTS = ("endpoint", "endpoint_here", "operator_image", "job_image", "overlay", "pachd_address", "suffix")
PLACES = ("kubeconfig", "host_folder")


def attached_target(facts: Mapping[str, Any], token: str = "") -> Target:
    """Return the target that another process of this run owns."""
    node = RealCluster.attach(Path(facts["node"])) if "node" in facts else None
    kubeconfig = Path(facts["kubeconfig"])
    return Target(
        cluster=node or GivenCluster(kubeconfig),
        kubeconfig=kubeconfig,
        host_folder=Path(facts["host_folder"]) if "host_folder" in facts else None,
        node=node,
        control=RemoteControl(facts["control"]) if "control" in facts else None,
        token=token,
        **{name: facts[name] for name in PLAIN_FACTS},
    )


@dataclass(frozen=True)
class Given:
    """What the user of the tests gave: all but the kubeconfig may be empty."""

    kubeconfig: Path
    s3_endpoint: str
    s3_endpoint_here: str
    operator_image: str
    job_image: str
    pachd_address: str = ""
    token: str = field(default="", repr=False)


def given_target(given: Given) -> Target:
    """Return the target that a user's cluster and Pachyderm are; raises InUseError where the tests could do harm."""
    cluster = GivenCluster(given.kubeconfig)
    _require_unused(cluster)
    return Target(
        cluster=cluster,
        kubeconfig=given.kubeconfig,
        endpoint=given.s3_endpoint,
        endpoint_here=given.s3_endpoint_here or given.s3_endpoint,
        operator_image=given.operator_image,
        job_image=given.job_image,
        overlay="cluster",
        pachd_address=given.pachd_address,
        token=given.token,
        suffix=f"-{uuid.uuid4().hex[:6]}",
    )


def _require_unused(cluster: Cluster) -> None:
    if not cluster.kubectl("get", "crd", "tfjobs.kubeflow.org", "--ignore-not-found"):
        raise InUseError("the cluster has no tfjobs.kubeflow.org; install Kubeflow's training-operator first")
    if names := found(cluster):
        raise InUseError(f"the cluster has {', '.join(names)} already; the tests would take away what others use")


def found(cluster: Cluster) -> list[str]:
    """Return what the cluster has of the definition and of the operator's namespace."""
    wanted = (f"crd/{DEFINITION}", f"namespace/{OPERATOR_NAMESPACE}")
    return cluster.kubectl("get", *wanted, "-o", "name", "--ignore-not-found").split()


@contextlib.contextmanager
def own_target(state: Path, progress: Progress) -> Iterator[Target]:
    """Run a cluster with a real node, with Pachyderm's stand-in in it under the names that Pachyderm's chart uses."""
    images = build_images(progress, ("operator", "job", "standin"))
    with RealCluster(state, images=list(images.values()), progress=progress) as cluster:
        progress("the stand-in as Service pachd in namespace pachyderm")
        cluster.kubectl("apply", "-f", "-", stdin=PACHD.read_text().replace("STANDIN_IMAGE", STANDIN))
        cluster.kubectl("rollout", "status", "deployment/pachd", "-n", "pachyderm", "--timeout=90s", timeout=120)
        address = json.loads(cluster.kubectl("get", "service", "pachd", "-n", "pachyderm", "-o", "json"))
        host = address["spec"]["clusterIP"]
        yield Target(
            cluster=cluster,
            kubeconfig=cluster.kubeconfig,
            endpoint=f"http://pachd.pachyderm:{S3_PORT}",
            endpoint_here=f"http://{host}:{S3_PORT}",
            operator_image=OPERATOR,
            job_image=JOB,
            overlay="local",
            pachd_address=f"grpc://pachd.pachyderm:{GRPC_PORT}",
            node=cluster,
            control=RemoteControl(f"http://{host}:{CONTROL_PORT}"),
            host_folder=state.parent / "node",
        )


def install_operator(target: Target, folder: Path, *, overlay: str = "", tag: str = "") -> None:
    """Apply the overlay with the target's images and gateway, and wait until the operator is rolled out."""
    name, _, given_tag = target.operator_image.rpartition(":")
    environment = {"S3SYNC_JOB_IMAGE": target.job_image, "S3SYNC_DEFAULT_ENDPOINT": target.endpoint}
    if target.host_folder:
        environment["S3SYNC_ALLOW_HOST_PATH"] = str(target.host_folder)
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "s3sync-operator", "namespace": OPERATOR_NAMESPACE},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {"name": "operator", "env": [{"name": k, "value": v} for k, v in environment.items()]}
                    ]
                }
            }
        },
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(_relative(ROOT / "deploy/overlays" / (overlay or target.overlay), folder))],
        "images": [{"name": "pachyderm-s3-sync/operator", "newName": name, "newTag": tag or given_tag}],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    target.kubectl("apply", "-k", str(folder))
    wait_for_operator(target)


def uninstall_operator(target: Target, folder: Path) -> None:
    """Delete all syncs, then all that install_operator applied from the folder, the definition included.

    In this order no TFJob stays: the garbage collector does not look after kinds whose definition is gone.
    """
    if target.kubectl("get", "crd", DEFINITION, "--ignore-not-found"):
        target.kubectl("delete", "ps3", "--all", "-A", "--cascade=foreground", "--timeout=120s", timeout=150)
    # A namespace that still has pods when it is deleted goes only after half of their grace period.
    operator = ("deployment/s3sync-operator", "-n", OPERATOR_NAMESPACE)
    target.kubectl("delete", *operator, "--ignore-not-found", "--cascade=foreground", timeout=90)
    target.kubectl("delete", "-k", str(folder), "--ignore-not-found", "--wait=true", timeout=180)


def _relative(path: Path, start: Path) -> Path:
    """Return the path as kustomize wants it, which takes no absolute ones."""
    up = [".."] * len(start.resolve().relative_to("/").parts)
    return Path(*up) / path.relative_to("/")


def wait_for_operator(target: Target) -> None:
    """Wait until the operator's Deployment is rolled out as last applied."""
    flags = ("deployment/s3sync-operator", "-n", OPERATOR_NAMESPACE, "--timeout=120s")
    target.kubectl("rollout", "status", *flags, timeout=150)


def operator_pod(target: Target) -> str:
    """Return the name of the one operator pod that is not on its way out."""
    raw = json.loads(
        target.kubectl(
            "get", "pods", "-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=s3sync-operator", "-ojson"
        )
    )
    (name,) = (item["metadata"]["name"] for item in raw["items"] if "deletionTimestamp" not in item["metadata"])
    return str(name)
