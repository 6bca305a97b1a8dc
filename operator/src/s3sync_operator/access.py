"""Pure: how a sync's Pachyderm is reached and who asks, from its spec, the settings and the decoded Secrets."""

import hashlib
import re
from dataclasses import dataclass

from s3sync_operator.api import Spec
from s3sync_operator.settings import Settings

ACCESS_KEY, SECRET_KEY, TOKEN_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "token"
CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY = "ca.crt", "tls.crt", "tls.key"
NO_AUTH_KEY = "pachyderm"
"""Without auth, Pachyderm's gateway takes any signed request whose access key equals its secret key."""


@dataclass(frozen=True)
class Credentials:
    """The key pair that signs requests to the gateway, and whose access key is pachd's token; never shown."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "Credentials(…)"


NO_AUTH = Credentials(NO_AUTH_KEY, NO_AUTH_KEY)


@dataclass(frozen=True, repr=False)
class Tls:
    """Whom to trust: `ca` (PEM; None: the system's), and a client certificate with its key (PEM); never shown."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True

    def __repr__(self) -> str:
        return "Tls(…)"


SYSTEM_TLS = Tls()


@dataclass(frozen=True)
class Target:
    """A repo of a Pachyderm: `address` is pachd's as in spec.pachdAddress."""

    address: str
    project: str
    repo: str
    credentials: Credentials = NO_AUTH
    tls: Tls = SYSTEM_TLS

    @property
    def host_port(self) -> str:
        """Where pachd listens, as `host:port`."""
        return self.address.rpartition("://")[2]

    @property
    def encrypted(self) -> bool:
        """Whether pachd speaks TLS there."""
        return self.address.startswith("grpcs://")

    @property
    def shown(self) -> str:
        """The repo, for messages."""
        return f"{self.project}/{self.repo}"


def endpoint_url(spec: Spec, settings: Settings) -> str:
    """Return the S3 gateway's URL; a bare host:port means http, as in the manifests of Pachyderm's examples."""
    endpoint = (spec.endpoint or settings.default_endpoint).rstrip("/")
    return endpoint if "://" in endpoint else f"http://{endpoint}"


def pachd_address(spec: Spec, settings: Settings) -> str | None:
    """Return pachd's gRPC address, of the spec or the operator's; None where there is none."""
    return spec.pachd_address or settings.default_pachd_address or None


def credential_problem(secret: dict[str, str]) -> str | None:
    """Return which key of a Secret's data cannot be sent as it is, without its value; None where all can.

    The job gets the values by reference, so a line break at the end, as `echo` leaves it, cannot be cut off here.
    """
    for key in (TOKEN_KEY, ACCESS_KEY, SECRET_KEY):
        if not re.fullmatch(r"[!-~]*", secret.get(key, "")):
            return f"'{key}' has white space, a line break or other than ASCII in it; store it without, by printf %s"
    return None


def credentials_of(secret: dict[str, str]) -> Credentials | None:
    """Return the key pair of a Secret's decoded data, or None where it has neither a token nor both keys."""
    if secret.get(TOKEN_KEY):
        return Credentials(secret[TOKEN_KEY], secret[TOKEN_KEY])
    if secret.get(ACCESS_KEY) and secret.get(SECRET_KEY):
        return Credentials(secret[ACCESS_KEY], secret[SECRET_KEY])
    return None


def certificate_problem(secret: dict[str, str]) -> str | None:
    """Return what is wrong with a certificate Secret's data, without its values; None where nothing is."""
    for key, kind in ((CA_KEY, "CERTIFICATE"), (CERTIFICATE_KEY, "CERTIFICATE"), (PRIVATE_KEY, "PRIVATE KEY")):
        value = secret.get(key, "")
        if value and not re.search(rf"-----BEGIN [A-Z ]*{kind}-----", value):
            return f"'{key}' is not a {kind.lower()} in PEM"
    if not secret.get(CA_KEY):
        return f"'{CA_KEY}' is missing; add the CA's certificate in PEM"
    if bool(secret.get(CERTIFICATE_KEY)) != bool(secret.get(PRIVATE_KEY)):
        return f"it has one of '{CERTIFICATE_KEY}' and '{PRIVATE_KEY}'; add the other or remove both"
    return None


def tls_of(spec: Spec, secret: dict[str, str]) -> Tls:
    """Return whom to trust, from the spec and its certificate Secret's decoded data (empty without one)."""
    found = {key: secret.get(key) or None for key in (CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY)}
    return Tls(found[CA_KEY], found[CERTIFICATE_KEY], found[PRIVATE_KEY], verify=not spec.insecure_skip_verify)


def short_hash(text: str) -> str:
    """Return eight hex digits that stand for a text in a name."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
