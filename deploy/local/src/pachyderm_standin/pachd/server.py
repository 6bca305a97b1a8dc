"""The gRPC server: which calls there are, who may make them, and how they are answered."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import betterproto.lib.google.protobuf as well_known
import grpc
import grpc.aio
from pachyderm_sdk.api import admin, auth, pfs

from pachyderm_standin.gateway import Gateway
from pachyderm_standin.model import PfsError
from pachyderm_standin.pachd import cluster, commits, file_sets, reading, repos, writing
from pachyderm_standin.pachd.calls import METHOD, Call
from pachyderm_standin.pachd.errors import CallError, not_modelled, status_of
from pachyderm_standin.pachd.messages import Message
from pachyderm_standin.pachd.targets import repo_of, target_of

MAX_MESSAGE_BYTES = 20 * 1024 * 1024
"""The real server takes no longer message (`grpcutil.MaxMsgSize`)."""

logger = logging.getLogger(__name__)
Unary: TypeAlias = Callable[[Call, Message], Awaitable[Message]]
Streaming: TypeAlias = Callable[[Call, Message], AsyncIterator[Message]]
Uploading: TypeAlias = Callable[[Call, AsyncIterator[Message]], Awaitable[Message]]

UNARY: Mapping[str, tuple[type[Message], Unary]] = {
    "pfs_v2.API/CreateProject": (pfs.CreateProjectRequest, repos.create_project),
    "pfs_v2.API/InspectProject": (pfs.InspectProjectRequest, repos.inspect_project),
    "pfs_v2.API/DeleteProject": (pfs.DeleteProjectRequest, repos.delete_project),
    "pfs_v2.API/CreateRepo": (pfs.CreateRepoRequest, repos.create_repo),
    "pfs_v2.API/InspectRepo": (pfs.InspectRepoRequest, repos.inspect_repo),
    "pfs_v2.API/DeleteRepo": (pfs.DeleteRepoRequest, repos.delete_repo),
    "pfs_v2.API/CreateBranch": (pfs.CreateBranchRequest, repos.create_branch),
    "pfs_v2.API/InspectBranch": (pfs.InspectBranchRequest, repos.inspect_branch),
    "pfs_v2.API/DeleteBranch": (pfs.DeleteBranchRequest, repos.delete_branch),
    "pfs_v2.API/StartCommit": (pfs.StartCommitRequest, commits.start_commit),
    "pfs_v2.API/FinishCommit": (pfs.FinishCommitRequest, commits.finish_commit),
    "pfs_v2.API/InspectCommit": (pfs.InspectCommitRequest, commits.inspect_commit),
    "pfs_v2.API/ClearCommit": (pfs.ClearCommitRequest, commits.clear_commit),
    "pfs_v2.API/DropCommit": (pfs.DropCommitRequest, commits.drop_commit),
    "pfs_v2.API/SquashCommit": (pfs.SquashCommitRequest, commits.squash_commit),
    "pfs_v2.API/DropCommitSet": (pfs.DropCommitSetRequest, commits.drop_commit_set),
    "pfs_v2.API/SquashCommitSet": (pfs.SquashCommitSetRequest, commits.squash_commit_set),
    "pfs_v2.API/GetFileSet": (pfs.GetFileSetRequest, file_sets.get_file_set),
    "pfs_v2.API/RenewFileSet": (pfs.RenewFileSetRequest, file_sets.renew_file_set),
    "pfs_v2.API/ComposeFileSet": (pfs.ComposeFileSetRequest, file_sets.compose_file_set),
    "pfs_v2.API/AddFileSet": (pfs.AddFileSetRequest, file_sets.add_file_set),
    "pfs_v2.API/InspectFile": (pfs.InspectFileRequest, reading.inspect_file),
    "auth_v2.API/WhoAmI": (auth.WhoAmIRequest, cluster.who_am_i),
    "admin_v2.API/InspectCluster": (admin.InspectClusterRequest, cluster.inspect_cluster),
    "versionpb_v2.API/GetVersion": (well_known.Empty, cluster.get_version),
}
STREAMING: Mapping[str, tuple[type[Message], Streaming]] = {
    "pfs_v2.API/ListProject": (pfs.ListProjectRequest, repos.list_project),
    "pfs_v2.API/ListRepo": (pfs.ListRepoRequest, repos.list_repo),
    "pfs_v2.API/ListBranch": (pfs.ListBranchRequest, repos.list_branch),
    "pfs_v2.API/ListCommit": (pfs.ListCommitRequest, commits.list_commit),
    "pfs_v2.API/InspectCommitSet": (pfs.InspectCommitSetRequest, commits.inspect_commit_set),
    "pfs_v2.API/ListFile": (pfs.ListFileRequest, reading.list_file),
    "pfs_v2.API/WalkFile": (pfs.WalkFileRequest, reading.walk_file),
    "pfs_v2.API/GlobFile": (pfs.GlobFileRequest, reading.glob_file),
    "pfs_v2.API/DiffFile": (pfs.DiffFileRequest, reading.diff_file),
    "pfs_v2.API/GetFile": (pfs.GetFileRequest, reading.get_file),
    "pfs_v2.API/GetFileTAR": (pfs.GetFileRequest, reading.get_file_tar),
}
UPLOADING: Mapping[str, tuple[type[Message], Uploading]] = {
    "pfs_v2.API/ModifyFile": (pfs.ModifyFileRequest, writing.modify_file),
    "pfs_v2.API/CreateFileSet": (pfs.ModifyFileRequest, file_sets.create_file_set),
}
OPEN_TO_ALL = {"GetVersion", "InspectCluster"}
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
Context: TypeAlias = Any


@dataclass(frozen=True, eq=False)
class PachdService:
    """Answers the calls for one gateway."""

    gateway: Gateway

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Give the handlers of all calls; one that is not known is UNIMPLEMENTED, as on the real server."""
        by_service: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
        for name, handler in self._handlers().items():
            service, _, method = name.partition("/")
            by_service.setdefault(service, {})[method] = handler
        return [grpc.method_handlers_generic_handler(service, methods) for service, methods in by_service.items()]

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        return {
            **{
                name: grpc.unary_unary_rpc_method_handler(self._unary(name, run), kind.FromString, bytes)
                for name, (kind, run) in UNARY.items()
            },
            **{
                name: grpc.unary_stream_rpc_method_handler(self._streaming(name, run), kind.FromString)
                for name, (kind, run) in STREAMING.items()
            },
            **{
                name: grpc.stream_unary_rpc_method_handler(self._uploading(name, run), kind.FromString, bytes)
                for name, (kind, run) in UPLOADING.items()
            },
            HEALTH_CHECK.removeprefix("/"): grpc.unary_unary_rpc_method_handler(self._health),
        }

    async def _health(self, _request: bytes, _context: Context) -> bytes:
        return SERVING

    def _unary(self, name: str, run: Unary) -> Callable[[Message, Context], Awaitable[Message]]:
        async def handle(request: Message, context: Context) -> Message:
            call = self._begin(name)
            try:
                self._admit(call, context)
                call.authorize(repo_of(request))
                await call.suffer(*target_of(call, request))
                answer = await run(call, request)
                call.lose_answer()
            except Exception as error:
                await _abort(context, call, error)
            return answer

        return handle

    def _uploading(self, name: str, run: Uploading) -> Callable[[AsyncIterator[Message], Context], Awaitable[Message]]:
        async def handle(requests: AsyncIterator[Message], context: Context) -> Message:
            call = self._begin(name)
            try:
                self._admit(call, context)
                answer = await run(call, _whole(requests, context))
                call.lose_answer()
            except Exception as error:
                await _abort(context, call, error)
            return answer

        return handle

    def _streaming(self, name: str, run: Streaming) -> Callable[[Message, Context], AsyncIterator[bytes]]:
        async def handle(request: Message, context: Context) -> AsyncIterator[bytes]:
            call = self._begin(name)
            try:
                self._admit(call, context)
                call.authorize(repo_of(request))
                await call.suffer(*target_of(call, request))
                async for answer in call.cut(run(call, request)):
                    yield answer
            except Exception as error:
                await _abort(context, call, error)

        return handle

    def _begin(self, name: str) -> Call:
        operation = name.partition("/")[2]
        self.gateway.counts.count(METHOD, operation)
        return Call(self.gateway, operation)

    def _admit(self, call: Call, context: Context) -> None:
        metadata = dict(context.invocation_metadata() or ())
        if "pach-transaction" in metadata:
            raise not_modelled("transactions")
        tokens = self.gateway.authenticator.tokens
        if tokens is None:
            if call.operation == "WhoAmI":
                raise CallError(grpc.StatusCode.UNIMPLEMENTED, "the auth service is not activated")
            return
        if call.operation in OPEN_TO_ALL:
            return
        token = metadata.get("authn-token")
        if token is None:
            raise CallError(grpc.StatusCode.UNAUTHENTICATED, "no authentication token (try logging in)")
        if token not in tokens:
            raise CallError(
                grpc.StatusCode.UNAUTHENTICATED,
                "provided auth token is corrupted or has expired (try logging in again)",
            )
        call.grant = tokens[token]


async def _whole(requests: AsyncIterator[Message], context: Context) -> AsyncIterator[Message]:
    """Pass requests on until the client has sent all of them, and fail if it gives up.

    gRPC ends the requests either way, and reports a little later that the client gave up. But nothing can be sent to a
    client that did.
    """
    async for request in requests:
        yield request
    await context.send_initial_metadata(())


async def _abort(context: Context, call: Call, error: Exception) -> NoReturn:
    if isinstance(error, asyncio.CancelledError | grpc.aio.AbortError):
        raise error
    if not isinstance(error, PfsError | CallError | ConnectionError):
        logger.error("%s failed", call.operation, exc_info=error)
    await context.abort(*status_of(error))
    raise error


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its key, in PEM."""

    certificate: bytes
    key: bytes


async def start_server(gateway: Gateway, address: str, tls: Tls | None = None) -> tuple[grpc.aio.Server, int]:
    """Start serving at `host:port`, and tell the port. Raises `OSError` if it cannot be had."""
    limits = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ]
    server = grpc.aio.server(options=[*limits, ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(PachdService(gateway).handlers())
    try:
        port = _bind(server, address, tls)
    except RuntimeError as error:
        raise OSError(f"--grpc-port: {address} is taken, or not of this machine") from error
    await server.start()
    return server, port


def _bind(server: grpc.aio.Server, address: str, tls: Tls | None) -> int:
    if tls is None:
        return int(server.add_insecure_port(address))
    credentials = grpc.ssl_server_credentials([(tls.key, tls.certificate)])
    return int(server.add_secure_port(address, credentials))
