"""These tests need root and run in a sandbox, by `make sandbox`.

What they look for is seen best where nothing else runs, and what they break must not be the machine's.
"""

import pytest

from s3sync_local import sandbox


@pytest.fixture(scope="session", autouse=True)
def in_a_sandbox() -> None:
    if not sandbox.is_inside():
        pytest.exit("they run in a sandbox: make sandbox", returncode=4)
