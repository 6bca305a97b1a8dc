"""How errors leave pachd: mostly as UNKNOWN, told apart by their words alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from pachyderm_standin.model import AlreadyExistsError, NotFoundError
from pachyderm_standin.roles import NotAuthorizedError


class CallError(Exception):
    """An error with a gRPC code of its own."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Tell the code and details with which an error leaves."""
    if isinstance(error, CallError):
        return error.code, str(error)
    if isinstance(error, NotAuthorizedError):
        return grpc.StatusCode.PERMISSION_DENIED, str(error)
    if isinstance(error, NotFoundError):
        return grpc.StatusCode.NOT_FOUND, str(error)
    if isinstance(error, AlreadyExistsError):
        return grpc.StatusCode.ALREADY_EXISTS, str(error)
    if isinstance(error, ConnectionError):
        return grpc.StatusCode.UNAVAILABLE, str(error)
    return grpc.StatusCode.UNKNOWN, str(error)


@contextmanager
def wrapped(prefix: str) -> Iterator[None]:
    """Put words before an error's own, as the real server's layers do; its type and code stay."""
    try:
        yield
    except Exception as error:
        error.args = (f"{prefix}: {error}",)
        raise


def not_modelled(what: str) -> CallError:
    """Refuse what the real server can and the stand-in cannot, rather than answer something made up."""
    return CallError(grpc.StatusCode.UNIMPLEMENTED, f"the stand-in does not model {what}")
