"""Connections to pachd, and calls on them: each has a time limit, and the token of who asks."""

import os
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # Otherwise failed handshakes are printed on standard error too.

import grpc
from google.protobuf.message import Message
from grpc import RpcError

from s3sync_pachyderm.methods import Download, Method, Unary, Upload

MAX_MESSAGE_BYTES = 20 * 1024 * 1024
"""What pachd sends and accepts in one message, by its own setting (`grpcutil.MaxMsgSize`)."""

__all__ = ["Channel", "RpcError", "Trust"]

OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    # A peer that vanished is noticed; pachd accepts pings from every 5 s on.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A refused connection is tried again at each attempt, not after gRPC's own growing pause.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Otherwise channels with the same options would share a connection, and keep it open for one another.
    ("grpc.use_local_subchannel_pool", 1),
)
RequestT = TypeVar("RequestT", bound=Message)
AnswerT = TypeVar("AnswerT", bound=Message)


@dataclass(frozen=True)
class Trust:
    """Whom a TLS connection trusts: a CA (None: the system's), and its own certificate and key; all in PEM."""

    ca: bytes | None = None
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)


class Channel:
    """A connection to pachd; it may be used from many threads, and is to be closed.

    `address` is `host:port`, or what gRPC takes for one. Without `trust` it is not encrypted. Where a relay stands in
    between, `authority` is the `host:port` that pachd is known by. All calls raise grpc.RpcError.
    """

    def __init__(self, address: str, token: str | None, trust: Trust | None = None, authority: str = "") -> None:
        options = (*OPTIONS, ("grpc.default_authority", authority)) if authority else OPTIONS
        self._channel = (
            grpc.secure_channel(address, _credentials(trust), options=options)
            if trust
            else grpc.insecure_channel(address, options=options)
        )
        self._metadata = (("authn-token", token),) if token else ()
        self._calls: dict[str, Any] = {}

    def close(self) -> None:
        """Close the connection, which ends the calls that are running."""
        self._channel.close()

    def unary(self, method: Unary[RequestT, AnswerT], request: RequestT, seconds: float) -> AnswerT:
        """Return the answer to a request."""
        return cast(AnswerT, self._call("unary_unary", method)(request, timeout=seconds, metadata=self._metadata))

    def download(self, method: Download[RequestT, AnswerT], request: RequestT, seconds: float) -> Iterator[AnswerT]:
        """Yield the answers to a request; the limit is that of the whole stream, which ends with the iterator."""
        answers = self._call("unary_stream", method)(request, timeout=seconds, metadata=self._metadata)
        try:
            yield from answers
        finally:
            answers.cancel()

    def upload(self, method: Upload[RequestT, AnswerT], requests: Iterable[RequestT], seconds: float) -> AnswerT:
        """Send a stream of requests, which are made in a thread of gRPC's, and return the answer."""
        sent = self._call("stream_unary", method)(iter(requests), timeout=seconds, metadata=self._metadata)
        return cast(AnswerT, sent)

    def _call(self, kind: str, method: Method[Any, Any]) -> Any:
        found = self._calls.get(method.path)
        if found is None:
            make = getattr(self._channel, kind)
            found = make(method.path, method.request.SerializeToString, method.answer.FromString)
            self._calls[method.path] = found
        return found


def _credentials(trust: Trust) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=trust.ca or _system_cas(), private_key=trust.key, certificate_chain=trust.certificate
    )


def _system_cas() -> bytes | None:
    """Return the CAs that the system trusts; where it names none, gRPC takes its own."""
    path: str | None = ssl.get_default_verify_paths().cafile
    if path is None:
        return None
    with open(path, "rb") as file:  # noqa: PTH123 - A path as text.
        return file.read()
