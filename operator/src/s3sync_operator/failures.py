"""Pure: what TLS and gRPC mean by their errors, as reason and message of a sync."""

from s3sync_operator.api import Reason
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError

_ALIEN = "is of a CA that is not trusted; put that CA into 'ca.crt' of spec.certSecretRef"
_OTHER_HOST = "is for another host; use a host name that it is for"
_TLS_CAUSES = (
    ("certificate has expired", Reason.CERTIFICATE_EXPIRED, "has expired; renew it"),
    ("certificate is not yet valid", Reason.CERTIFICATE_EXPIRED, "is not yet valid; compare the clocks"),
    ("Hostname mismatch", Reason.TLS_FAILED, _OTHER_HOST),
    ("IP address mismatch", Reason.TLS_FAILED, _OTHER_HOST),
    ("is not in peer certificate", Reason.TLS_FAILED, _OTHER_HOST),
    ("Hostname Verification Check failed", Reason.TLS_FAILED, _OTHER_HOST),
    ("self-signed certificate", Reason.CERTIFICATE_UNTRUSTED, _ALIEN),
    ("self signed certificate", Reason.CERTIFICATE_UNTRUSTED, _ALIEN),
    ("unable to get local issuer certificate", Reason.CERTIFICATE_UNTRUSTED, _ALIEN),
    ("unable to get issuer certificate", Reason.CERTIFICATE_UNTRUSTED, _ALIEN),
    ("certificate signature failure", Reason.CERTIFICATE_UNTRUSTED, _ALIEN),
    ("CERTIFICATE_VERIFY_FAILED", Reason.CERTIFICATE_UNTRUSTED, "is not trusted; look at spec.certSecretRef"),
)
_CLIENT_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "certificate required", "ALERT_CERT")
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "wrong version number", "record layer failure")

IN_PROVENANCE = "in the direct provenance of"
"""What pachd says, with the code UNKNOWN, of a branch that pipelines read and that is to be deleted. Seen on 2.12."""

ROLLED_BACK = "commit unexpectedly resulted in rollback"
"""What pachd says, with the code UNKNOWN, where its database undid a call. Seen on 2.12 under load."""


def tls_error(text: str, where: str, field: str) -> TemporarySyncError | None:
    """Return what an error's text says of TLS towards `where`, which `field` names; None where it does not speak of it.

    A renewed certificate or Secret mends it, so it may be tried again.
    """
    for words, reason, meaning in _TLS_CAUSES:
        if words in text:
            return TemporarySyncError(reason, f"the certificate of {where} {meaning} ({text})")
    if any(words in text for words in _CLIENT_CERTIFICATE):
        said = f"{where} refuses the client's certificate, or wants one; look at spec.certSecretRef ({text})"
        return TemporarySyncError(Reason.TLS_FAILED, said)
    if any(words in text for words in _NO_TLS):
        return TemporarySyncError(Reason.TLS_FAILED, f"{where} does not speak TLS ({text}); check {field}")
    return None


def grpc_error(code: str, details: str | None, where: str, what: str) -> SyncError:
    """Return what a failed gRPC call to `where` about `what` means; `code` is the name of gRPC's status code."""
    text = one_line(details)
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED") or "not authorized" in text:
        hint = "check the Secret of spec.secretRef and what its owner may do"
        return PermanentSyncError(Reason.ACCESS_DENIED, f"pachd at {where} denies access to {what} ({text}); {hint}")
    if IN_PROVENANCE in text:
        hint = "delete the pipelines that read it, or keep it"
        return TemporarySyncError(Reason.DELETION_BLOCKED, f"pachd does not delete {what}: {text}; {hint}")
    if code == "UNAVAILABLE":
        unreachable = TemporarySyncError(
            Reason.PACHD_UNREACHABLE, f"pachd does not answer at {where}: {text}; check spec.pachdAddress"
        )
        return tls_error(text, where, "spec.pachdAddress") or unreachable
    if code in ("DEADLINE_EXCEEDED", "CANCELLED"):
        return TemporarySyncError(Reason.PACHD_UNREACHABLE, f"pachd at {where} did not answer in time ({text})")
    if code == "UNIMPLEMENTED":
        said = f"{where} answers, but not as pachd 2.8 or newer does ({text}); check spec.pachdAddress"
        return PermanentSyncError(Reason.PACHD_UNREACHABLE, said)
    return TemporarySyncError(Reason.SERVER_ERROR, f"pachd at {where} fails for {what} ({code}: {text})")


def may_pass(code: str, details: str | None) -> bool:
    """Tell whether the same call may do better at once: pachd was not reached, and not for a certificate; or its
    database undid what was done."""
    text = one_line(details)
    return ROLLED_BACK in text or (code == "UNAVAILABLE" and tls_error(text, "", "") is None)


def one_line(details: str | None) -> str:
    """Return the start of what pachd says; the stack of a panic would follow."""
    return " ".join((details or "no details").split("\ngoroutine")[0].split())[:400]
