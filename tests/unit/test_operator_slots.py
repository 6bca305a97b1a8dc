"""One server that hangs takes no more than its own slots, and an ended pod's log is read once."""

import asyncio
import json
from pathlib import Path

import pytest

from s3sync_operator import slots
from s3sync_operator.api import Reason
from s3sync_operator.ended_logs import EndedLogs
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.slots import Slots

REPORT = json.dumps(json.loads((Path(__file__).parent.parent / "golden/report/verified.json").read_text()))


async def hold(taken: Slots, address: str, until: asyncio.Event) -> None:
    async with taken.at(address):
        await until.wait()


async def test_calls_to_a_server_that_hangs_leave_those_to_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "PATIENCE_SECONDS", 0.05)
    taken, until = Slots(2, Reason.PACHD_UNREACHABLE), asyncio.Event()
    holders = [asyncio.create_task(hold(taken, "hangs", until)) for _ in range(2)]
    await asyncio.sleep(0)
    async with taken.at("answers"):
        pass
    with pytest.raises(TemporarySyncError, match="2 calls to it are under way") as refused:
        async with taken.at("hangs"):
            pass
    assert refused.value.reason == Reason.PACHD_UNREACHABLE
    until.set()
    await asyncio.gather(*holders)
    async with taken.at("hangs"):
        pass


class Logs:
    def __init__(self, text: str) -> None:
        self.text = text
        self.read: list[str] = []

    async def pod_log(self, namespace: str, pod: str) -> str:
        self.read.append(pod)
        return self.text


async def test_a_log_with_the_report_is_read_once() -> None:
    logs = Logs(f"copying\n{REPORT}\n")
    ended = EndedLogs(logs)
    for _ in range(3):
        assert await ended.read("kubeflow", [("a", "uid-a"), ("b", "uid-b")]) == {"a": logs.text, "b": logs.text}
    assert logs.read == ["a", "b"]


@pytest.mark.parametrize("text", ["", "no report yet", f"{'x' * 70_000}\n{REPORT}"])
async def test_a_log_that_may_go_on_or_is_very_long_is_read_again(text: str) -> None:
    logs = Logs(text)
    ended = EndedLogs(logs)
    for _ in range(2):
        assert await ended.read("kubeflow", [("a", "uid-a")]) == {"a": text}
    assert logs.read == ["a", "a"]
