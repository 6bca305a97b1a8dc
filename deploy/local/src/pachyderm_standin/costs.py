"""What things cost on a real Pachyderm, so that clients rank on the stand-in as they do there: a model.

Off unless asked for. Clients see a cost as time alone: nothing is answered in another way for it. Work of the server
(writing, composing an open commit, reading) is done one piece at a time, as one thread or eight made no difference
on the test server; a commit's finishing is waited for by its repo alone.
"""

import asyncio
from dataclasses import dataclass

MIN_SLEEP = 0.01
"""Smaller debts (seconds) are added up: a sleep cannot be told to that length."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds for each thing, all 0 by default; the table of tests/contract/README.md says what each is about."""

    call: float = 0
    request: float = 0
    finish: float = 0
    finish_file: float = 0
    finish_merged_file: float = 0
    finish_write: float = 0
    write: float = 0
    write_file: float = 0
    write_byte: float = 0
    copy_file: float = 0
    file_set: float = 0
    open_read: float = 0
    open_read_free: int = 0
    open_get: int = 1
    read_byte: float = 0
    stream_read_byte: float = 0
    look_byte: float = 0
    range_byte: float = 0
    skip_byte: float = 0
    list_key: float = 0
    list_entry: float = 0

    def finishing(self, changed: int, writes: int = 1, *, merged: bool = False) -> float:
        """Tell how long a commit finishes that changed so many files in so many writes, perhaps on top of others."""
        a_file = self.finish_merged_file if merged else self.finish_file
        return self.finish + changed * a_file + max(writes - 1, 0) * self.finish_write

    def writing(self, size: int, files: int = 1) -> float:
        """Tell what a write of so many bytes costs, over S3 one file, over gRPC a stream of them."""
        return self.write + files * self.write_file + size * self.write_byte

    def composing(self, writes: int) -> float:
        """Tell what it costs to look into an open commit that was written to so many times: all of them are merged."""
        return max(writes - self.open_read_free, 0) * self.open_read

    def looking(self, size: int, start: int, length: int) -> float:
        """Tell what a HEAD (`length` 0) or a range costs before the first byte: the whole file is hashed for it."""
        if not length:
            return size * self.look_byte
        return size * self.range_byte + start * self.skip_byte if length < size else 0


FREE = Costs()
PACHYDERM = Costs(
    call=0.01,
    request=0.03,
    finish=0.28,
    finish_file=0.62e-3,
    finish_merged_file=1.6e-3,
    finish_write=0.01,
    write=0.06,
    write_file=0.8e-3,
    write_byte=1 / 34e6,
    copy_file=1e-3,
    file_set=0.015,
    open_read=4.7e-3,
    open_read_free=20,
    open_get=5,
    read_byte=1 / 57e6,
    stream_read_byte=1 / 150e6,
    look_byte=1 / 83e6,
    range_byte=1 / 98e6,
    skip_byte=1 / 197e6,
    list_key=0.4e-3,
    list_entry=0.1e-3,
)
PRESETS = {"none": FREE, "pachyderm": PACHYDERM}


class Meter:
    """Makes clients wait for what they cost."""

    def __init__(self, costs: Costs = FREE) -> None:
        self.costs = costs
        self._desk = asyncio.Lock()

    async def work(self, seconds: float) -> None:
        """Let the server work for so long, once it has nothing else to do."""
        if seconds > 0:
            async with self._desk:
                await asyncio.sleep(seconds)

    async def delay(self, seconds: float) -> None:
        """Let one client wait, others meanwhile being served."""
        if seconds > 0:
            await asyncio.sleep(seconds)

    def tab(self) -> "Tab":
        """Open a tab for many small costs."""
        return Tab(self)


class Tab:
    """Adds small costs up and pays them together."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._owed = 0.0

    async def add(self, seconds: float) -> None:
        """Owe some more, and pay if it is enough to be paid."""
        self._owed += seconds
        if self._owed >= MIN_SLEEP:
            await self.pay()

    async def pay(self) -> None:
        """Pay what is owed."""
        owed, self._owed = self._owed, 0.0
        await self._meter.work(owed)
