"""What a failed TLS handshake means, told from OpenSSL's and BoringSSL's words (pure)."""

from __future__ import annotations

from s3sync_job.outcome import Reason

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
