"""These tests need root and run in a sandbox, by `make sandbox`.

What they look for is seen best where nothing else runs, and what they break must not be the machine's.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from s3sync_local import sandbox


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder with a short name: a kubelet makes a socket in it, whose path must have no more than 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="s3sync-") as made:
        yield Path(made)


@pytest.fixture(scope="session", autouse=True)
def in_a_sandbox() -> None:
    if not sandbox.is_inside():
        pytest.exit("they run in a sandbox: make sandbox", returncode=4)
