"""What a failed TLS handshake means, told from OpenSSL's and BoringSSL's words, and which files are fit for one."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from s3sync_job.outcome import Reason, SyncError
from s3sync_job.settings import Settings

_CAUSES = (
    ("certificate has expired", "has expired; renew it"),
    ("certificate is not yet valid", "is not yet valid; compare the clocks"),
    ("Hostname mismatch", "is for another host; use a host name that it is for"),
    ("IP address mismatch", "is for another host; use a host name that it is for"),
    ("doesn't match", "is for another host; use a host name that it is for"),
    ("is not in peer certificate", "is for another host; use a host name that it is for"),
    ("Hostname Verification Check failed", "is for another host; use a host name that it is for"),
    ("self-signed certificate", "is signed by a CA that is not trusted; name its file in S3_CA_FILE"),
    ("self signed certificate", "is signed by a CA that is not trusted; name its file in S3_CA_FILE"),
    ("unable to get local issuer certificate", "is signed by a CA that is not trusted; name its file in S3_CA_FILE"),
    ("unable to get issuer certificate", "is signed by a CA that is not trusted; name its file in S3_CA_FILE"),
    ("CERTIFICATE_VERIFY_FAILED", "is not trusted; look at S3_CA_FILE"),
)
_CLIENT_CERTIFICATE = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "UNKNOWN_CA",
    "ALERT_CERTIFICATE",
    "certificate required",
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "wrong version number", "record layer failure")


def tls_failure(text: str, where: str, scheme_setting: str) -> tuple[Reason, str] | None:
    """Return the reason and the message for an error's ``text``, None where it does not speak of TLS.

    ``scheme_setting`` names what made the client use TLS towards ``where``.
    """
    for words, meaning in _CAUSES:
        if words in text:
            return Reason.TLS_FAILED, f"The certificate of {where} {meaning} ({text})."
    if any(words in text for words in _CLIENT_CERTIFICATE):
        return Reason.TLS_FAILED, (
            f"{where} refuses the client's certificate, or wants one; look at S3SYNC_CLIENT_CERT ({text})."
        )
    if any(words in text for words in _NO_TLS):
        return Reason.INVALID_ARGUMENTS, f"{scheme_setting}: {where} does not speak TLS ({text}); use the plain scheme."
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
