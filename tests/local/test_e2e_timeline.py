"""The split of the time from apply to Ready: audit entries in, seconds out."""

from typing import Any

import pytest

from tests.e2e.timeline import IncompleteError, moments, seconds, split, table

STEPS = {"start": 0.2, "plan": 0.1, "probe": 0.1, "load": 1.0, "copy": 0.3, "list": 0.1, "verify": 0.2}


def entry(
    at: str, verb: str, resource: str, name: str, subresource: str | None = None, code: int = 200
) -> dict[str, Any]:
    reference = {"namespace": "ns", "resource": resource, "name": name}
    if subresource:
        reference["subresource"] = subresource
    stamp = f"2026-11-24T12:00:{at}00000Z"
    return {"verb": verb, "objectRef": reference, "stageTimestamp": stamp, "responseStatus": {"code": code}}


LOG = [
    entry("00.5", "create", "pachydermsyncs", "books", code=201),
    entry("00.6", "patch", "pachydermsyncs", "books", "status"),
    entry("00.7", "create", "tfjobs", "books-1", code=409),
    entry("00.8", "create", "tfjobs", "books-1", code=201),
    entry("00.9", "create", "pods", "books-1-worker-0", code=201),
    entry("03.0", "patch", "pods", "books-1-worker-0", "status"),
    entry("04.5", "patch", "pods", "books-1-worker-0", "status"),
    entry("04.6", "update", "tfjobs", "books-1", "status"),
    entry("04.8", "patch", "pachydermsyncs", "books", "status"),
    entry("09.0", "patch", "pachydermsyncs", "others", "status"),
]
ENDED = seconds("2026-11-24T12:00:04Z")


def test_the_parts_add_up_to_the_whole() -> None:
    parts = split(moments(LOG, "ns", "books", "books-1", ENDED), STEPS)
    assert sum(parts.values()) == pytest.approx(4.3)
    assert parts["reconcile"] == pytest.approx(0.3)
    assert parts["image start"] == pytest.approx(1.1)
    assert parts["pod's end → API"] == pytest.approx(0.5)
    assert parts["status"] == pytest.approx(0.3)
    assert "ours (reconcile, start, plan, status): 0.900 s" in table(parts)


def test_a_log_that_lacks_a_request_says_which() -> None:
    with pytest.raises(IncompleteError, match="create of tfjobs/books-1"):
        moments([item for item in LOG if item["objectRef"]["resource"] != "tfjobs"], "ns", "books", "books-1", ENDED)
