"""Gives every call on a gRPC channel a time limit and a token, which the SDK's stubs cannot be given."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import grpc

_Details = namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression"))


class _CallDetails(_Details, grpc.ClientCallDetails):  # type: ignore[misc] # grpc has no types.
    """A call's details, as gRPC wants them."""


class _Limit(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
):
    """Sets the time limit in seconds, for the whole of a stream, and the metadata of every call."""

    def __init__(self, seconds: float, token: str | None) -> None:
        self._seconds = seconds
        self._metadata = (("authn-token", token),) if token else ()

    def _intercepted(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        return continuation(
            _CallDetails(
                details.method,
                self._seconds,
                (*(details.metadata or ()), *self._metadata),
                details.credentials,
                getattr(details, "wait_for_ready", None),
                getattr(details, "compression", None),
            ),
            request,
        )

    intercept_unary_unary = _intercepted
    intercept_unary_stream = _intercepted
    intercept_stream_unary = _intercepted


def limited(channel: grpc.Channel, seconds: float, token: str | None) -> grpc.Channel:
    """Return the channel with a limit of ``seconds`` for each call, and the token with each."""
    return grpc.intercept_channel(channel, _Limit(seconds, token))
