"""The cluster with a real node as its users see it: a LocalCluster whose pods come from images."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from s3sync_local import sandbox
from s3sync_local.cluster import Cluster, no_progress
from s3sync_local.components import Layout
from s3sync_local.errors import ComponentError, SandboxError
from s3sync_local.gobuild import Progress
from s3sync_local.images import build_images
from s3sync_local.owner import KeeperProcess
from s3sync_local.realnode.configuration import DONE, KEEPER_SOCKET, NODE_NAME, import_command, tag_command
from s3sync_local.realnode.programs import SEARCH_PATH, ensure_programs

OWN_IMAGES = ("pause", "coredns", "training-operator")
IMPORT_SECONDS = 240.0
RESTART_SECONDS = 60.0
NODE_SECONDS = 60.0
PAUSE_SECONDS = 0.2


class RealCluster(Cluster):
    """A real Kubernetes with one real node: containerd, kubelet, kube-proxy, CoreDNS, the training-operator as pods.

    It must run in a sandbox, for it changes network, mounts and cgroups: one at a time in each. images are archives
    (docker or OCI) that are on the node when the cluster is ready, besides those it needs itself; pods must not pull.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        images: Sequence[Path] = (),
        progress: Progress = no_progress,
    ) -> None:
        super().__init__(state_dir, progress=progress)
        self._images = images
        self._own_images: list[Path] = []

    def import_image(self, archive: Path) -> None:
        """Import an image archive (docker or OCI) into the node; raises ComponentError with what containerd says."""
        self._run(import_command([archive]), f"{archive} could not be imported")

    def tag_image(self, image: str, other: str) -> None:
        """Give an image of the node a second reference; raises ComponentError with what containerd says."""
        self._run(tag_command(image, other), f"{image} could not be given the reference {other}")

    def _run(self, command: list[str], trouble: str) -> None:
        self.check()
        ran = subprocess.run(
            command,
            env=os.environ | {"PATH": SEARCH_PATH},
            capture_output=True,
            text=True,
            timeout=IMPORT_SECONDS,
            check=False,
        )
        if ran.returncode:
            raise ComponentError(f"{trouble}: {ran.stderr.strip()}")

    def restart_kubelet(self) -> None:
        """Stop the kubelet and start it again, as an upgrade of the node does; return when the node is Ready again."""
        self.restart("kubelet")
        restarted = datetime.now(UTC).replace(microsecond=0)
        deadline = time.monotonic() + NODE_SECONDS
        while not self._is_ready_since(restarted):
            self.check()
            if time.monotonic() > deadline:
                raise ComponentError(f"{NODE_NAME} was not Ready within {NODE_SECONDS:.0f} s of the kubelet's restart")
            time.sleep(PAUSE_SECONDS)

    def restart(self, component: str) -> None:
        """Stop a component (`kube-proxy`, `containerd`, …) and start it again; returns when its process runs."""
        self.check()
        request = f"restart {component}"
        try:
            answer = _ask(request)
        except OSError as error:
            raise ComponentError(f"the cluster did not {request}: {error}") from error
        if answer != DONE:
            raise ComponentError(answer or f"the cluster ended at the request to {request}")

    def _is_ready_since(self, moment: datetime) -> bool:
        """Tell whether a heartbeat after the moment says Ready; its time has no fraction of a second."""
        node = json.loads(self.kubectl("get", "node", NODE_NAME, "-o", "json"))
        ready = [each for each in node["status"]["conditions"] if each["type"] == "Ready"]
        return any(
            each["status"] == "True" and datetime.fromisoformat(each["lastHeartbeatTime"]) > moment for each in ready
        )

    def _provide(self) -> None:
        if not sandbox.is_inside():
            raise SandboxError(
                "a real node changes network, mounts and cgroups, so it runs in a sandbox only: "
                "python -m s3sync_local.sandbox -- COMMAND"
            )
        ensure_programs(self._progress)
        self._own_images = list(build_images(self._progress, OWN_IMAGES).values())

    def _keep(self, layout: Layout, lock: int) -> KeeperProcess:
        flags = [f"--state-dir={layout.root}", f"--owner-pid={os.getpid()}"]
        flags += [f"--own-image={archive}" for archive in self._own_images]
        flags += [f"--image={archive}" for archive in self._images if archive not in self._own_images]
        return KeeperProcess("s3sync_local.realnode.keeper", flags, layout.logs / "keeper.log", lock)


def _ask(request: str) -> str:
    """Send a request to the keeper of this sandbox's cluster and return its answer, which ends with the connection."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(RESTART_SECONDS)
        connection.connect(str(KEEPER_SOCKET))
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()
