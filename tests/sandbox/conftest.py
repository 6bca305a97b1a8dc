"""These tests need root and run in a sandbox: python -m s3sync_local.sandbox -- python -m pytest tests/sandbox.

What they look for is seen best where nothing else runs, and what they break must not be the machine's. Build the images
that they use before, for a sandbox has no network: python -m s3sync_local.images build standin pause coredns
training-operator.
"""

import pytest

from s3sync_local import sandbox


@pytest.fixture(scope="session", autouse=True)
def in_a_sandbox() -> None:
    if not sandbox.is_inside():
        pytest.exit("run them by: python -m s3sync_local.sandbox -- python -m pytest tests/sandbox", returncode=4)
