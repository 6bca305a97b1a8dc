"""Signals as the programs that tests start should find them."""

import signal
from collections.abc import Iterator

import pytest

HEARD = (signal.SIGHUP, signal.SIGINT)


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> Iterator[None]:
    """Start programs as a shell does in the foreground, also where the tests themselves were started by nohup or in the
    background of a script: what is ignored there is inherited, what has a handler is not."""
    before = {number: signal.getsignal(number) for number in HEARD}
    for number in HEARD:
        if before[number] is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else lambda *_: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
