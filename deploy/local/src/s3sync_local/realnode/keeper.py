"""The process that owns a cluster with a real node; see s3sync_local.keeper, of which it is the second kind.

It also takes requests, each a connection to KEEPER_SOCKET: `restart COMPONENT`, answered by DONE or by what is wrong.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from s3sync_local import components, mounts, training_operator
from s3sync_local.components import Ports
from s3sync_local.errors import ComponentError
from s3sync_local.images import COREDNS, PAUSE, TRAINING_OPERATOR
from s3sync_local.keeper import WATCH_SECONDS, Keeper, Tell, become_keeper, prepare, tell
from s3sync_local.pki import write_private
from s3sync_local.processes import Component
from s3sync_local.realnode import configuration
from s3sync_local.realnode.configuration import (
    CONTAINERD_SOCKET,
    DONE,
    KEEPER_SOCKET,
    NODE_ADDRESS,
    NODE_NAME,
    PORTS,
    NodeLayout,
)
from s3sync_local.realnode.programs import SEARCH_PATH, NodeBinaries, ensure_programs

IMPORT_SECONDS = 240.0
READY_SECONDS = 120
SETUP_SECONDS = 30
ASK_SECONDS = 5.0
NETWORK_NAMESPACES = Path("/run/netns")
COREDNS_MANIFEST = Path(__file__).with_name("coredns.yaml")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class RealKeeper(Keeper):
    """Runs a cluster with a real node. own are the archives of the images that it needs itself, images all others'."""

    _binaries: NodeBinaries

    def __init__(
        self,
        layout: NodeLayout,
        owner: int | None,
        binaries: NodeBinaries,
        tell: Tell,
        *,
        own: Sequence[Path],
        images: Sequence[Path],
    ) -> None:
        super().__init__(layout, owner, binaries, tell)
        self._node, self._own, self._images = layout, own, images

    def _ports(self) -> Ports:
        return PORTS

    def _start(self, ports: Ports) -> None:
        authority = prepare(self._node, ports, configuration.IDENTITIES, api_names())
        authority.server(f"system:node:{NODE_NAME}", [NODE_ADDRESS, NODE_NAME]).write(self._node.pki, "kubelet")
        self._prepare_node()
        self._launch(
            "containerd", shutil.which("containerd", path=SEARCH_PATH), [f"--config={self._node.containerd_config}"]
        )
        self._launch_api(ports, NODE_ADDRESS)
        imports, rendering = self._begin_imports(), self._begin_rendering()
        self._wait_for_api(ports)
        self._launch_node()
        self._define_tfjobs_and_dns()
        self._launch_controllers(configuration.ALL_CONTROLLERS)
        self._install_training_operator(rendering)
        self._finish_imports(imports)
        self._wait_until_available()

    def _stay(self) -> None:
        with socket.socket(socket.AF_UNIX) as requests:
            KEEPER_SOCKET.unlink(missing_ok=True)
            requests.bind(str(KEEPER_SOCKET))
            requests.listen()
            self._become_ready(self._ports())
            while True:
                if self._supervisor.pause(WATCH_SECONDS, also=requests.fileno()):
                    self._answer(requests.accept()[0])
                self._supervisor.check()

    def _answer(self, connection: socket.socket) -> None:
        """Carry out a request; who asks and does not go on, or is gone, keeps nobody."""
        with connection, suppress(OSError):
            connection.settimeout(ASK_SECONDS)
            verb, _, name = connection.recv(1024).decode().partition(" ")
            if verb != "restart" or name not in self._supervisor.pids():
                connection.sendall(f"the keeper was asked to {verb} {name}, which it cannot".encode())
                return
            self._supervisor.restart(name)
            connection.sendall(DONE.encode())

    def _stop(self) -> None:
        super()._stop()
        # A pod's network ends with its namespace, which the killed pod's mount below /run still holds.
        mounts.detach_below(NETWORK_NAMESPACES)
        shutil.rmtree(NETWORK_NAMESPACES, ignore_errors=True)

    def _launch(self, name: str, program: Path | str | None, flags: Sequence[str]) -> None:
        self._supervisor.launch(name, [str(program), *flags])

    def _prepare_node(self) -> None:
        layout = self._node
        for folder in (layout.containerd_root, layout.cni, layout.kubelet_root, layout.overlay):
            folder.mkdir(exist_ok=True)
        layout.containerd_config.write_text(
            configuration.containerd_config(layout, configuration.full_reference(PAUSE))
        )
        (layout.cni / "pods.conflist").write_text(json.dumps(configuration.network_config(layout)))
        layout.kubelet_config.write_text(json.dumps(configuration.kubelet_config(layout)))
        layout.proxy_config.write_text(json.dumps(configuration.proxy_config(layout)))
        _call("ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", "lo")
        # The node's own processes (webhook calls, kubectl, tests) need a way to Services before their rules see them.
        _call("ip", "route", "replace", components.SERVICE_RANGE, "dev", "lo", "src", NODE_ADDRESS)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        cover_kernel_settings(layout.kernel_settings)

    def _launch_node(self) -> None:
        self._tell("progress", f"starting kubelet, kube-proxy and kube-scheduler ({NODE_NAME})")
        self._launch("kubelet", self._binaries.kubelet, configuration.kubelet_flags(self._node))
        self._launch("kube-proxy", self._binaries.kube_proxy, [f"--config={self._node.proxy_config}"])
        self._launch("kube-scheduler", self._binaries.kube_scheduler, configuration.scheduler_flags(self._node))

    def _begin_imports(self) -> list[Component]:
        self._supervisor.until(CONTAINERD_SOCKET.exists, "containerd did not open its socket")
        self._tell("progress", f"importing {len(self._own) + len(self._images)} images")
        lists = [archives for archives in (self._own, self._images) if archives]
        return [self._supervisor.begin("images", configuration.import_command(archives)) for archives in lists]

    def _finish_imports(self, imports: Sequence[Component]) -> None:
        for each in imports:
            self._supervisor.finish(each, "import", IMPORT_SECONDS)

    def _define_tfjobs_and_dns(self) -> None:
        self._tell("progress", "installing CoreDNS and the training-operator")
        definition = self._binaries.manifests / training_operator.CRD
        self._apply(coredns_objects(COREDNS_MANIFEST.read_text(), COREDNS), [definition])
        self._wait_for("crd/tfjobs.kubeflow.org", "Established")

    def _begin_rendering(self) -> Component:
        self._prepare_overlay()
        command = [str(self._binaries.kubectl), "kustomize", str(self._node.overlay)]
        return self._supervisor.begin("kubectl", [*command, f"--output={self._node.rendered}"])

    def _install_training_operator(self, rendering: Component) -> None:
        self._supervisor.finish(rendering, "kustomize")
        self._kubectl("apply", "--server-side", f"--filename={self._node.rendered}")
        self._node.rendered.unlink()

    def _prepare_overlay(self) -> None:
        """Write the kustomization beside a copy of the module's manifests, for it takes relative paths only."""
        overlay = self._node.overlay
        shutil.copytree(self._binaries.manifests, overlay / "manifests", dirs_exist_ok=True)
        authority, server = training_operator.certificates()
        authority.write(overlay, "ca")
        server.write(overlay, "tls")
        content = configuration.training_operator_overlay(
            f"manifests/{training_operator.STANDALONE}", TRAINING_OPERATOR
        )
        write_private(overlay / "kustomization.yaml", json.dumps(content).encode())
        write_private(self._node.rendered, b"")

    def _wait_until_available(self) -> None:
        self._wait_for(f"node/{NODE_NAME}", "Ready")
        for namespace, name in (("kube-system", "coredns"), (training_operator.NAMESPACE, "training-operator")):
            self._tell("progress", f"waiting for {name}")
            self._await_deployment(namespace, name)
        self._wait_for("serviceaccount/default")

    def _await_deployment(self, namespace: str, name: str) -> None:
        flags = ("--namespace", namespace, f"--timeout={READY_SECONDS}s")
        try:
            for wanted in components.wait_flags("Available"):
                self._kubectl("wait", wanted, f"deployment/{name}", *flags, seconds=READY_SECONDS + SETUP_SECONDS)
        except ComponentError as error:
            raise ComponentError(f"{error}\n{self._explain(namespace)}") from error

    def _explain(self, namespace: str) -> str:
        """Return what the namespace's pods and events say, for nobody can ask when the cluster has ended."""
        words = []
        for what in ("pods", "events"):
            command = [str(self._binaries.kubectl), *components.kubectl_flags(self._node)]
            command += ["get", what, "--namespace", namespace, "-o", "wide"]
            words.append(subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout)
        return "\n".join(words)


def api_names() -> list[str]:
    """Return what pods call the API server."""
    return [NODE_ADDRESS, "kubernetes.default", f"kubernetes.default.svc.{configuration.CLUSTER_DOMAIN}"]


def coredns_objects(manifest: str, image: str) -> list[dict[str, Any]]:
    """Return CoreDNS's objects with the image that was imported."""
    objects: list[dict[str, Any]] = list(yaml.safe_load_all(manifest))
    for each in objects:
        if each["kind"] == "Deployment":
            each["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return objects


def cover_kernel_settings(folder: Path) -> None:
    """Show the kubelet the kernel settings that it wants, by files over the kernel's, in this mount namespace only."""
    for name, value in configuration.KERNEL_SETTINGS.items():
        target = Path("/proc/sys") / name
        if not target.exists() or target.read_text().strip() == value:
            continue
        file = folder / name.replace("/", ".")
        file.parent.mkdir(exist_ok=True)
        file.write_text(value)
        _call("mount", "--bind", str(file), str(target))


def _call(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SETUP_SECONDS, check=False)
    if ran.returncode:
        raise ComponentError(f"`{' '.join(command)}` failed: {ran.stderr.strip()}")


def main() -> None:
    """Run the cluster that the command line asks for."""
    parser = argparse.ArgumentParser(prog="s3sync_local.realnode.keeper", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--owner-pid", type=int)
    parser.add_argument("--own-image", type=Path, action="append", default=[])
    parser.add_argument("--image", type=Path, action="append", default=[])
    found = parser.parse_args()
    layout = NodeLayout(found.state_dir)
    become_keeper(layout)
    os.environ["PATH"] = SEARCH_PATH
    for name in PROXY_VARIABLES:
        # A proxy leads out of the cluster, and there is nothing outside.
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    binaries = ensure_programs(lambda text: tell("progress", text))
    keeper = RealKeeper(layout, found.owner_pid, binaries, tell, own=found.own_image, images=found.image)
    sys.exit(keeper.run())


if __name__ == "__main__":
    main()
