"""Holds the unit tests to what they are: they start no process and no server, so that they take seconds."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

STARTS = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "socket.bind"}
)
_started: list[str] | None = None
"""What the test that runs now has started; None between tests, and while those of other folders run."""


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in STARTS and _started is not None:
        _started.append(f"{event} {arguments}")


# An audit hook cannot be taken away again.
sys.addaudithook(_note)


@contextmanager
def nothing_is_started() -> Iterator[None]:
    """Fail where something is."""
    global _started  # noqa: PLW0603 - The audit hook has no other way to know whom it serves.
    _started = []
    try:
        yield
        assert _started == [], "what starts a process or a server belongs into tests/process"
    finally:
        _started = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Look at the fixtures of a test."""
    with nothing_is_started():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Look at a test."""
    with nothing_is_started():
        yield
