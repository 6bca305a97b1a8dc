"""The command lines of the cluster's components: pure, so that what runs can be read and tested in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

LOOPBACK = "127.0.0.1"
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"

CONTROLLERS = (
    # Deletion of owned objects and of namespaces' content, the default service account of each namespace with its
    # tokens and CA bundle, the built-in roles that collect others, and Jobs. What runs pods is the local node's part.
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "job-controller",
)


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one cluster."""

    COUNT: ClassVar[int] = 5

    api: int
    etcd: int
    etcd_peer: int
    webhook: int
    probe: int

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{LOOPBACK}:{self.api}"


@dataclass(frozen=True)
class Layout:
    """Where one cluster's files lie below its state directory."""

    root: Path

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One log a component, and the audit log."""
        return self.root / "logs"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: one JSON object (audit.k8s.io/v1 Event) a line."""
        return self.logs / "audit.log"

    @property
    def audit_policy(self) -> Path:
        """What the audit log holds."""
        return self.root / "audit-policy.yaml"

    @property
    def info(self) -> Path:
        """The facts about a running cluster, JSON, written once it is ready."""
        return self.root / "cluster.json"

    @property
    def lock(self) -> Path:
        """Locked by the keeper for as long as the cluster runs."""
        return self.root / "keeper.lock"

    @property
    def etcd_data(self) -> Path:
        """etcd's data."""
        return self.root / "etcd"

    @property
    def node_state(self) -> Path:
        """The local node's pods: their logs and temporary files."""
        return self.root / "node"

    @property
    def operator_tmp(self) -> Path:
        """TMPDIR of the training-operator, whose webhook server looks below it for its certificate."""
        return self.root / "training-operator"

    @property
    def webhook_certificates(self) -> Path:
        """The certificate that the training-operator's webhook serves with (a path of controller-runtime's)."""
        return self.operator_tmp / "k8s-webhook-server" / "serving-certs"

    @property
    def kubeconfigs(self) -> Path:
        """One kubeconfig for each user and component."""
        return self.root / "kubeconfigs"

    def kubeconfig(self, name: str) -> Path:
        """The kubeconfig of a user or component; KUBECONFIG is a list with colons, so its name has none."""
        return self.kubeconfigs / f"{quote(name, safe='').replace('%3A', '.')}.yaml"


def etcd_flags(layout: Layout, ports: Ports) -> list[str]:
    """Return etcd's flags; it takes only clients that the cluster's own authority has signed."""
    client, peer = f"https://{LOOPBACK}:{ports.etcd}", f"http://{LOOPBACK}:{ports.etcd_peer}"
    return [
        f"--data-dir={layout.etcd_data}",
        # The data lives as long as the cluster and no longer: nothing is gained by waiting for the disk.
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--cert-file={layout.pki / 'etcd.crt'}",
        f"--key-file={layout.pki / 'etcd.key'}",
        f"--trusted-ca-file={layout.pki / 'ca.crt'}",
        "--client-cert-auth",
        "--log-level=warn",
    ]


def apiserver_flags(layout: Layout, ports: Ports, node_address: str | None = None) -> list[str]:
    """Return kube-apiserver's flags: the defaults of a real cluster, with an audit log.

    It serves the loopback interface, or with a node's address everybody in the network namespace, pods too.
    """
    pki = layout.pki
    return [
        *_reach_flags(layout, node_address),
        f"--secure-port={ports.api}",
        f"--etcd-servers=https://{LOOPBACK}:{ports.etcd}",
        f"--etcd-cafile={pki / 'ca.crt'}",
        f"--etcd-certfile={pki / 'etcd.crt'}",
        f"--etcd-keyfile={pki / 'etcd.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={pki / 'service-account.key'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        # Logs are fetched from the local node by its address.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        "--profiling=false",
    ]


def _reach_flags(layout: Layout, node_address: str | None) -> list[str]:
    if node_address is not None:
        return [
            "--bind-address=0.0.0.0",
            f"--advertise-address={node_address}",
            f"--kubelet-certificate-authority={layout.pki / 'ca.crt'}",
            "--enable-admission-plugins=NodeRestriction",
        ]
    return [
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        # The endpoints of the `kubernetes` Service must not be a loopback address, and nobody here needs them.
        "--endpoint-reconciler-type=none",
    ]


def controller_manager_flags(layout: Layout, controllers: Sequence[str] = CONTROLLERS) -> list[str]:
    """Return kube-controller-manager's flags: the controllers that a cluster needs, and no port."""
    return [
        f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
        f"--controllers={','.join(controllers)}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={layout.pki / 'service-account.key'}",
        f"--root-ca-file={layout.pki / 'ca.crt'}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]


def training_operator_flags(layout: Layout, ports: Ports) -> list[str]:
    """Return training-operator's flags: TFJobs alone, several at once; its webhook's address cannot be chosen."""
    return [
        f"--kubeconfig={layout.kubeconfig('training-operator')}",
        "--enable-scheme=tfjob",
        "--controller-threads=8",
        "--metrics-bind-address=0",
        f"--health-probe-bind-address={LOOPBACK}:{ports.probe}",
        f"--webhook-server-port={ports.webhook}",
        "--zap-log-level=info",
    ]


def node_flags(layout: Layout, name: str, images: Path) -> list[str]:
    """Return the local node's flags after `python -m s3sync_local.node`."""
    return [
        f"--kubeconfig={layout.kubeconfig('local-node')}",
        f"--name={name}",
        f"--images={images}",
        f"--state-dir={layout.node_state}",
    ]


def kubectl_flags(layout: Layout) -> list[str]:
    """Return the flags of every kubectl call as administrator; its caches stay with the cluster, not in the home."""
    return [f"--kubeconfig={layout.kubeconfig('admin')}", f"--cache-dir={layout.root / 'kubectl-cache'}"]


def wait_flags(condition: str) -> list[str]:
    """Return the `kubectl wait` flags, one a call: for an object to exist, then for its condition where one is named.

    A JSONPath, because `--for=condition=…` fails on an object whose status is still empty.
    """
    status = f"--for=jsonpath={{.status.conditions[?(@.type=='{condition}')].status}}=True"
    return ["--for=create", *([status] if condition else [])]


def kubeconfig(server: str, ca: str, certificate: str, key: str, user: str) -> dict[str, object]:
    """Return a kubeconfig whose certificates (base64 of PEM) stand in it, so that one file is all a client needs."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority-data": ca}}],
        "users": [{"name": user, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": user}}],
    }


def audit_policy() -> dict[str, object]:
    """Return the audit policy: who did what to which object, once a request, when its answer is complete."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    }
