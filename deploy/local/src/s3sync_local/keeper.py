"""The process that owns a local cluster: it starts the components, watches them and its owner, and stops them in order.

A process of its own, because whatever happens to the owner (an exception, Ctrl-C, SIGTERM, SIGKILL) must end the
cluster in the right order. It is single-threaded, so that the kernel's parent-death signal covers its own end too.
It writes one JSON object a line to its standard output: `progress`, `ready`, or `failed` with the error's text.
"""

import argparse
import http.client
import json
import logging
import os
import shutil
import signal
import ssl
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from s3sync_local import access, components, statedir, training_operator
from s3sync_local.binaries import Binaries, ensure_binaries
from s3sync_local.components import LOOPBACK, Layout, Ports
from s3sync_local.errors import ComponentError, LocalClusterError
from s3sync_local.pki import Authority, service_account_key, write_private
from s3sync_local.processes import become_subreaper, free_ports
from s3sync_local.supervisor import STEP_SECONDS, StopRequested, Supervisor

log = logging.getLogger(__name__)

MUTEX_SECONDS = 120.0
WATCH_SECONDS = 1.0
WAIT_SECONDS = 45
START_ATTEMPTS = 3
PORT_TAKEN = "address already in use"

Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Plan:
    """What the keeper is asked to run; owner is the pid whose end ends the cluster, None where none does."""

    layout: Layout
    owner: int | None = None
    training_operator: bool = True
    node: str | None = None
    images: Path = Path(os.devnull)


class Keeper(ABC):
    """Runs one cluster from its start to its end; `run` returns the exit code. Subclasses say what a start is."""

    def __init__(self, layout: Layout, owner: int | None, binaries: Binaries, tell: Tell) -> None:
        self._layout, self._binaries, self._tell = layout, binaries, tell
        self._supervisor = Supervisor(layout.logs, owner)

    @abstractmethod
    def _start(self, ports: Ports) -> None:
        """Start all components and return when all are ready; raises ComponentError."""

    def run(self) -> int:
        """Start all, stay until told to stop, stop all in order, and remove the state directory."""
        failed = True
        try:
            self._start_with_other_ports_if_taken()
            self._stay()
        except StopRequested:
            failed = False
        except LocalClusterError as error:
            log.exception("the cluster ends")
            self._tell("failed", str(error))
        finally:
            _ignore_signals()
            self._stop()
            statedir.remove(self._layout.root, keep_logs=failed)
        return int(failed)

    def _stay(self) -> None:
        while True:
            self._supervisor.pause(WATCH_SECONDS)
            self._supervisor.check()

    def _start_with_other_ports_if_taken(self) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._start(self._ports())
            except ComponentError as error:
                if attempt == START_ATTEMPTS or PORT_TAKEN not in str(error):
                    raise
                self._tell("progress", "another program took a port meanwhile; starting again with other ports")
                self._stop()
            else:
                return

    def _ports(self) -> Ports:
        return Ports(*free_ports(Ports.COUNT))

    def _stop(self) -> None:
        self._supervisor.stop()

    def _launch_api(self, ports: Ports, node_address: str | None = None) -> None:
        self._tell("progress", "starting etcd and kube-apiserver")
        self._supervisor.launch("etcd", [str(self._binaries.etcd), *components.etcd_flags(self._layout, ports)])
        flags = components.apiserver_flags(self._layout, ports, node_address)
        self._supervisor.launch("kube-apiserver", [str(self._binaries.kube_apiserver), *flags])

    def _wait_for_api(self, ports: Ports) -> None:
        context = ssl.create_default_context(cafile=str(self._layout.pki / "ca.crt"))
        self._supervisor.until(
            lambda: is_ready(http.client.HTTPSConnection(LOOPBACK, ports.api, timeout=5, context=context)),
            "kube-apiserver did not become ready",
        )

    def _launch_controllers(self, controllers: Sequence[str] = components.CONTROLLERS) -> None:
        """Start the controllers after TFJobs are defined: the garbage collector looks for new kinds only every 30 s."""
        flags = components.controller_manager_flags(self._layout, controllers)
        self._supervisor.launch("kube-controller-manager", [str(self._binaries.kube_controller_manager), *flags])

    def _wait_for(self, target: str, condition: str = "") -> None:
        for wanted in components.wait_flags(condition):
            self._kubectl("wait", wanted, target, f"--timeout={WAIT_SECONDS}s")

    def _apply(self, objects: Sequence[object], files: Sequence[Path] = ()) -> None:
        manifest = self._layout.root / "apply.json"
        write_private(manifest, json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode())
        self._kubectl("apply", "--server-side", *[f"--filename={path}" for path in (manifest, *files)])
        manifest.unlink()

    def _kubectl(self, *arguments: str, seconds: float = STEP_SECONDS) -> None:
        command = [str(self._binaries.kubectl), *components.kubectl_flags(self._layout), *arguments]
        self._supervisor.run("kubectl", command, " ".join(arguments[:3]), seconds)

    def _become_ready(self, ports: Ports) -> None:
        info = {
            "server": ports.server,
            "kubeconfig": str(self._layout.kubeconfig(access.ADMIN)),
            "components": self._supervisor.pids(),
        }
        part = self._layout.info.with_suffix(".part")
        part.write_text(json.dumps(info))
        part.rename(self._layout.info)
        self._tell("ready", ports.server)


class LocalKeeper(Keeper):
    """Runs a cluster whose pods are processes."""

    def __init__(self, plan: Plan, binaries: Binaries, tell: Tell) -> None:
        super().__init__(plan.layout, plan.owner, binaries, tell)
        self._plan = plan

    def _start(self, ports: Ports) -> None:
        prepare(self._layout, ports)
        self._launch_api(ports)
        self._wait_for_api(ports)
        if self._plan.node:
            self._launch_node(self._plan.node)
        if self._plan.training_operator:
            self._prepare_training_operator(ports)
        self._launch_controllers()
        if self._plan.training_operator:
            self._start_training_operator(ports)
        if self._plan.node:
            self._wait_for(f"node/{self._plan.node}", "Ready")
        self._wait_for("serviceaccount/default")
        self._become_ready(ports)

    def _start_training_operator(self, ports: Ports) -> None:
        waiting = "training-operator could not start while another local cluster starts its own"
        command = [str(self._binaries.training_operator), *components.training_operator_flags(self._layout, ports)]
        env = {"TMPDIR": str(self._layout.operator_tmp), "MY_POD_NAMESPACE": training_operator.NAMESPACE}
        mutex = self._supervisor.until(training_operator.try_mutex, waiting, MUTEX_SECONDS)
        with mutex, training_operator.expected_certificate():
            self._supervisor.launch("training-operator", command, os.environ | env)
            self._supervisor.until(
                lambda: is_ready(http.client.HTTPConnection(LOOPBACK, ports.probe, timeout=5)),
                "training-operator did not become ready",
            )

    def _prepare_training_operator(self, ports: Ports) -> None:
        self._tell("progress", "starting training-operator")
        authority, server = training_operator.certificates()
        self._layout.webhook_certificates.mkdir(parents=True, exist_ok=True)
        server.write(self._layout.webhook_certificates, "tls")
        manifests = self._binaries.manifests
        webhooks = (manifests / training_operator.WEBHOOK_CONFIGURATION).read_text()
        objects = training_operator.objects(authority, server, webhooks, ports.webhook)
        self._apply(objects, [manifests / training_operator.CRD, manifests / training_operator.CLUSTER_ROLE])
        self._wait_for("crd/tfjobs.kubeflow.org", "Established")

    def _launch_node(self, name: str) -> None:
        self._tell("progress", f"starting the local node {name}")
        self._apply(access.node_access())
        flags = components.node_flags(self._layout, name, self._plan.images)
        self._supervisor.launch("local-node", [sys.executable, "-P", "-m", "s3sync_local.node", *flags])


def prepare(
    layout: Layout,
    ports: Ports,
    identities: Sequence[access.Identity] = access.IDENTITIES,
    addresses: Sequence[str] = (),
) -> Authority:
    """Write certificates, kubeconfigs and the audit policy below the state directory; return who signs for it.

    addresses are names and addresses of the API server besides those that it has in every cluster.
    """
    shutil.rmtree(layout.etcd_data, ignore_errors=True)  # From an attempt whose ports were taken.
    for folder in (layout.pki, layout.logs, layout.kubeconfigs):
        folder.mkdir(exist_ok=True)
    authority = Authority.create("pachyderm-s3-sync-local")
    authority.pair().write(layout.pki, "ca")
    authority.server("etcd", [LOOPBACK]).write(layout.pki, "etcd")
    names = [LOOPBACK, components.SERVICE_IP, "localhost", "kubernetes", "kubernetes.default.svc"]
    authority.server("kube-apiserver", [*names, *addresses]).write(layout.pki, "apiserver")
    authority.user("kube-apiserver-kubelet-client", ["system:masters"]).write(layout.pki, "kubelet-client")
    write_private(layout.pki / "service-account.key", service_account_key())
    layout.audit_policy.write_text(json.dumps(components.audit_policy()))
    for name, user, groups in identities:
        access.write_kubeconfig(layout, ports.server, name, user, groups)
    return authority


def is_ready(connection: http.client.HTTPConnection) -> bool:
    """Tell whether /readyz answers 200; a wrong certificate means that another server has the port, so it is not."""
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tell(event: str, text: str) -> None:
    """Write one line for the owner; it may be gone."""
    with suppress(BrokenPipeError, ValueError):
        sys.stdout.write(json.dumps({"event": event, "text": text}) + "\n")
        sys.stdout.flush()


def parse_plan(arguments: Sequence[str]) -> Plan:
    """Return the plan that the command line (see LocalCluster) asks for."""
    parser = argparse.ArgumentParser(prog="s3sync_local.keeper", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--owner-pid", type=int)
    parser.add_argument("--training-operator", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--node")
    parser.add_argument("--images", type=Path, default=Path(os.devnull))
    found = parser.parse_args(arguments)
    return Plan(Layout(found.state_dir), found.owner_pid, found.training_operator, found.node, found.images)


def main() -> None:
    """Run the cluster that the command line asks for."""
    plan = parse_plan(sys.argv[1:])
    become_keeper(plan.layout)
    sys.exit(LocalKeeper(plan, ensure_binaries(lambda text: tell("progress", text)), tell).run())


def become_keeper(layout: Layout) -> None:
    """Make this process one that keeps a cluster: it heeds signals, adopts orphans, and its pid stands in the lock."""
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, _request_stop)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    become_subreaper()
    layout.lock.write_text(str(os.getpid()))


def _request_stop(_signum: int, _frame: FrameType | None) -> None:
    raise StopRequested


def _ignore_signals() -> None:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)


if __name__ == "__main__":
    main()
