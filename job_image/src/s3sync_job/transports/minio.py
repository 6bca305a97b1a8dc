"""The MinIO client library: one PUT a file, streamed from the disk, and one GET to read it back."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

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
    """Copies with the MinIO client, which is given each file as a stream: so it sends it without holding it."""

    errors = (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError)

    def __init__(self, client: GatewayClient, gateway: Gateway, threads: int, largest: int) -> None:
        super().__init__(client, gateway.endpoint, threads)
        scheme, _, netloc = gateway.endpoint.partition("://")
        self._minio = _StreamingMinio(
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
            # The public call holds all of what it sends in one request; this, which it ends in, takes a stream as well.
            body: Any = _FileBody(stream) if file.size else b""
            self._minio._put_object(place.bucket, file.key, body)

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


class _FileBody:
    """A file as a request's body, with its digests. (A map of it would end the process where the file is cut short.)"""

    def __init__(self, stream: BinaryIO) -> None:
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        for piece in pieces_of(stream, HASHED_AT_ONCE):
            md5.update(piece)
            sha256.update(piece)
        self._size = stream.tell()
        stream.seek(0)
        # The first lets Pachyderm refuse what was changed on the way, the second is part of the signature.
        self.headers = {
            "Content-Length": str(self._size),
            "Content-MD5": b64encode(md5.digest()).decode(),
            "x-amz-content-sha256": sha256.hexdigest(),
        }
        # From here and back to here, where a request is sent again.
        self.tell, self.seek = stream.tell, stream.seek
        self._stream = stream

    def __len__(self) -> int:
        return self._size

    def read(self, size: int) -> bytes:
        """Return the next bytes, never more than the digests are of; raises OSError where the file has fewer by now."""
        wanted = min(size, self._size - self._stream.tell())
        piece = self._stream.read(wanted)
        if len(piece) < wanted:
            raise OSError(f"{os.fspath(self._stream.name)} became shorter while it was sent")
        return piece


class _StreamingMinio(minio.Minio):
    """The MinIO client, which takes the digests of a ``_FileBody`` from it instead of from its bytes."""

    def _build_headers(self, host: str, headers: Any = None, body: Any = None, creds: Any = None) -> Any:
        if not isinstance(body, _FileBody):
            return super()._build_headers(host, headers, body, creds)
        # The date is told with them, and signed.
        built, date = super()._build_headers(host, headers, None, creds)
        return {**built, **body.headers}, date


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
