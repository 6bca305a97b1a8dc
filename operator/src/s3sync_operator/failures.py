"""Pure: what TLS and gRPC mean by their errors, as reason and message of a sync."""

from s3sync_operator.api import Reason
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError
from s3sync_pachyderm.errors import Cause, certificate_fault, grpc_cause, one_line, tls_cause

_TRUST = "put that CA into 'ca.crt' of spec.certSecretRef"
_OF_PACHD: dict[Cause, tuple[type[SyncError], Reason, str]] = {
    Cause.DENIED: (
        PermanentSyncError,
        Reason.ACCESS_DENIED,
        "pachd at {where} denies access to {what} ({text}); "
        "check the Secret of spec.secretRef and what its owner may do",
    ),
    Cause.READ_BY_PIPELINE: (
        TemporarySyncError,
        Reason.DELETION_BLOCKED,
        "pachd does not delete {what}: {text}; delete the pipelines that read it, or keep it",
    ),
    Cause.UNREACHABLE: (
        TemporarySyncError,
        Reason.PACHD_UNREACHABLE,
        "pachd does not answer at {where}: {text}; check spec.pachdAddress",
    ),
    Cause.TOO_SLOW: (
        TemporarySyncError,
        Reason.PACHD_UNREACHABLE,
        "pachd at {where} did not answer in time ({text})",
    ),
    Cause.NOT_PACHD: (
        PermanentSyncError,
        Reason.PACHD_UNREACHABLE,
        "{where} answers, but not as pachd 2.8 or newer does ({text}); check spec.pachdAddress",
    ),
}
_FAILED = (TemporarySyncError, Reason.SERVER_ERROR, "pachd at {where} fails for {what} ({code}: {text})")


def tls_error(text: str, where: str, field: str) -> TemporarySyncError | None:
    """Return what an error's text says of TLS towards `where`, which `field` names; None if it does not speak of it."""
    cause = tls_cause(text)
    return _tls_error(cause, text, where, field) if cause else None


def _tls_error(cause: Cause, text: str, where: str, field: str) -> TemporarySyncError | None:
    """A renewed certificate or Secret fixes it, so all of these may be tried again."""
    if fault := certificate_fault(cause, _TRUST):
        reason, meaning = fault
        return TemporarySyncError(Reason(reason), f"the certificate of {where} {meaning} ({text})")
    if cause is Cause.CLIENT_CERTIFICATE_REFUSED:
        said = f"{where} refuses the client's certificate, or wants one; look at spec.certSecretRef ({text})"
        return TemporarySyncError(Reason.TLS_FAILED, said)
    if cause is Cause.NO_TLS:
        return TemporarySyncError(Reason.TLS_FAILED, f"{where} does not speak TLS ({text}); check {field}")
    return None


def grpc_error(code: str, details: str | None, where: str, what: str) -> SyncError:
    """Return what a failed gRPC call to `where` about `what` means; `code` is the name of gRPC's status code."""
    cause, text = grpc_cause(code, details), one_line(details)
    if found := _tls_error(cause, text, where, "spec.pachdAddress"):
        return found
    kind, reason, said = _OF_PACHD.get(cause, _FAILED)
    return kind(reason, said.format(where=where, what=what, text=text, code=code))
