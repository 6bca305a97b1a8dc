"""The local Kubernetes cluster as its users see it: start it, reach it, stop it."""

import json
import os
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from s3sync_local import access, components, statedir
from s3sync_local.binaries import Binaries, ensure_binaries, find_kubectl
from s3sync_local.components import Layout
from s3sync_local.errors import ComponentError, KubectlError
from s3sync_local.gobuild import Progress
from s3sync_local.node.catalogue import Image
from s3sync_local.owner import KeeperProcess
from s3sync_local.paths import clusters_dir

START_SECONDS = 240.0
KUBECTL_SECONDS = 60.0
NODE_NAME = "local"
NOT_STARTED = "the local cluster is not started; call start() or use it as a context manager"


def no_progress(_text: str) -> None:
    """Take a progress line and show it to nobody."""


class Cluster(ABC):
    """A cluster on this machine, run by a keeper process of its own; subclasses say which.

    state_dir must be absent or empty; without one a directory in the cache is used. Either is removed at the stop.
    start() raises LocalClusterError's subclasses and then leaves nothing running; only the logs stay.
    """

    def __init__(self, state_dir: Path | None = None, *, progress: Progress = no_progress) -> None:
        self._given_state_dir, self._progress = state_dir, progress
        self._keeper: KeeperProcess | None = None
        self._layout: Layout | None = None
        self._server = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.stop()

    @classmethod
    def attach(cls, state_dir: Path) -> Self:
        """Return the cluster that another process runs there; this one only uses it, and stop() leaves it running."""
        layout = Layout(state_dir.resolve())
        if not layout.info.exists():
            raise ComponentError(f"no cluster is ready in {state_dir}")
        cluster = cls(state_dir)
        cluster._layout, cluster._server = layout, str(json.loads(layout.info.read_text())["server"])
        return cluster

    @abstractmethod
    def _provide(self) -> None:
        """Check and build what the cluster needs, before anything starts."""

    @abstractmethod
    def _keep(self, layout: Layout, lock: int) -> KeeperProcess:
        """Start the keeper of this cluster."""

    @property
    def state_dir(self) -> Path:
        """The directory of everything that belongs to this cluster."""
        return self._started_layout().root

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._started_layout().kubeconfig(access.ADMIN)

    @property
    def server(self) -> str:
        """The API server's URL."""
        self._started_layout()
        return self._server

    @property
    def ca(self) -> Path:
        """The certificate (PEM) of the authority that signed the API server's."""
        return self._started_layout().pki / "ca.crt"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: an Event (audit.k8s.io/v1, Metadata) a line for each answered request."""
        return self._started_layout().audit_log

    @property
    def logs(self) -> Path:
        """The folder of the components' logs, `<component>.log`."""
        return self._started_layout().logs

    @property
    def kubectl_path(self) -> Path:
        """The kubectl that belongs to this cluster's version."""
        return find_kubectl()

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Return the kubeconfig of any user in any groups, who may do what RBAC grants them and no more."""
        return access.write_kubeconfig(self._started_layout(), self._server, f"user-{user}", user, groups)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = KUBECTL_SECONDS) -> str:
        """Run kubectl as administrator and return its standard output; raises KubectlError with what it says."""
        flags = components.kubectl_flags(self._started_layout())
        try:
            ran = subprocess.run(
                [self.kubectl_path, *flags, *arguments],
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"kubectl {' '.join(arguments)} did not end within {timeout:.0f} s") from error
        if ran.returncode:
            self.check()
            raise KubectlError(f"kubectl {' '.join(arguments)}: {ran.stderr.strip()}")
        return ran.stdout

    def wait_for(self, target: str, condition: str = "", *, namespace: str = "default", seconds: int = 30) -> None:
        """Wait until the object (`crd/NAME`, `pod/NAME`, …) exists and, where a condition is named, until it is True.

        Unlike `kubectl wait --for=condition=…` it does not fail on an object whose status is still empty.
        """
        for wanted in components.wait_flags(condition):
            limits = (f"--namespace={namespace}", f"--timeout={seconds}s")
            self.kubectl("wait", wanted, target, *limits, timeout=seconds + KUBECTL_SECONDS)

    def create_namespace(self, name: str) -> None:
        """Create a namespace and wait for its default service account, without which no pod can be created in it."""
        self.kubectl("create", "namespace", name)
        self.wait_for("serviceaccount/default", namespace=name)

    def check(self) -> None:
        """Raise ComponentError where the cluster has ended by itself, with the keeper's reason."""
        if self._keeper is not None and self._keeper.has_ended():
            raise self._keeper.failure()

    def start(self) -> None:
        """Build what is missing, start all components and return when all are ready."""
        self._provide()
        clusters_dir().mkdir(parents=True, exist_ok=True)
        statedir.sweep(clusters_dir())
        root = self._given_state_dir or Path(tempfile.mkdtemp(dir=clusters_dir(), prefix=f"{os.getpid()}-"))
        lock = statedir.claim(root.resolve())
        self._layout = Layout(root.resolve())
        try:
            self._layout.logs.mkdir()
            self._keeper = self._keep(self._layout, lock)
            self._server = self._keeper.wait_until_ready(self._progress, START_SECONDS)
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(lock)

    def stop(self) -> None:
        """Stop all in order and remove the state directory; may be called again."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and self._layout is not None and keeper.stop():
            statedir.remove(self._layout.root)

    def _started_layout(self) -> Layout:
        if self._layout is None:
            raise ComponentError(NOT_STARTED)
        return self._layout


class LocalCluster(Cluster):
    """A real Kubernetes on the loopback interface: etcd, API server, controllers, training-operator, a node.

    images says which directories stand for which container images, as a mapping or as the node's catalogue file.
    The cluster ends with this process. With detach it stays when this process ends, until the process owner_pid ends
    or, without one, until `python -m s3sync_local down`.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        training_operator: bool = True,
        node: bool = True,
        images: Mapping[str, Image] | Path | None = None,
        detach: bool = False,
        owner_pid: int | None = None,
        progress: Progress = no_progress,
    ) -> None:
        super().__init__(state_dir, progress=progress)
        self._training_operator, self._node, self._images = training_operator, node, images
        self._detach, self._owner_pid = detach, owner_pid if detach else os.getpid()
        self._binaries: Binaries | None = None

    @property
    def manifests(self) -> Path:
        """The folder of the training-operator's own manifests; `training_operator.CRD` and its like are paths in it."""
        return self._started_binaries().manifests

    @classmethod
    def attach(cls, state_dir: Path) -> Self:
        """Return the cluster that another process runs there; this one only uses it, and stop() leaves it running."""
        cluster = super().attach(state_dir)
        cluster._binaries = ensure_binaries(no_progress)
        return cluster

    def leave(self) -> None:
        """Let go of a detached cluster, which stays when this process ends."""
        if self._detach:
            self._keeper = None

    def _provide(self) -> None:
        self._binaries = ensure_binaries(self._progress)

    def _keep(self, layout: Layout, lock: int) -> KeeperProcess:
        return KeeperProcess("s3sync_local.keeper", self._keeper_flags(layout), layout.logs / "keeper.log", lock)

    def _started_binaries(self) -> Binaries:
        if self._binaries is None:
            raise ComponentError(NOT_STARTED)
        return self._binaries

    def _keeper_flags(self, layout: Layout) -> list[str]:
        flags = ["--state-dir", str(layout.root)]
        flags += [] if self._owner_pid is None else ["--owner-pid", str(self._owner_pid)]
        flags += [] if self._training_operator else ["--no-training-operator"]
        if self._node:
            flags += ["--node", NODE_NAME, "--images", str(self._catalogue(layout))]
        return flags

    def _catalogue(self, layout: Layout) -> Path:
        """Return the node's catalogue file; without images it knows one, `python`, which is this very Python."""
        if isinstance(self._images, Path):
            return self._images.resolve()
        images = self._images or {"python": Image(path=(Path(sys.executable).parent,))}
        path = layout.root / "images.yaml"
        path.write_text(json.dumps({"images": {name: image.model_dump(mode="json") for name, image in images.items()}}))
        return path
