"""Who may do what in the local cluster: the users' certificates and kubeconfigs, and the node's role."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from s3sync_local import training_operator
from s3sync_local.components import Layout, kubeconfig
from s3sync_local.pki import Authority, KeyPair, write_private

ADMIN = "admin"
NODE_USER = "local-node"

Identity = tuple[str, str, tuple[str, ...]]
"""File name of the kubeconfig, user, groups."""

IDENTITIES: tuple[Identity, ...] = (
    (ADMIN, "kubernetes-admin", ("system:masters",)),
    ("kube-controller-manager", "system:kube-controller-manager", ()),
    ("training-operator", training_operator.USER, ("system:serviceaccounts", "system:authenticated")),
    (NODE_USER, NODE_USER, ()),
)


def write_kubeconfig(layout: Layout, server: str, name: str, user: str, groups: Sequence[str]) -> Path:
    """Sign a client certificate for the user in the groups, write its kubeconfig as `<name>.yaml`, return the path."""
    pair = KeyPair((layout.pki / "ca.crt").read_bytes(), (layout.pki / "ca.key").read_bytes())
    signed = Authority.load(pair).user(user, groups)
    content = kubeconfig(server, _text(pair.certificate), _text(signed.certificate), _text(signed.key), user)
    path = layout.kubeconfig(name)
    # JSON is YAML, and a reader of either takes it.
    write_private(path, json.dumps(content, indent=1).encode())
    return path


def node_access() -> list[dict[str, object]]:
    """Return the role of the local node, which is a kubelet and, for pods without a node, the scheduler too."""
    rules = [
        _rule("", ["nodes"], ["get", "create", "patch", "delete"]),
        _rule("", ["nodes/status", "pods/status"], ["patch"]),
        _rule("", ["pods"], ["get", "list", "watch", "delete"]),
        _rule("", ["pods/binding"], ["create"]),
        _rule("", ["secrets", "configmaps"], ["get"]),
        _rule("", ["events"], ["create", "patch"]),
        _rule("coordination.k8s.io", ["leases"], ["get", "create", "patch", "delete"]),
    ]
    group = "rbac.authorization.k8s.io"
    meta = {"apiVersion": f"{group}/v1", "metadata": {"name": NODE_USER}}
    subject = {"apiGroup": group, "kind": "User", "name": NODE_USER}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": NODE_USER}
    return [
        {**meta, "kind": "ClusterRole", "rules": rules},
        {**meta, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]},
    ]


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, object]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _text(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
