"""Makes the clients that a run needs, each at its first use: TensorFlow, gRPC and botocore take long to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from s3sync_job.compare import There
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.settings import Client, RepoBranch, Settings
from s3sync_job.transports import Place, Transport

if TYPE_CHECKING:
    from s3sync_job.gateway import GatewayClient
    from s3sync_job.pachd import PachdClient


class Clients:
    """The clients of one run; may be used from one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gateway: GatewayClient | None = None
        self._pachd: PachdClient | None = None
        self._transport: Transport | None = None

    @property
    def target(self) -> RepoBranch:
        """The repo and branch that the bucket is."""
        return self._settings.target

    def target_place(self) -> Place:
        """Return the head of the bucket's branch."""
        # A bucket of a gateway that is not Pachyderm's has no branch.
        return Place(self._settings.bucket, self.target.branch if self._settings.pachd else "")

    def gateway(self) -> GatewayClient:
        """Return the plain S3 client."""
        if self._gateway is None:
            from s3sync_job.gateway import GatewayClient  # noqa: PLC0415

            self._gateway = GatewayClient(self._settings.gateway)
        return self._gateway

    def pachd(self) -> PachdClient:
        """Return the gRPC client; the settings are known to have pachd's address."""
        if self._pachd is None:
            if self._settings.pachd is None:
                raise SyncError(Reason.INTERNAL_ERROR, "pachd is needed, but the settings have no address of it.")
            from s3sync_job.pachd import PachdClient  # noqa: PLC0415

            self._pachd = PachdClient(self._settings.pachd, self.target)
        return self._pachd

    def abandon(self) -> None:
        """Write nothing more and leave nothing open in pachd; any thread may call this, before the process ends."""
        if self._transport is not None:
            self._transport.stop()
        if self._pachd is not None:
            self._pachd.abandon()

    def transport(self, largest: int, writers: int | None = None) -> Transport:
        """Return what moves files, of at most ``largest`` bytes, at most ``writers`` at a time if given."""
        self._transport = self._made(largest, min(self._settings.threads, writers or self._settings.threads))
        return self._transport

    def _made(self, largest: int, threads: int) -> Transport:
        settings = self._settings
        if settings.client is Client.PFS:
            from s3sync_job.transports.pfs import PfsTransport  # noqa: PLC0415

            return PfsTransport(self.pachd(), settings.prefix)
        if settings.client is Client.MINIO:
            from s3sync_job.transports.minio import MinioTransport  # noqa: PLC0415

            return MinioTransport(self.gateway(), settings.gateway, threads, largest)
        from s3sync_job.transports.file_io import make_file_io  # noqa: PLC0415

        return make_file_io(self.gateway(), settings.gateway, threads, largest)

    def branch(self, commit: str | None = None) -> GatewayBranch | PachdBranch:
        """Return the bucket's branch at its head, or for pfs at one of its commits."""
        if self._settings.client is Client.PFS:
            return PachdBranch(self.pachd(), self.target.branch, commit)
        return GatewayBranch(self.gateway(), self._settings.bucket)


class GatewayBranch:
    """A branch as the S3 gateway shows it."""

    def __init__(self, gateway: GatewayClient, bucket: str) -> None:
        self._gateway = gateway
        self._bucket = bucket

    def probe(self) -> None:
        """Raise the SyncError that tells why it cannot be reached, if so."""
        self._gateway.probe(self._bucket)

    def file_at(self, directory: str) -> str | None:
        """Return the file, if any, that stands where ``directory`` or one above it would have to be."""
        return self._gateway.file_at(self._bucket, directory)

    def list_files(self, prefix: str) -> Mapping[str, There]:
        """Return all files by key under the directory ``prefix``."""
        return self._gateway.list_files(self._bucket, prefix)


class PachdBranch:
    """A branch as pachd shows it, at ``commit`` or at its head."""

    def __init__(self, pachd: PachdClient, branch: str, commit: str | None) -> None:
        self._pachd = pachd
        self._branch = branch
        self._commit = commit

    def probe(self) -> None:
        """Raise the SyncError that tells why it cannot be reached, if so."""
        self._pachd.probe(self._branch)

    def file_at(self, directory: str) -> str | None:
        """Return the file, if any, that stands where ``directory`` or one above it would have to be."""
        commit = self._at()
        return self._pachd.file_at(commit, directory) if commit else None

    def list_files(self, prefix: str) -> Mapping[str, There]:
        """Return all files by key under the directory ``prefix``."""
        commit = self._at()
        return self._pachd.list_files(commit, prefix) if commit else {}

    def _at(self) -> str | None:
        if self._commit is None and (head := self._pachd.head(self._branch)) is not None:
            self._commit = head.commit
        return self._commit
