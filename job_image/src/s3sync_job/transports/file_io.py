"""TensorFlow's ``file_io``: copies files through ``s3://`` URLs and reads them back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from s3sync_job.gateway import GatewayClient
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import PlannedFile
from s3sync_job.reading import Reader, pieces_of
from s3sync_job.settings import Gateway, plugin_environment
from s3sync_job.staged_uploads import STAGING_FOLDER
from s3sync_job.tensorflow_io_loader import load_file_io
from s3sync_job.transports import Place
from s3sync_job.transports.filewise import STREAMED_FROM, FilewiseTransport

WRITTEN_AT_ONCE = 1024 * 1024
"""Bytes given to the plugin at a time, which it collects in a file of its own."""


def make_file_io(client: GatewayClient, gateway: Gateway, threads: int, largest: int) -> FileIoTransport:
    """Return the transport, TensorFlow being loaded only now: its plugin is told the size of the largest file.

    Raises:
        SyncError: InvalidArguments where the plugin has no room to stage that file.
    """
    free = shutil.disk_usage(STAGING_FOLDER).free
    if free < largest:
        raise SyncError(
            Reason.INVALID_ARGUMENTS,
            f"{STAGING_FOLDER} has {free} bytes free, but TensorFlow stages each upload there and the largest file "
            f"has {largest}; mount a larger volume there, or use --client minio or pfs.",
        )
    file_io, errors = load_file_io(plugin_environment(gateway, largest, threads))
    return FileIoTransport(client, gateway.endpoint, threads, file_io, errors)


class FileIoTransport(FilewiseTransport):
    """Copies with ``file_io``; large files are read back by another client, in one streamed GET.

    TensorFlow reads by ranges, and on Pachyderm each of these costs like the whole file.
    """

    def __init__(self, client: GatewayClient, endpoint: str, threads: int, file_io: Any, errors: Any) -> None:
        super().__init__(client, endpoint, threads)
        self._file_io = file_io
        self._not_found: type[BaseException] = errors.NotFoundError
        self.errors = (errors.OpError, *client.stream_errors)

    def put(self, place: Place, source: Path, file: PlannedFile) -> None:
        """Copy a local file over the file's key, in one request.

        ``file_io.copy`` asks with a HEAD and a listing first what is there, which in an open commit of Pachyderm costs
        more than the PUT. It is left what has no bytes: a writer that wrote nothing makes no file.
        """
        url = _url(place, file)
        if not file.size:
            self._file_io.copy(str(source), url, True)
            return
        with source.open("rb") as stream:
            writer = self._file_io.FileIO(url, "wb")
            for piece in pieces_of(stream, WRITTEN_AT_ONCE):
                writer.write(piece)
            # Closing is what sends the file: one that could not be read to its end must not arrive cut off.
            writer.close()

    def open(self, place: Place, file: PlannedFile) -> AbstractContextManager[Reader]:
        """Open the file, in one request where its size allows, else as one stream."""
        if file.size >= STREAMED_FROM:
            return self._gateway.stream(place.bucket, file.key)
        return self._open_whole(place, file)

    @contextmanager
    def _open_whole(self, place: Place, file: PlannedFile) -> Iterator[Reader]:
        """Open the file by ``file_io`` with a buffer that it fits in, and one byte more that would show a longer one.

        FileIO's own buffer of 512 KiB costs a GET each time; TensorFlow has no public way to ask for a larger one.
        """
        url = _url(place, file)
        with closing(self._file_io.FileIO(url, "rb")) as reader:
            reader._read_buf = self._file_io._pywrap_file_io.BufferedInputStream(url, file.size + 1)
            yield reader

    def is_missing(self, error: BaseException) -> bool:
        """Tell whether ``error`` says that the file read is not there."""
        return isinstance(error, self._not_found)

    def held(self, file: PlannedFile) -> int:
        """Return the file's size: the plugin holds what it sends."""
        return file.size


def _url(place: Place, file: PlannedFile) -> str:
    return f"s3://{place.bucket}/{file.key}"
