"""Pachyderm with its auth on, behind TLS with a CA of its own, as pods and the operator reach it."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from s3sync_local.images import STANDIN
from s3sync_local.pki import Authority
from tests.e2e.conftest import OwnSyncs, create_secret
from tests.e2e.target import GRPC_PORT, PACHD, S3_PORT, Target
from tests.e2e.test_seed import BOOKS, stored
from tests.support.s3 import s3_client
from tests.support.syncs import conditions

pytestmark = pytest.mark.xdist_group("access")
"""They share one Pachyderm, which is made once."""

NAMESPACE, TOKEN = "pachyderm-secure", "made-up-token-of-the-tests"
HOST = f"pachd.{NAMESPACE}"


@dataclass(frozen=True)
class Secure:
    """The other Pachyderm: its CA (PEM), and an S3 client of it."""

    ca: bytes
    s3: Any


@pytest.fixture(scope="module")
def secure(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """A second stand-in, with TLS and auth."""
    if not target.node:
        pytest.skip("a Pachyderm with a CA and tokens of our own is made in a cluster of our own only")
    namespace, deployment, service = yaml.safe_load_all(PACHD.read_text().replace("STANDIN_IMAGE", STANDIN))
    namespace["metadata"]["name"] = NAMESPACE
    for item in (deployment, service):
        item["metadata"]["namespace"] = NAMESPACE
    for item in (namespace, service):
        target.kubectl("create", "-f", "-", stdin=json.dumps(item))
    address = target.kubectl("get", "service", "pachd", "-n", NAMESPACE, "-o", "jsonpath={.spec.clusterIP}")
    authority = Authority.create("tests")
    pair = authority.server(HOST, [HOST, address])
    data = {"tls.crt": pair.certificate, "tls.key": pair.key, "tokens": f"{TOKEN}\n".encode()}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secure"}, "data": encoded}
    target.kubectl("create", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(secret))
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["args"] += [
        *("--tls-cert=/secure/tls.crt", "--tls-key=/secure/tls.key", "--auth-token-file=/secure/tokens")
    ]
    pod["containers"][0]["volumeMounts"].append({"name": "secure", "mountPath": "/secure"})
    pod["volumes"].append({"name": "secure", "secret": {"secretName": "secure"}})
    target.kubectl("create", "-f", "-", stdin=json.dumps(deployment))
    target.kubectl("rollout", "status", "deployment/pachd", "-n", NAMESPACE, "--timeout=90s", timeout=120)
    ca = tmp_path_factory.mktemp("ca") / "ca.crt"
    ca.write_bytes(authority.pair().certificate)
    client = s3_client(f"https://{address}:{S3_PORT}", TOKEN, verify=str(ca))
    yield Secure(ca.read_bytes(), client)
    client.close()
    target.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def locked(syncs: OwnSyncs, secure: Secure) -> OwnSyncs:
    """Syncs of a namespace that has the token and the CA in Secrets."""
    create_secret(syncs.target, syncs.namespace, "token", TOKEN)
    data = {"ca.crt": secure.ca.decode()}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca"}, "stringData": data}
    syncs.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    return syncs


ADDRESSES: dict[str, Any] = {"endpoint": f"https://{HOST}:{S3_PORT}", "pachdAddress": f"grpcs://{HOST}:{GRPC_PORT}"}


@pytest.mark.fields("spec.certSecretRef.name", "spec.secretRef.name", "spec.endpoint", "spec.verify")
def test_a_ca_and_a_token_from_secrets_open_a_locked_pachyderm(locked: OwnSyncs, secure: Secure) -> None:
    access: dict[str, Any] = {"secretRef": {"name": "token"}, "certSecretRef": {"name": "ca"}}
    by_s3 = locked.apply(**ADDRESSES, **access, verify="Checksum")
    by_grpc = locked.apply(**ADDRESSES, **access, client="pfs", runner="Job", workers=2)
    for name in (by_s3, by_grpc):
        status = locked.wait_ready(name)
        assert (status["counts"]["verified"], bool(status["commit"])) == (len(BOOKS), True)
        assert stored(secure.s3, f"master.{name}") == BOOKS
    told = locked.kubectl("get", "ps3,tfjobs,jobs,pods,events", "-o", "yaml")
    assert TOKEN not in told


@pytest.mark.fields("spec.insecureSkipVerify")
def test_without_the_ca_nobody_is_trusted_unless_the_sync_says_so(locked: OwnSyncs, secure: Secure) -> None:
    strict = locked.apply(**ADDRESSES, secretRef={"name": "token"})
    locked.wait_reason(strict, "CertificateUntrusted")
    trusting = locked.apply(**ADDRESSES, secretRef={"name": "token"}, insecureSkipVerify=True)
    locked.wait_ready(trusting)
    assert stored(secure.s3, f"master.{trusting}") == BOOKS


def test_a_token_that_pachyderm_does_not_know_is_refused_at_once(locked: OwnSyncs) -> None:
    create_secret(locked.target, locked.namespace, "stranger", "not-a-token")
    name = locked.apply(**ADDRESSES, secretRef={"name": "stranger"}, certSecretRef={"name": "ca"})
    assert conditions(locked.wait_stalled(name))["Stalled"]["reason"] == "AccessDenied"
