"""Where the local cluster keeps what outlives a run and what does not; nothing of it lies in the git tree."""

import os
from pathlib import Path

GO_MODULES = Path(__file__).resolve().parents[2] / "go"
"""The folder of the pinned Go modules (`deploy/local/go`), found from this editable package."""

PYTHON_TOOLS = GO_MODULES.parent / "tools"
"""The requirements files, with hashes, of Python programs that cannot share this project's lock."""

BOOTSTRAP_UV = GO_MODULES.parent / "bootstrap_uv.py"


def cache_dir() -> Path:
    """Return the folder for what is slow to make: S3SYNC_CACHE, else the XDG cache.

    `deploy/local/bootstrap_uv.py` states the same rule, because it runs before this package is installed.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("S3SYNC_CACHE") or Path(base) / "pachyderm-s3-sync")


def clusters_dir() -> Path:
    """Return the folder of the state directories that callers leave to us to place."""
    return cache_dir() / "clusters"
