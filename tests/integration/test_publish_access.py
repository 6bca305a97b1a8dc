"""How the operator gets into a Pachyderm, and what it says at once where it does not."""

import datetime
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pachyderm_standin.process import StandinProcess
from s3sync_local.processes import free_ports
from s3sync_operator.access import NO_AUTH, Credentials, Target, Tls
from s3sync_operator.api import Reason
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from tests.support.certificates import Certificates

# urllib3 warns of each unverified request, as it should; where that is asked for, it is no failure.
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
TOKEN = Credentials("the-right-token", "the-right-token")
Addresses = tuple[str, str]
"""pachd's address and the S3 endpoint."""

Enter = Callable[[Addresses, Credentials, Tls], Awaitable[object]]


@pytest.fixture(params=["grpc", "s3"])
async def enter(request: pytest.FixtureRequest) -> AsyncIterator[Enter]:
    """Make a repo by either of the two ways in."""
    pachd, gateway = GrpcPachd(timeout=5), S3Gateway(timeout=5)

    async def over_grpc(addresses: Addresses, credentials: Credentials, tls: Tls) -> object:
        target = Target(addresses[0], "default", "repo", credentials, tls)
        return await pachd.ensure_branch(target, "master", "") is not None

    async def over_s3(addresses: Addresses, credentials: Credentials, tls: Tls) -> object:
        return await gateway.ensure_bucket(addresses[1], "master.repo", credentials, tls)

    yield over_grpc if request.param == "grpc" else over_s3
    pachd.close()
    gateway.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def encrypted(certificates: Certificates) -> Iterator[Addresses]:
    with StandinProcess(tokens=[TOKEN.access_key], tls=(certificates.certificate, certificates.key)) as process:
        yield process.pachd_address, process.endpoint


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Addresses, str]]:
    """A Pachyderm whose certificate has expired, and the CA that signed it: itself."""
    certificate, key, text = expired_certificate(tmp_path_factory.mktemp("expired"))
    with StandinProcess(tls=(certificate, key)) as process:
        yield (process.pachd_address, process.endpoint), text


def expired_certificate(folder: Path) -> tuple[Path, Path, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now - datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = folder / "expired.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = folder / "expired.key"
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, plain))
    return certificate, private, certificate.read_text()


async def refusal(entering: Awaitable[object]) -> SyncError:
    with pytest.raises(SyncError) as refused:
        await entering
    return refused.value


async def test_the_right_token_and_the_right_authority_open_it(
    enter: Enter, encrypted: Addresses, certificates: Certificates
) -> None:
    trusting = Tls(ca=certificates.authority.read_text())
    await enter(encrypted, TOKEN, trusting)
    assert await enter(encrypted, TOKEN, trusting) is False


async def test_any_certificate_will_do_where_none_is_to_be_checked(enter: Enter, encrypted: Addresses) -> None:
    await enter(encrypted, TOKEN, Tls(verify=False))
    assert await enter(encrypted, TOKEN, Tls(verify=False)) is False


async def test_a_client_certificate_is_shown_to_whoever_asks_or_not(
    enter: Enter, encrypted: Addresses, certificates: Certificates
) -> None:
    pair = (certificates.certificate.read_text(), certificates.key.read_text())
    for tls in (Tls(certificates.authority.read_text(), *pair), Tls(None, *pair, verify=False)):
        await enter(encrypted, TOKEN, tls)


@pytest.mark.parametrize("credentials", [Credentials("wrong", "wrong"), NO_AUTH], ids=["a wrong one", "none"])
async def test_a_wrong_token_is_access_denied_and_never_quoted(
    enter: Enter, encrypted: Addresses, credentials: Credentials
) -> None:
    error = await refusal(enter(encrypted, credentials, Tls(verify=False)))
    assert isinstance(error, PermanentSyncError)
    assert error.reason == Reason.ACCESS_DENIED
    assert "spec.secretRef" in error.message
    assert "wrong" not in error.message


async def test_an_unknown_authority_is_told_and_may_be_mended(
    enter: Enter, encrypted: Addresses, tmp_path: Path
) -> None:
    stranger = Tls(ca=Certificates(tmp_path).authority.read_text())
    error = await refusal(enter(encrypted, TOKEN, stranger))
    assert isinstance(error, TemporarySyncError)
    assert error.reason == Reason.CERTIFICATE_UNTRUSTED
    assert "spec.certSecretRef" in error.message


async def test_an_expired_certificate_is_told_as_such(enter: Enter, expired: tuple[Addresses, str]) -> None:
    error = await refusal(enter(expired[0], NO_AUTH, Tls(ca=expired[1])))
    assert (type(error), error.reason) == (TemporarySyncError, Reason.CERTIFICATE_EXPIRED)


async def test_nobody_there_is_told_at_once(enter: Enter) -> None:
    (port,) = free_ports(1)
    gone = (f"grpc://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
    error = await refusal(enter(gone, NO_AUTH, Tls()))
    assert isinstance(error, TemporarySyncError)
    assert error.reason in (Reason.PACHD_UNREACHABLE, Reason.ENDPOINT_UNREACHABLE)


async def test_a_project_that_is_missing_is_told(standin: StandinProcess) -> None:
    pachd = GrpcPachd(timeout=5)
    error = await refusal(pachd.ensure_branch(Target(standin.pachd_address, "no-such", "repo"), "master", ""))
    assert (type(error), error.reason) == (PermanentSyncError, Reason.BUCKET_REFUSED)
    assert "create the project" in error.message
    pachd.close()
