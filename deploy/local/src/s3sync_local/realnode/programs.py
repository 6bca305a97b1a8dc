"""The programs of a real node: built from pinned Go modules, or the machine's own (Debian's packages)."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.binaries import CONTROL_PLANE, REAL_NODE, TRAINING_OPERATOR, Binaries, ensure_modules, find_kubectl
from s3sync_local.errors import MissingToolError
from s3sync_local.gobuild import Progress

CNI_FOLDER = Path("/usr/lib/cni")
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "mount": "mount",
    str(CNI_FOLDER / "ptp"): "containernetworking-plugins",
    str(CNI_FOLDER / "host-local"): "containernetworking-plugins",
    str(CNI_FOLDER / "loopback"): "containernetworking-plugins",
}
"""The machine's programs that a real node needs, each with Debian's package of it."""

SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"))
"""Where programs are looked for, by us and by those that we start: `nft` and `ip` may be missing in a user's PATH."""


@dataclass(frozen=True)
class NodeBinaries(Binaries):
    """What a cluster with a real node needs besides."""

    kubelet: Path
    kube_proxy: Path
    kube_scheduler: Path


def missing_packages() -> list[str]:
    """Return Debian's packages that are to be installed before a real node can run, sorted; empty where none is."""
    return sorted({package for program, package in PACKAGES.items() if shutil.which(program, path=SEARCH_PATH) is None})


def require_packages() -> None:
    """Raise MissingToolError, which says what to install, where the machine lacks a program."""
    if missing := missing_packages():
        raise MissingToolError(f"a real node needs programs that are missing: apt-get install {' '.join(missing)}")


def ensure_programs(progress: Progress) -> NodeBinaries:
    """Return the programs of the cluster, building what neither KUBEBUILDER_ASSETS nor the cache holds.

    Raises MissingToolError (a package of the machine's, Go, kubectl) and BuildError.
    """
    require_packages()
    paths = ensure_modules((CONTROL_PLANE, TRAINING_OPERATOR, REAL_NODE), progress)
    return NodeBinaries(
        etcd=paths["etcd"],
        kube_apiserver=paths["kube-apiserver"],
        kube_controller_manager=paths["kube-controller-manager"],
        kubectl=find_kubectl(),
        training_operator=paths["training-operator"],
        manifests=paths["manifests"],
        kubelet=paths["kubelet"],
        kube_proxy=paths["kube-proxy"],
        kube_scheduler=paths["kube-scheduler"],
    )
