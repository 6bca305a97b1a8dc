"""What a failed TLS handshake means to a run, and which files are fit for one."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from s3sync_job.outcome import Reason, SyncError
from s3sync_job.settings import Settings
from s3sync_pachyderm.errors import Cause, certificate_fault, tls_cause

_TRUST = "name its file in S3_CA_FILE"


def tls_failure(text: str, where: str, scheme_setting: str) -> tuple[Reason, str] | None:
    """Return the reason and the message for an error's ``text``, None if it does not speak of TLS.

    ``scheme_setting`` names what made the client use TLS towards ``where``.
    """
    cause = tls_cause(text)
    return tls_message(cause, text, where, scheme_setting) if cause else None


def tls_message(cause: Cause, text: str, where: str, scheme_setting: str) -> tuple[Reason, str] | None:
    """Return the reason and the message for a cause, None if it is not one of TLS; see tls_failure."""
    if fault := certificate_fault(cause, _TRUST):
        reason, meaning = fault
        return Reason(reason), f"The certificate of {where} {meaning} ({text})."
    if cause is Cause.CLIENT_CERTIFICATE_REFUSED:
        return Reason.TLS_FAILED, (
            f"{where} refuses the client's certificate, or wants one; look at S3SYNC_CLIENT_CERT ({text})."
        )
    if cause is Cause.NO_TLS:
        return Reason.TLS_FAILED, f"{scheme_setting}: {where} does not speak TLS ({text}); use the plain scheme."
    return None


def check_tls_files(settings: Settings) -> None:
    """Prove that the files for TLS can be used, where it is; the clients tell of them as of an endpoint that is down.

    Raises:
        SyncError: TLSFailed, since what a Secret has wrong the next one may have right.
    """
    gateway, pachd = settings.gateway, settings.pachd
    if not (gateway.endpoint.startswith("https:") or (pachd and pachd.tls)):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca_file, pair = gateway.ca_file, gateway.client_pair
    if ca_file and gateway.verify_tls:
        _load("S3_CA_FILE", ca_file, lambda: context.load_verify_locations(ca_file))
    if pair:
        names = "S3SYNC_CLIENT_CERT, S3SYNC_CLIENT_KEY"
        # Without a password OpenSSL would ask the terminal for one.
        _load(names, pair.certificate, lambda: context.load_cert_chain(pair.certificate, pair.key, password=""))


def _load(name: str, path: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError.
        raise SyncError(
            Reason.TLS_FAILED, f"{name}: {path!r} cannot be used ({error}); it must be readable and in PEM."
        ) from error
