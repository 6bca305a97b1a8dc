"""Pure: the Secrets that a sync names, from manifests and environment variables instead of a cluster."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s3sync_cli.documents import Document
from s3sync_operator.access import ACCESS_KEY, CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY, SECRET_KEY, TOKEN_KEY
from s3sync_operator.api import Reason
from s3sync_operator.errors import TemporarySyncError

TOKEN_VARIABLE = "PACHYDERM_TOKEN"  # noqa: S105 - a variable's name.
CERTIFICATE_VARIABLES = {"S3_CA_FILE": CA_KEY, "S3SYNC_CLIENT_CERT": CERTIFICATE_KEY, "S3SYNC_CLIENT_KEY": PRIVATE_KEY}
CREDENTIALS_FIELD = "spec.secretRef"
_WANTED = {
    CREDENTIALS_FIELD: f"set {TOKEN_VARIABLE}, or {ACCESS_KEY} and {SECRET_KEY}",
    "spec.certSecretRef": "name files in PEM by S3_CA_FILE (and S3SYNC_CLIENT_CERT and S3SYNC_CLIENT_KEY)",
}


class BadSecretError(ValueError):
    """A manifest of a Secret cannot be used; the text names file and key, never a value."""


@dataclass(frozen=True)
class LocalSecrets:
    """Secrets by name from manifests, else what the environment holds for a field; never shown."""

    manifests: Mapping[str, Mapping[str, str]]
    by_field: Mapping[str, Mapping[str, str]]

    def __repr__(self) -> str:
        return "LocalSecrets(…)"

    async def get_secret(self, namespace: str, name: str, field: str) -> dict[str, str]:
        """Return the decoded data for the field; raises TemporarySyncError SecretNotFound, saying where to give it."""
        del namespace
        found = self.manifests.get(name) or self.by_field.get(field)
        if found:
            return dict(found)
        text = f"{field} names Secret '{name}': {_WANTED[field]}, or give the Secret's manifest by --secret-file"
        raise TemporarySyncError(Reason.SECRET_NOT_FOUND, text)


def local_secrets(
    documents: Sequence[Document], environment: Mapping[str, str], certificates: Mapping[str, str]
) -> LocalSecrets:
    """Return the Secrets of manifests and environment; `certificates` are the contents of the files that it names.

    Raises BadSecretError.
    """
    manifests = {}
    for document in documents:
        if document.raw.get("kind") == "Secret":
            name, data = _decoded(document)
            manifests[name] = data
    by_field = {CREDENTIALS_FIELD: _credentials(environment), "spec.certSecretRef": dict(certificates)}
    return LocalSecrets(manifests, by_field)


def _credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """A Pachyderm token goes before keys that may be meant for another S3."""
    if environment.get(TOKEN_VARIABLE):
        return {TOKEN_KEY: environment[TOKEN_VARIABLE]}
    return {key: environment[key] for key in (ACCESS_KEY, SECRET_KEY) if environment.get(key)}


def _decoded(document: Document) -> tuple[str, dict[str, str]]:
    if not document.metadata.get("name"):
        raise BadSecretError(f"{document.where}: the Secret has no metadata.name")
    data = {key: _decode(document, key, value) for key, value in _texts(document, "data").items()}
    return str(document.metadata["name"]), data | _texts(document, "stringData")


def _texts(document: Document, field: str) -> dict[str, str]:
    found: Any = document.raw.get(field) or {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise BadSecretError(f"{document.where}: the Secret's {field} must hold texts alone")
    return found


def _decode(document: Document, key: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        where = f"{document.file}:{document.line(('data', key))}"
        raise BadSecretError(f"{where}: data.{key} is not text in base64; stringData takes it plain") from None
