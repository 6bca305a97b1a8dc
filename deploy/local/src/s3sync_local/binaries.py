"""Provide the programs of the local cluster: found, or built from pinned Go modules and kept outside the tree.

This module and what it imports need the standard library only, so that a build may run before anything is installed.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.errors import BuildError, LocalClusterError, MissingToolError
from s3sync_local.gobuild import BUILD_FLAGS, BUILD_SECONDS, REPORT_SECONDS, GoBuilder, GoModule, Progress
from s3sync_local.gotoolchain import find_go, required_version
from s3sync_local.paths import GO_MODULES, cache_dir

KUBERNETES_VERSION = "1.36.3"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
_VERSION_PACKAGE = "k8s.io/component-base/version"

CONTROL_PLANE = GoModule(
    "kubernetes",
    {
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    },
    # Without a version the API server answers v0.0.0, which kubectl refuses to parse.
    f"-s -w -X {_VERSION_PACKAGE}.gitVersion=v{KUBERNETES_VERSION}"
    f" -X {_VERSION_PACKAGE}.gitMajor={_MAJOR} -X {_VERSION_PACKAGE}.gitMinor={_MINOR}",
)
TRAINING_OPERATOR = GoModule(
    "training-operator", {"training-operator": "github.com/kubeflow/training-operator/cmd/training-operator.v1"}
)
MODULES = (CONTROL_PLANE, TRAINING_OPERATOR)

MANIFESTS_MODULE = "github.com/kubeflow/training-operator"
MANIFESTS = {
    "crd.yaml": "manifests/base/crds/kubeflow.org_tfjobs.yaml",
    "cluster-role.yaml": "manifests/base/rbac/role.yaml",
    "webhooks.yaml": "manifests/base/webhook/manifests.yaml",
}


@dataclass(frozen=True)
class Binaries:
    """Paths of the programs, and of the training-operator's own manifests (CRD, role, webhooks) from its module."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path
    training_operator: Path
    manifests: Path


def cache_key(files: Mapping[str, bytes], modules: Sequence[GoModule] = MODULES) -> str:
    """Return 16 hex digits that change with any go.mod, go.sum, package, build flag or manifest."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    for module in modules:
        digest.update(f"{module.folder} {sorted(module.packages.items())} {module.ldflags}\n".encode())
    digest.update(f"{BUILD_FLAGS} {sorted(MANIFESTS.items())}".encode())
    return digest.hexdigest()[:16]


def locate(assets: Path | None, built: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return each name's path: among the assets (KUBEBUILDER_ASSETS) where it is there, else where builds go."""
    return {name: assets / name if assets and (assets / name).is_file() else built / name for name in names}


def ensure_binaries(progress: Progress) -> Binaries:
    """Return the programs, building what neither KUBEBUILDER_ASSETS nor the cache holds.

    Raises MissingToolError (no Go and no way to get it, no kubectl, a wrong KUBEBUILDER_ASSETS) and BuildError.
    """
    kubectl = _find_kubectl()
    paths, manifests = ensure_built(progress)
    return Binaries(
        etcd=paths["etcd"],
        kube_apiserver=paths["kube-apiserver"],
        kube_controller_manager=paths["kube-controller-manager"],
        kubectl=kubectl,
        training_operator=paths["training-operator"],
        manifests=manifests,
    )


def ensure_built(progress: Progress) -> tuple[dict[str, Path], Path]:
    """Return what comes from Go modules, binaries by name and the manifests' folder; needs no installed package."""
    built = cache_dir() / "bin" / cache_key(_lock_files())
    paths = locate(_assets_dir(), built, [name for module in MODULES for name in module.packages])
    wanted = {**paths, "manifests": built / "manifests"}
    if _missing(wanted):
        with _build_lock(built, progress):
            _build(_missing(wanted), built, progress)
    return paths, wanted["manifests"]


def _lock_files() -> dict[str, bytes]:
    names = [f"{module.folder}/{name}" for module in MODULES for name in ("go.mod", "go.sum")]
    absent = [name for name in names if not (GO_MODULES / name).is_file()]
    if absent:
        raise MissingToolError(f"{GO_MODULES} lacks {', '.join(absent)}; run from a complete checkout")
    return {name: (GO_MODULES / name).read_bytes() for name in names}


def _assets_dir() -> Path | None:
    value = os.environ.get("KUBEBUILDER_ASSETS")
    if not value:
        return None
    if not Path(value).is_dir():
        raise MissingToolError(f"KUBEBUILDER_ASSETS is {value}, which is no directory; correct or unset it")
    return Path(value)


def _find_kubectl() -> Path:
    """Return kubectl from KUBEBUILDER_ASSETS, else the pinned one that its wheel put beside this Python."""
    folders = [_assets_dir(), Path(sysconfig.get_path("scripts"))]
    found = [folder / "kubectl" for folder in folders if folder and (folder / "kubectl").is_file()]
    if not found:
        raise MissingToolError("kubectl is not installed beside this Python; run `uv sync`, or set KUBEBUILDER_ASSETS")
    return found[0]


def _missing(wanted: Mapping[str, Path]) -> list[str]:
    return [name for name, path in wanted.items() if not path.exists()]


@contextmanager
def _build_lock(built: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of one cache entry, so that of two builds at once the second waits and finds all done."""
    built.mkdir(parents=True, exist_ok=True)
    with (built / ".lock").open("w") as lock:
        for second in range(BUILD_SECONDS):
            if _try_lock(lock.fileno()):
                break
            if second % REPORT_SECONDS == 0:
                progress("another process is building the same binaries; waiting for it")
            time.sleep(1)
        else:
            raise BuildError(f"another process has held {built / '.lock'} for {BUILD_SECONDS} s; end it and try again")
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _build(names: Sequence[str], built: Path, progress: Progress) -> None:
    """Build the named into a temporary folder and rename each into place when it is whole; call under the lock."""
    if not names:
        return
    started = time.monotonic()
    go = find_go(required_version(text.decode() for text in _lock_files().values()), progress)
    progress(f"building {', '.join(names)} from pinned Go modules; the first time takes minutes")
    for leftover in built.glob("part-*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(dir=built, prefix="part-") as part:
        builder = GoBuilder(go, GO_MODULES, progress)
        builder.build([found for module in MODULES if (found := module.only(names)).packages], Path(part))
        if "manifests" in names:
            _copy_manifests(builder.module_dir(TRAINING_OPERATOR.folder, MANIFESTS_MODULE), Path(part) / "manifests")
        for name in names:
            (Path(part) / name).rename(built / name)
    progress(f"built in {time.monotonic() - started:.0f} s; kept in {built}")


def main() -> None:
    """Build what comes from Go modules: `PYTHONPATH=deploy/local/src python3 -m s3sync_local.binaries`.

    It needs no installed package, so that it can run while the environment is still being installed.
    """
    try:
        ensure_built(lambda text: print(f"==> {text}", flush=True))
    except LocalClusterError as error:
        sys.exit(f"error: {error}")


def _copy_manifests(module: Path, target: Path) -> None:
    target.mkdir()
    for name, source in MANIFESTS.items():
        # The module cache is read-only; copyfile leaves that mode behind, so that the copies can be removed.
        shutil.copyfile(module / source, target / name)


if __name__ == "__main__":
    main()
