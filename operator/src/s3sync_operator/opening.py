"""What opens a sync's Pachyderm: the credentials and certificates of the Secrets that its spec names, read anew each
time, so that rotated ones are picked up."""

from dataclasses import dataclass
from typing import Protocol

from s3sync_operator.access import (
    NO_AUTH,
    PRIVATE_KEY,
    Credentials,
    Target,
    Tls,
    certificate_problem,
    credential_problem,
    credentials_of,
    pachd_address,
    tls_of,
)
from s3sync_operator.api import DEFAULT_PROJECT, Client, Reason, Spec, Sync
from s3sync_operator.errors import PermanentSyncError, TemporarySyncError
from s3sync_operator.pem_files import pem_problem
from s3sync_operator.settings import Settings


class Secrets(Protocol):
    """Where Secrets are read: a cluster, or files."""

    async def get_secret(self, namespace: str, name: str, field: str) -> dict[str, str]:
        """Return the decoded data of the Secret that a spec's field names; raises TemporarySyncError where it is not
        there."""


@dataclass(frozen=True)
class Opened:
    """Credentials and certificates, and which keys their Secrets have."""

    credentials: Credentials
    tls: Tls
    secret_keys: frozenset[str]
    certificate_keys: frozenset[str]

    def target(self, spec: Spec, settings: Settings) -> Target:
        """Return the repo at pachd; raises PermanentSyncError where no address is known any more."""
        address = pachd_address(spec, settings)
        if address is None:
            text = "spec.pachdAddress: there is none any more, nor a --default-pachd-address of the operator's; set one"
            raise PermanentSyncError(Reason.INVALID_SPEC, text)
        return Target(address, spec.project or DEFAULT_PROJECT, spec.repo, self.credentials, self.tls)


async def open_sync(secrets: Secrets, sync: Sync, spec: Spec) -> Opened:
    """Read the Secrets; raises TemporarySyncError SecretNotFound or SecretInvalid, naming the field."""
    secret, certificates = await secret_of(secrets, sync, spec), await _certificates(secrets, sync, spec)
    return Opened(_credentials(spec, secret), tls_of(spec, certificates), _filled(secret), _filled(certificates))


async def secret_of(secrets: Secrets, sync: Sync, spec: Spec) -> dict[str, str]:
    """Return the decoded data of spec.secretRef's Secret, empty without one."""
    if spec.secret_ref is None:
        return {}
    return await secrets.get_secret(sync.namespace, spec.secret_ref.name, "spec.secretRef")


async def _certificates(secrets: Secrets, sync: Sync, spec: Spec) -> dict[str, str]:
    if spec.cert_secret_ref is None:
        return {}
    name = spec.cert_secret_ref.name
    found = await secrets.get_secret(sync.namespace, name, "spec.certSecretRef")
    if problem := certificate_problem(found) or pem_problem(tls_of(spec, found)):
        raise TemporarySyncError(Reason.SECRET_INVALID, f"Secret '{name}' of spec.certSecretRef: {problem}")
    if spec.effective_client is Client.FILE_IO and found.get(PRIVATE_KEY):
        text = f"spec.client: file_io cannot show the client certificate in Secret '{name}'; use minio or pfs"
        raise PermanentSyncError(Reason.INVALID_SPEC, text)
    return found


def _credentials(spec: Spec, secret: dict[str, str]) -> Credentials:
    if spec.secret_ref is None:
        return NO_AUTH
    if problem := credential_problem(secret):
        text = f"Secret '{spec.secret_ref.name}' of spec.secretRef: {problem}"
        raise TemporarySyncError(Reason.SECRET_INVALID, text)
    found = credentials_of(secret)
    if found is None:
        text = (
            f"Secret '{spec.secret_ref.name}' of spec.secretRef has neither 'token' nor both 'AWS_ACCESS_KEY_ID' and "
            "'AWS_SECRET_ACCESS_KEY'; add them"
        )
        raise TemporarySyncError(Reason.SECRET_INVALID, text)
    return found


def _filled(secret: dict[str, str]) -> frozenset[str]:
    return frozenset(key for key, value in secret.items() if value)
