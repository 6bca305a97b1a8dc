"""These tests need root and run in a sandbox: python -m s3sync_local.sandbox -- python -m pytest tests/sandbox.

What they look for is seen best where nothing else runs, and what they break must not be the machine's.
"""

import pytest

from s3sync_local import sandbox


def pytest_sessionstart() -> None:
    if not sandbox.is_inside():
        pytest.exit("run them by: python -m s3sync_local.sandbox -- python -m pytest tests/sandbox", returncode=4)
