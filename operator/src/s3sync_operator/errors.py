"""Errors of a sync: the class decides the retry, the reason goes into the status."""


class SyncError(Exception):
    """A sync cannot go on, for a reason that belongs into its status.

    `reason` is CamelCase, fit for a condition; `message` says to a person what is wrong and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class PermanentSyncError(SyncError):
    """Trying again cannot mend it: the spec, the credentials or the data must change first."""


class TemporarySyncError(SyncError):
    """Trying again may mend it: an endpoint, a Secret or a definition is not there yet."""


class ConflictError(Exception):
    """The object changed since it was read: read it again and decide anew."""


class StartError(Exception):
    """The operator cannot start; the text says what is wrong and what to do."""


class NoClusterError(StartError):
    """There is no API server to talk to."""


class AddressError(StartError):
    """An address of the operator's own cannot be listened on."""
