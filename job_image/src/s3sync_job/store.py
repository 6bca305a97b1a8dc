"""The bucket as TensorFlow's ``file_io`` sees it: copies files there and reads them back."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

STAGING_FOLDER = "/tmp"  # noqa: S108 - The plugin's own, hard-coded choice.
STAGING_PREFIX = f"{STAGING_FOLDER}/_s3_filesystem_"
"""How the names of the files start in which the plugin stages each upload whole."""

MAX_DESCRIPTOR = 4096
"""Well above what this process opens, a few descriptors a thread; the kernel gives out the lowest free number."""


class Reader(Protocol):
    """What is read from front to back; fewer bytes than asked for mean its end."""

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        ...


class TensorFlowStore:
    """Copies to and reads from one bucket through ``s3://`` URLs; calls may come from many threads at once."""

    def __init__(self, file_io: Any, errors: Any, bucket: str) -> None:
        self._file_io = file_io
        self._bucket = bucket
        self.error: type[Exception] = errors.OpError
        self.not_found: type[Exception] = errors.NotFoundError

    def url(self, key: str) -> str:
        """Return the ``s3://`` URL of ``key``."""
        return f"s3://{self._bucket}/{key}"

    def copy(self, source: Path, key: str) -> None:
        """Copy a local file over ``key``; raises ``self.error``."""
        self._file_io.copy(str(source), self.url(key), True)

    def open(self, key: str, buffer_size: int) -> Reader:
        """Return a reader of ``key`` that fetches ``buffer_size`` bytes a request.

        FileIO's own buffer of 512 KiB costs a HEAD and a GET each time, and on Pachyderm each of these streams the
        whole file on the server; TensorFlow has no public way to ask for a larger one.
        """
        reader = self._file_io.FileIO(self.url(key), "rb")
        reader._read_buf = self._file_io._pywrap_file_io.BufferedInputStream(self.url(key), buffer_size)
        return cast(Reader, reader)


def remove_staged_files() -> None:
    """Remove what the plugin has staged in this process, which is about to end: uploads cut off would leave it behind.

    Other processes may stage in the same folder, so only files that this one holds open are taken. Its threads may be
    about to stage more; they are kept from it by leaving the process no file descriptor to open, which lasts.
    """
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard_limit))
    for number in range(MAX_DESCRIPTOR):
        # Listing the folder would take a descriptor, reading its links takes none.
        with suppress(OSError):
            target = Path(f"/proc/self/fd/{number}").readlink()
            if str(target).startswith(STAGING_PREFIX):
                target.unlink(missing_ok=True)
