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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.errors import BuildError, LocalClusterError, MissingToolError
from s3sync_local.gobuild import BUILD_FLAGS, BUILD_SECONDS, REPORT_SECONDS, GoBuilder, GoModule, Progress, merged
from s3sync_local.gotoolchain import find_go, required_version
from s3sync_local.paths import GO_MODULES, cache_dir
from s3sync_local.sandbox.marker import refuse_inside

KUBERNETES_VERSION = "1.36.3"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
_VERSION_PACKAGE = "k8s.io/component-base/version"

# Without a version the API server answers v0.0.0, which kubectl refuses to parse.
_KUBERNETES_LDFLAGS = (
    f"-s -w -X {_VERSION_PACKAGE}.gitVersion=v{KUBERNETES_VERSION}"
    f" -X {_VERSION_PACKAGE}.gitMajor={_MAJOR} -X {_VERSION_PACKAGE}.gitMinor={_MINOR}"
)

CONTROL_PLANE = GoModule(
    "kubernetes",
    {
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    },
    _KUBERNETES_LDFLAGS,
)
TRAINING_OPERATOR = GoModule(
    "training-operator",
    {"training-operator": "github.com/kubeflow/training-operator/cmd/training-operator.v1"},
    sources={"manifests": ("github.com/kubeflow/training-operator", "manifests")},
)
REAL_NODE = GoModule(
    "kubernetes",
    {
        "kubelet": "k8s.io/kubernetes/cmd/kubelet",
        "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    },
    _KUBERNETES_LDFLAGS,
)
COREDNS = GoModule("coredns", {"coredns": "github.com/coredns/coredns"})
MODULES = (CONTROL_PLANE, TRAINING_OPERATOR, REAL_NODE, COREDNS)
"""Every set of programs. Each has a cache entry of its own, so that nobody builds more than was asked for."""


@dataclass(frozen=True)
class Binaries:
    """Paths of the programs, and of the training-operator's own manifests, the folder `manifests` of its module."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path
    training_operator: Path
    manifests: Path


def cache_key(files: Mapping[str, bytes], module: GoModule) -> str:
    """Return 16 hex digits that change with the module's go.mod, go.sum, packages, sources and build flags."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    digest.update(f"{module.folder} {sorted(module.packages.items())} {module.ldflags}\n".encode())
    digest.update(f"{BUILD_FLAGS} {sorted(module.sources.items())}".encode())
    # Most have none, and are not to be built anew because some have.
    digest.update(f" tags {module.tags}".encode() if module.tags else b"")
    return digest.hexdigest()[:16]


def locate(assets: Path | None, built: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return each name's path: among the assets (KUBEBUILDER_ASSETS) where it is there, else where builds go."""
    return {name: assets / name if assets and (assets / name).is_file() else built / name for name in names}


def ensure_binaries(progress: Progress) -> Binaries:
    """Return the programs, building what neither KUBEBUILDER_ASSETS nor the cache holds.

    Raises MissingToolError (no Go and no way to get it, no kubectl, a wrong KUBEBUILDER_ASSETS) and BuildError.
    """
    kubectl = find_kubectl()
    paths = ensure_modules((CONTROL_PLANE, TRAINING_OPERATOR), progress)
    return Binaries(
        etcd=paths["etcd"],
        kube_apiserver=paths["kube-apiserver"],
        kube_controller_manager=paths["kube-controller-manager"],
        kubectl=kubectl,
        training_operator=paths["training-operator"],
        manifests=paths["manifests"],
    )


def show_program(ensure: Callable[[Progress], Path]) -> None:
    """Provide a program, print where it is, and tell what is done meanwhile; exits with the reason where it cannot."""
    try:
        print(ensure(lambda text: print(f"==> {text}", file=sys.stderr)))
    except LocalClusterError as error:
        sys.exit(f"error: {error}")


def ensure_modules(modules: Sequence[GoModule], progress: Progress) -> dict[str, Path]:
    """Return the path of every program and source folder of the modules by its name, building what is missing.

    What is missing of several modules is built side by side. It needs no installed package.
    Raises MissingToolError and BuildError.
    """
    found = {module: _wanted(module) for module in modules}
    missing = [module for module, wanted in found.items() if _missing(wanted)]
    for module in missing:
        refuse_inside(module.folder)
    if missing:
        with _build_locks(missing, progress):
            _build(missing, progress)
    return {name: path for wanted in found.values() for name, path in wanted.items()}


def find_kubectl() -> Path:
    """Return kubectl from KUBEBUILDER_ASSETS, else the pinned one that its wheel put beside this Python."""
    folders = [_assets_dir(), Path(sysconfig.get_path("scripts"))]
    found = [folder / "kubectl" for folder in folders if folder and (folder / "kubectl").is_file()]
    if not found:
        raise MissingToolError("kubectl is not installed beside this Python; run `uv sync`, or set KUBEBUILDER_ASSETS")
    return found[0]


def _wanted(module: GoModule) -> dict[str, Path]:
    return locate(_assets_dir(), _entry(module), [*module.packages, *module.sources])


def _entry(module: GoModule) -> Path:
    return cache_dir() / "bin" / cache_key(_lock_files(module), module)


def _lock_files(module: GoModule) -> dict[str, bytes]:
    names = [f"{module.folder}/{name}" for name in ("go.mod", "go.sum")]
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


def _missing(wanted: Mapping[str, Path]) -> list[str]:
    return [name for name, path in wanted.items() if not path.exists()]


@contextmanager
def _build_locks(modules: Sequence[GoModule], progress: Progress) -> Iterator[None]:
    """Hold the locks of the modules' cache entries, in the same order as everybody, so that nobody waits for good."""
    with ExitStack() as stack:
        for entry in sorted(map(_entry, modules)):
            stack.enter_context(_build_lock(entry, progress))
        yield


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


def _build(modules: Sequence[GoModule], progress: Progress) -> None:
    """Build what is missing into a temporary folder and rename each into place when it is whole; call under the locks.

    Another process may have built some of it, or all, while this one waited for the locks.
    """
    lacking = [lack for module in modules if (lack := module.only(_missing(_wanted(module)))).names]
    if not lacking:
        return
    started = time.monotonic()
    go = find_go(required_version(text.decode() for each in lacking for text in _lock_files(each).values()), progress)
    names = ", ".join(name for module in lacking for name in module.packages)
    progress(f"building {names or 'no program'} from pinned Go modules; the first time takes minutes")
    place = _entry(modules[0])
    for leftover in place.glob("part-*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(dir=place, prefix="part-") as part:
        builder = GoBuilder(go, GO_MODULES, progress)
        builder.build(merged(lacking), Path(part))
        for module in lacking:
            _copy_sources(builder, module, Path(part))
        for module in modules:
            for name, path in _wanted(module).items():
                if (Path(part) / name).exists():
                    (Path(part) / name).rename(path)
    progress(f"built in {time.monotonic() - started:.0f} s; kept in {cache_dir() / 'bin'}")


def _copy_sources(builder: GoBuilder, module: GoModule, target: Path) -> None:
    for name, (required, folder) in module.sources.items():
        source = builder.module_dir(module.folder, required) / folder
        # The module cache is read-only. Only contents are copied, so that the copies can be removed.
        for file in (path for path in source.rglob("*") if path.is_file()):
            copy = target / name / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def main() -> None:
    """Build what comes from Go modules: `PYTHONPATH=deploy/local/src python3 -m s3sync_local.binaries`.

    It needs no installed package, so that it can run while the environment is still being installed.
    """
    try:
        ensure_modules((CONTROL_PLANE, TRAINING_OPERATOR), lambda text: print(f"==> {text}", flush=True))
    except LocalClusterError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
