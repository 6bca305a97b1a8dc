"""The cluster's own certificate authority: one a cluster, so that nothing of two clusters can ever talk by mistake."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

VALIDITY = timedelta(days=365)
# Clocks of virtual machines step back now and then; an hour of slack keeps new certificates valid.
SLACK = timedelta(hours=1)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, each as PEM."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write `<name>.crt` and `<name>.key` (for the owner's eyes only) and return both paths."""
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(self.certificate)
        write_private(key, self.key)
        return certificate, key


class Authority:
    """Signs certificates for servers and for users of the API server (user = common name, groups = organizations)."""

    def __init__(self, key: PrivateKey, certificate: x509.Certificate) -> None:
        self._key, self._certificate = key, certificate

    @classmethod
    def create(cls, name: str, *, rsa_key: bool = False) -> "Authority":
        """Make a self-signed authority; RSA where a reader insists on PKCS#1, as cert-controller does."""
        key: PrivateKey = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        builder = builder.add_extension(_key_usage(signs=True), critical=True)
        # The rotator of training-operator checks its authority's certificate for this DNS name.
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def load(cls, pair: KeyPair) -> "Authority":
        """Return the authority that pair() gave."""
        key = serialization.load_pem_private_key(pair.key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise TypeError(f"the authority's key is {type(key).__name__}, expected elliptic curve or RSA")
        return cls(key, x509.load_pem_x509_certificate(pair.certificate))

    def pair(self) -> KeyPair:
        """Return the authority's own certificate and key."""
        return _pair(self._certificate, self._key)

    def server(self, name: str, addresses: Sequence[str]) -> KeyPair:
        """Return a certificate that serves, and identifies to peers, under the DNS names and IP addresses given."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), usages, addresses)

    def user(self, name: str, groups: Sequence[str] = ()) -> KeyPair:
        """Return a client certificate that the API server takes for the user in the groups."""
        organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._sign(subject, [ExtendedKeyUsageOID.CLIENT_AUTH], ())

    def _sign(self, subject: x509.Name, usages: list[x509.ObjectIdentifier], addresses: Sequence[str]) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self._certificate.subject, key)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        builder = builder.add_extension(_key_usage(signs=False), critical=True)
        if addresses:
            names = x509.SubjectAlternativeName([_general_name(address) for address in addresses])
            builder = builder.add_extension(names, critical=False)
        return _pair(builder.sign(self._key, hashes.SHA256()), key)


def service_account_key() -> bytes:
    """Return a new private key (PEM) that signs the tokens of service accounts."""
    return _key_pem(rsa.generate_private_key(65537, 2048))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may ever have read."""
    path.touch(mode=0o600)
    path.write_bytes(content)


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - SLACK).not_valid_after(now + VALIDITY)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _key_pem(key: PrivateKey) -> bytes:
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, plain)


def _pair(certificate: x509.Certificate, key: PrivateKey) -> KeyPair:
    return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))
