"""The MinIO client library: one PUT a file, streamed from the disk, and one GET to read it back."""

from __future__ import annotations

import hashlib
import mmap
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import certifi
import minio
import urllib3
from minio.error import MinioException, S3Error

from s3sync_job.gateway import GatewayClient
from s3sync_job.plan import PlannedFile
from s3sync_job.reading import Reader, WholeReads, pieces_of
from s3sync_job.settings import MIN_REQUEST_TIMEOUT_MSEC, Gateway, request_timeout_msec
from s3sync_job.transports import Place
from s3sync_job.transports.filewise import FilewiseTransport

MAX_SINGLE_PUT = 4 * 1024**3 - 1
"""Bytes that Pachyderm takes in one PUT; parts would cost it a commit each."""

PART_BYTES = 64 * 1024**2
MAX_PARTS = 10_000

HASHED_AT_ONCE = 1024 * 1024
SENT_AT_ONCE = 1024 * 1024
"""Bytes read from the disk and given to the socket at a time; the library's own 16 KiB make many small sends."""


class MinioTransport(FilewiseTransport):
    """Copies with the MinIO client, which is given each file as a map of it: so it sends it without holding it."""

    errors = (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError)

    def __init__(self, client: GatewayClient, gateway: Gateway, threads: int, largest: int) -> None:
        super().__init__(client, gateway.endpoint, threads)
        scheme, _, netloc = gateway.endpoint.partition("://")
        self._minio = minio.Minio(
            netloc,
            access_key=gateway.access_key,
            secret_key=gateway.secret_key,
            session_token=gateway.session_token,
            secure=scheme == "https",
            region=gateway.region,
            http_client=_pool(gateway, threads, largest),
        )

    def put(self, place: Place, source: Path, file: PlannedFile) -> None:
        """Copy a local file over the file's key."""
        if file.size > MAX_SINGLE_PUT:
            part_size = max(PART_BYTES, -(-file.size // MAX_PARTS))
            self._minio.fput_object(place.bucket, file.key, str(source), part_size=part_size)
            return
        with source.open("rb") as stream:
            # The digest lets Pachyderm refuse what was changed on the way.
            digest = hashlib.md5(usedforsecurity=False)
            for piece in pieces_of(stream, HASHED_AT_ONCE):
                digest.update(piece)
            headers: dict[str, str | list[str] | tuple[str]] = {"Content-MD5": b64encode(digest.digest()).decode()}
            # The public call holds all of what it sends in one request; this, which it ends in, takes a map as well.
            self._minio._put_object(place.bucket, file.key, _mapped(stream.fileno(), file.size), headers)

    @contextmanager
    def open(self, place: Place, file: PlannedFile) -> Iterator[Reader]:
        """Open the file as one stream."""
        response = self._minio.get_object(place.bucket, file.key)
        try:
            yield WholeReads(response)
        finally:
            response.close()
            response.release_conn()

    def is_missing(self, error: BaseException) -> bool:
        """Tell whether ``error`` says that the file read is not there."""
        return isinstance(error, S3Error) and error.code in ("NoSuchKey", "NoSuchBucket")

    def held(self, file: PlannedFile) -> int:
        """Return little: the file is streamed from the disk."""
        return min(file.size, HASHED_AT_ONCE)


def _mapped(descriptor: int, size: int) -> Any:
    """Return the file as a map, which cannot be empty, or as no bytes."""
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) if size else b""


def _pool(gateway: Gateway, threads: int, largest: int) -> urllib3.PoolManager:
    """Return connections that follow the gateway's settings: TLS, time limits, and how often a request is tried."""
    pair = gateway.client_pair
    silence = (gateway.request_timeout_msec or max(request_timeout_msec(largest), MIN_REQUEST_TIMEOUT_MSEC)) / 1000
    return urllib3.PoolManager(
        maxsize=threads,
        blocksize=SENT_AT_ONCE,
        timeout=urllib3.Timeout(connect=5, read=silence),
        retries=urllib3.Retry(
            total=gateway.max_attempts - 1,
            backoff_factor=0.2,
            status_forcelist=[500, 502, 503, 504],
            raise_on_status=False,
        ),
        cert_reqs="CERT_REQUIRED" if gateway.verify_tls else "CERT_NONE",
        ca_certs=gateway.ca_file or certifi.where(),
        cert_file=pair.certificate if pair else None,
        key_file=pair.key if pair else None,
    )
