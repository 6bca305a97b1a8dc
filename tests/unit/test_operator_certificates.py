"""What is wrong with the certificates of a Secret is told by its key, without a value."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from s3sync_local.pki import Authority
from s3sync_operator.access import Tls
from s3sync_operator.pem_files import pem_problem


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pki")
    authority = Authority.create("tests")
    ca, _ = authority.pair().write(folder, "ca")
    certificate, key = authority.server("localhost", ["localhost"]).write(folder, "client")
    _, other = authority.server("other", ["other"]).write(folder, "other")
    found = {"ca": ca, "certificate": certificate, "key": key, "other": other}
    return {name: Path(path).read_text() for name, path in found.items()}


def damaged(text: str) -> str:
    """Return a PEM whose frame is whole and whose inside is not."""
    lines = text.splitlines()
    return "\n".join([lines[0], "bm90IGEgY2VydGlmaWNhdGU=", lines[-1]])


def test_sound_certificates_have_no_problem(pem: dict[str, str]) -> None:
    assert pem_problem(Tls(pem["ca"])) is None
    assert pem_problem(Tls(pem["ca"], pem["certificate"], pem["key"])) is None


def test_a_ca_that_is_a_certificate_by_its_frame_alone_is_named_by_its_key(pem: dict[str, str]) -> None:
    assert pem_problem(Tls(damaged(pem["ca"]))) == "'ca.crt' holds no certificate that can be read; renew it"


def test_a_pair_that_does_not_fit_or_cannot_be_read_is_named_by_its_keys(pem: dict[str, str]) -> None:
    for certificate, key in (
        (pem["certificate"], pem["other"]),
        (damaged(pem["certificate"]), pem["key"]),
        (pem["certificate"], damaged(pem["key"])),
    ):
        said = pem_problem(Tls(pem["ca"], certificate, key)) or ""
        assert said.startswith("'tls.crt' and 'tls.key' cannot be read, or do not fit together")
        assert "BEGIN" not in said


def test_a_key_that_wants_a_password_is_refused_and_nobody_is_asked_for_one(pem: dict[str, str]) -> None:
    key = serialization.load_pem_private_key(pem["key"].encode(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    ).decode()
    assert "wants a password" in (pem_problem(Tls(pem["ca"], pem["certificate"], locked)) or "")
