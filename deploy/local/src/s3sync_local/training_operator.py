"""What the real training-operator needs to run outside a cluster, with its validating webhook active."""

import base64
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from s3sync_local.components import LOOPBACK
from s3sync_local.pki import Authority, KeyPair

NAMESPACE = "kubeflow"
USER = f"system:serviceaccount:{NAMESPACE}:training-operator"
SECRET = "training-operator-webhook-cert"  # noqa: S105 - the name of a Secret (its flag --webhook-secret-name).
WEBHOOKS = "validator.training-operator.kubeflow.org"
CA_NAME = "training-operator-ca"
SERVER_NAME = f"training-operator.{NAMESPACE}.svc"
"""The names above are constants of training-operator 1.8.1, pkg/cert/cert.go, which checks them."""

CRD = "base/crds/kubeflow.org_tfjobs.yaml"
CLUSTER_ROLE = "base/rbac/role.yaml"
WEBHOOK_CONFIGURATION = "base/webhook/manifests.yaml"
STANDALONE = "overlays/standalone"
"""The names above are paths below the folder `manifests` of its module."""

EXPECTED_CERTIFICATE = Path("/tmp/k8s-webhook-server/serving-certs/tls.crt")  # noqa: S108 - its constant, not our choice.
"""cert-controller 0.10.1 (pkg/rotator, ensureCertsMounted) waits once for this file to exist and never reads it."""

MARKER = b"Placed by pachyderm-s3-sync while a training-operator starts; it can be removed.\n"
_MUTEX = "\0pachyderm-s3-sync/training-operator-start"


def certificates() -> tuple[KeyPair, KeyPair]:
    """Return an authority and a server certificate that the rotator finds valid, so that it renews nothing."""
    authority = Authority.create(CA_NAME, rsa_key=True)
    return authority.pair(), authority.server(SERVER_NAME, [SERVER_NAME, LOOPBACK])


def objects(authority: KeyPair, server: KeyPair, webhooks: str, port: int) -> list[dict[str, Any]]:
    """Return what stands in the cluster before the operator starts; webhooks is its own manifest, as YAML."""
    files = {
        "ca.crt": authority.certificate,
        "ca.key": authority.key,
        "tls.crt": server.certificate,
        "tls.key": server.key,
    }
    metadata = {"name": "training-operator"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "training-operator"}
    subject = {"kind": "ServiceAccount", "name": "training-operator", "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata | {"namespace": NAMESPACE}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [subject],
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": NAMESPACE},
            "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
        },
        webhook_configuration(yaml.safe_load(webhooks), authority.certificate, port),
    ]


def webhook_configuration(manifest: Mapping[str, Any], ca: bytes, port: int) -> dict[str, Any]:
    """Return the module's configuration with its TFJob webhook alone, called by URL instead of by Service."""
    kept = [hook for hook in manifest["webhooks"] if hook["rules"][0]["resources"] == ["tfjobs"]]
    if len(kept) != 1:
        raise ValueError(f"the training-operator's manifest has {len(kept)} webhooks for tfjobs, expected 1")
    path = kept[0]["clientConfig"]["service"]["path"]
    client = {"url": f"https://{LOOPBACK}:{port}{path}", "caBundle": base64.b64encode(ca).decode()}
    return {**manifest, "metadata": {"name": WEBHOOKS}, "webhooks": [kept[0] | {"clientConfig": client}]}


def try_mutex() -> socket.socket | None:
    """Return the machine-wide lock of those who start a training-operator, or None where another holds it.

    It is a socket in Linux's abstract namespace: it leaves no file, and the kernel frees it with its holder.
    """
    mutex = socket.socket(socket.AF_UNIX)
    try:
        mutex.bind(_MUTEX)
    except OSError:
        mutex.close()
        return None
    return mutex


@contextmanager
def expected_certificate(path: Path = EXPECTED_CERTIFICATE) -> Iterator[None]:
    """Let the file exist that the starting operator waits for, and remove what was made for it; hold the mutex.

    A file that others put there is used and left alone; one left by a killed run of ours is removed.
    """
    absent = [folder for folder in (path.parent, path.parent.parent) if not folder.exists()]
    theirs = path.exists() and path.read_bytes() != MARKER
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not theirs:
            path.write_bytes(MARKER)
        yield
    finally:
        if not theirs:
            _remove(path, absent)


def _remove(path: Path, folders: list[Path]) -> None:
    with suppress(OSError):  # Another user's leftover cannot be removed, and does no harm.
        path.unlink()
        for folder in folders or (path.parent, path.parent.parent):
            folder.rmdir()
