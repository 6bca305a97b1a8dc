"""The configuration of the node's components: pure, so that what runs can be read and tested in one place."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3sync_local import access
from s3sync_local.components import LOOPBACK, Layout, Ports

NODE_NAME = "node-1"
NODE_ADDRESS = "192.0.2.1"
"""An address for documentation (RFC 5737), which no network of the machine's has; pods reach the API server there."""

POD_RANGE = "10.244.0.0/24"
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
PORTS = Ports(api=6443, etcd=2379, etcd_peer=2380, webhook=9443, probe=8081)
"""The usual ports: the network namespace is the cluster's own."""

CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
"""Where `ctr` looks for it; the sandbox has a /run of its own."""

KEEPER_SOCKET = Path("/run/s3sync-keeper.sock")
"""Where the cluster's keeper, of which there is one in each sandbox, takes requests, one a connection."""
DONE = "done"
"""Its answer to a request that it carried out."""

ALL_CONTROLLERS = ("*",)

IDENTITIES: tuple[access.Identity, ...] = (
    (access.ADMIN, "kubernetes-admin", ("system:masters",)),
    ("kube-controller-manager", "system:kube-controller-manager", ()),
    ("kube-scheduler", "system:kube-scheduler", ()),
    ("kube-proxy", "system:kube-proxy", ()),
    ("kubelet", f"system:node:{NODE_NAME}", ("system:nodes",)),
)

KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet writes below /proc/sys (pkg/util/sysctl), which is the whole machine's and no namespace's."""


@dataclass(frozen=True)
class NodeLayout(Layout):
    """Where the files of a cluster with a real node lie."""

    @property
    def containerd_root(self) -> Path:
        """Images and snapshots."""
        return self.root / "containerd"

    @property
    def containerd_config(self) -> Path:
        """containerd's configuration."""
        return self.root / "containerd.toml"

    @property
    def cni(self) -> Path:
        """The pods' network: its configuration, and which addresses are taken."""
        return self.root / "cni"

    @property
    def kubelet_root(self) -> Path:
        """The kubelet's pods and volumes."""
        return self.root / "kubelet"

    @property
    def kubelet_config(self) -> Path:
        """The kubelet's configuration."""
        return self.root / "kubelet.yaml"

    @property
    def proxy_config(self) -> Path:
        """kube-proxy's configuration."""
        return self.root / "kube-proxy.yaml"

    @property
    def kernel_settings(self) -> Path:
        """Files that lie over the kernel's, so that the kubelet finds what it wants and changes nothing."""
        return self.root / "sys"

    @property
    def overlay(self) -> Path:
        """The kustomization that installs the training-operator."""
        return self.root / "overlay"

    @property
    def rendered(self) -> Path:
        """What that kustomization renders to, for a moment: it holds a private key."""
        return self.root / "overlay.yaml"


def containerd_config(layout: NodeLayout, pause: str) -> str:
    """Return containerd's configuration (TOML, version 2, containerd 1.6): CRI by runc, nothing of the host's."""
    return f"""\
version = 2
root = "{layout.containerd_root}"
state = "{CONTAINERD_SOCKET.parent}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.containerd_root}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE runc cannot lower a score, and dies.
  restrict_oom_score_adj = true
  # The sandbox does not see the machine's AppArmor.
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{layout.cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def network_config(layout: NodeLayout) -> dict[str, Any]:
    """Return the CNI configuration: a link to the node for each pod, addresses from the node's own list.

    Not a bridge: on one, the answer of a Service's pod goes to its client directly, past the translation of its
    address, unless the machine has br_netfilter.
    """
    ipam = {
        "type": "host-local",
        "dataDir": str(layout.cni / "addresses"),
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}]}


def kubelet_config(layout: NodeLayout) -> dict[str, Any]:
    """Return the KubeletConfiguration: a kubelet's defaults but for what the sandbox asks and what saves time."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",  # noqa: S104 - of a network namespace that nobody else is in.
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        # The machine's resolver cannot be reached from here.
        "resolvConf": "",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # Imported images come from no registry: one that is collected is gone.
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": str(layout.kubelet_root / "logs"),
        "volumePluginDir": str(layout.kubelet_root / "volume-plugins"),
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "10s",
        "eventRecordQPS": 0,
        "shutdownGracePeriod": "0s",
    }


def kubelet_flags(layout: NodeLayout) -> list[str]:
    """Return kubelet's flags: what its configuration cannot say."""
    return [
        f"--config={layout.kubelet_config}",
        f"--kubeconfig={layout.kubeconfig('kubelet')}",
        f"--root-dir={layout.kubelet_root}",
        f"--cert-dir={layout.kubelet_root / 'pki'}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_ADDRESS}",
    ]


def proxy_config(layout: NodeLayout) -> dict[str, Any]:
    """Return the KubeProxyConfiguration: Services by nftables, at once, with the conntrack settings that there are."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(layout.kubeconfig("kube-proxy"))},
        "mode": "nftables",
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": POD_RANGE,
        "bindAddress": NODE_ADDRESS,
        "healthzBindAddress": f"{LOOPBACK}:10256",
        "metricsBindAddress": f"{LOOPBACK}:10249",
        "nodePortAddresses": [f"{NODE_ADDRESS}/32"],
        "nftables": {"minSyncPeriod": "50ms"},
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def scheduler_flags(layout: NodeLayout) -> list[str]:
    """Return kube-scheduler's flags."""
    return [
        f"--kubeconfig={layout.kubeconfig('kube-scheduler')}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]


def import_command(archives: Sequence[Path]) -> list[str]:
    """Return the command that imports image archives, one after the other, where the kubelet looks for images."""
    script = 'for archive; do ctr --namespace k8s.io images import "$archive" || exit 1; done'
    return ["sh", "-c", script, "sh", *map(str, archives)]


def tag_command(image: str, other: str) -> list[str]:
    """Return the command that gives an image of the node a second reference."""
    return ["ctr", "--namespace", "k8s.io", "images", "tag", "--force", full_reference(image), full_reference(other)]


def full_reference(image: str) -> str:
    """Return an image's reference with the registry that containerd adds, as `docker.io/coredns/coredns:1.14.7`."""
    first = image.partition("/")[0]
    return image if "." in first or ":" in first else f"docker.io/{image}"


def training_operator_overlay(standalone: str, image: str) -> dict[str, Any]:
    """Return a kustomization of the training-operator's own overlay, with our image and a certificate for its webhook.

    With a valid certificate (`ca.crt`, `ca.key`, `tls.crt`, `tls.key` beside the kustomization) it has none to make,
    and no need to restart; its probes begin at once.
    """
    name, _, tag = image.rpartition(":")
    probe = "/spec/template/spec/containers/0/readinessProbe"
    patch = [
        {"op": "replace", "path": f"{probe}/initialDelaySeconds", "value": 0},
        {"op": "replace", "path": f"{probe}/periodSeconds", "value": 1},
    ]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "kubeflow",
        "resources": [standalone],
        "images": [{"name": "kubeflow/training-operator", "newName": name, "newTag": tag}],
        "secretGenerator": [
            {
                "name": "training-operator-webhook-cert",
                "behavior": "replace",
                "files": ["ca.crt", "ca.key", "tls.crt", "tls.key"],
                "options": {"disableNameSuffixHash": True},
            }
        ],
        "patches": [{"target": {"kind": "Deployment", "name": "training-operator"}, "patch": _json(patch)}],
    }


def _json(value: object) -> str:
    return json.dumps(value)
