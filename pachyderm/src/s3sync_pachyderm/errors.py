"""Pure: what errors of gRPC, of TLS and of pachd mean. Operator and job make their reasons and hints of it."""

from enum import Enum, auto


class Cause(Enum):
    """What is behind a failed call."""

    DENIED = auto()
    MISSING = auto()
    EXISTS = auto()
    READ_BY_PIPELINE = auto()
    UNREACHABLE = auto()
    TOO_SLOW = auto()
    NOT_PACHD = auto()
    FAILED = auto()
    CERTIFICATE_EXPIRED = auto()
    CERTIFICATE_NOT_YET_VALID = auto()
    CERTIFICATE_OF_OTHER_HOST = auto()
    CERTIFICATE_UNTRUSTED = auto()
    CLIENT_CERTIFICATE_REFUSED = auto()
    NO_TLS = auto()


IN_PROVENANCE = "in the direct provenance of"
"""What pachd says, with the code UNKNOWN, of a branch that pipelines read and that is to be deleted. Seen on 2.12."""

ROLLED_BACK = "commit unexpectedly resulted in rollback"
"""What pachd says, with the code UNKNOWN, when its database undid a call's transaction. Seen on 2.12 under load."""

LONGEST_TEXT = 400

_TLS = (
    ("certificate has expired", Cause.CERTIFICATE_EXPIRED),
    ("certificate is not yet valid", Cause.CERTIFICATE_NOT_YET_VALID),
    ("Hostname mismatch", Cause.CERTIFICATE_OF_OTHER_HOST),
    ("IP address mismatch", Cause.CERTIFICATE_OF_OTHER_HOST),
    ("doesn't match", Cause.CERTIFICATE_OF_OTHER_HOST),
    ("is not in peer certificate", Cause.CERTIFICATE_OF_OTHER_HOST),
    ("Hostname Verification Check failed", Cause.CERTIFICATE_OF_OTHER_HOST),
    ("self-signed certificate", Cause.CERTIFICATE_UNTRUSTED),
    ("self signed certificate", Cause.CERTIFICATE_UNTRUSTED),
    ("unable to get local issuer certificate", Cause.CERTIFICATE_UNTRUSTED),
    ("unable to get issuer certificate", Cause.CERTIFICATE_UNTRUSTED),
    ("certificate signature failure", Cause.CERTIFICATE_UNTRUSTED),
    ("CERTIFICATE_VERIFY_FAILED", Cause.CERTIFICATE_UNTRUSTED),
    ("CERTIFICATE_REQUIRED", Cause.CLIENT_CERTIFICATE_REFUSED),
    ("BAD_CERTIFICATE", Cause.CLIENT_CERTIFICATE_REFUSED),
    ("UNKNOWN_CA", Cause.CLIENT_CERTIFICATE_REFUSED),
    ("ALERT_CERT", Cause.CLIENT_CERTIFICATE_REFUSED),
    ("certificate required", Cause.CLIENT_CERTIFICATE_REFUSED),
    ("WRONG_VERSION_NUMBER", Cause.NO_TLS),
    ("HTTP_REQUEST", Cause.NO_TLS),
    ("wrong version number", Cause.NO_TLS),
    ("record layer failure", Cause.NO_TLS),
)
"""The words of OpenSSL, BoringSSL and urllib3; of several in one text the first here counts."""

_CODES = {
    "UNAUTHENTICATED": Cause.DENIED,
    "PERMISSION_DENIED": Cause.DENIED,
    "NOT_FOUND": Cause.MISSING,
    "ALREADY_EXISTS": Cause.EXISTS,
    "UNAVAILABLE": Cause.UNREACHABLE,
    "DEADLINE_EXCEEDED": Cause.TOO_SLOW,
    "CANCELLED": Cause.TOO_SLOW,
    "UNIMPLEMENTED": Cause.NOT_PACHD,
}


_CERTIFICATES = {
    Cause.CERTIFICATE_EXPIRED: ("CertificateExpired", "has expired; renew it"),
    Cause.CERTIFICATE_NOT_YET_VALID: ("CertificateExpired", "is not yet valid; compare the clocks"),
    Cause.CERTIFICATE_OF_OTHER_HOST: ("TLSFailed", "is for another host; use a host name that it is for"),
    Cause.CERTIFICATE_UNTRUSTED: ("CertificateUntrusted", "is signed by a CA that is not trusted; {trust}"),
}


def certificate_fault(cause: Cause, trust: str) -> tuple[str, str] | None:
    """Return the reason's name, and what is wrong with a server's certificate; None if the cause is another one.

    `trust` says how to trust a CA.
    """
    found = _CERTIFICATES.get(cause)
    return (found[0], found[1].format(trust=trust)) if found else None


def tls_cause(text: str) -> Cause | None:
    """Return what an error's text says of TLS, None if it does not speak of it."""
    return next((cause for words, cause in _TLS if words in text), None)


def grpc_cause(code: str, details: str | None) -> Cause:
    """Return what a failed call means, by the name of its status code and the text with it."""
    text = one_line(details)
    if "not authorized" in text:
        return Cause.DENIED
    if IN_PROVENANCE in text:
        return Cause.READ_BY_PIPELINE
    if code == "UNAVAILABLE":
        return tls_cause(text) or Cause.UNREACHABLE
    return _CODES.get(code, Cause.FAILED)


def was_undone(details: str | None) -> bool:
    """Tell whether pachd's database was too busy and has done nothing."""
    return ROLLED_BACK in (details or "")


def may_pass(code: str, details: str | None) -> bool:
    """Tell whether the same call may succeed at once: pachd was not reached, and not for a certificate; or it has done
    nothing."""
    return was_undone(details) or grpc_cause(code, details) is Cause.UNREACHABLE


def one_line(details: str | None) -> str:
    """Return the start of what pachd says; the stack of a panic would follow."""
    return " ".join((details or "no details").split("\ngoroutine")[0].split())[:LONGEST_TEXT]
