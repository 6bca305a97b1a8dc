"""Faults on demand, for tests: rules that match requests and say what goes wrong with them; no I/O."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pachyderm_standin.s3.routes import Route


class Action(StrEnum):
    """What a rule does to a request."""

    STATUS = "status"
    LATENCY = "latency"
    CUT = "cut"
    FLIP = "flip"
    STORE_FLIP = "store-flip"
    DROP_BUCKET = "drop-bucket"
    LOSE_ANSWER = "lose-answer"
    OUTAGE = "outage"
    HOLD = "hold"


LONGEST_SECONDS = 300
"""A request may take 5 minutes in all on the real gateway."""


class FaultsError(ValueError):
    """The rules are not what they should be; the message names the rule and the field."""


def _check_regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Regex = Annotated[str, AfterValidator(_check_regex)]


class FaultRule(BaseModel):
    """One rule. The regular expressions must match the whole method, bucket, key and operation.

    `after` matching requests are let through first, then `times` of them are hit (for ever without it).
    `status` and `code` belong to the action `status`, `seconds` to `latency` and `outage`, `offset` (bytes) to both
    flips, `after_bytes` to `cut` (without it S3 is cut halfway, gRPC before the first byte). `hold` lets a request wait
    until other rules, or none, are put in force.

    A gRPC call has the method `gRPC`, its own name as the operation, `branch.repo.project` as the bucket and a file's
    path as the key; `code` is then a gRPC code's name, else UNAVAILABLE is meant, and `message` the details. Each file
    within a ModifyFile stream is matched on its own as the operation `AddFile`, and each commit that begins to finish
    as `FinishingCommit`, whose `latency` makes it slow.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action
    method: Regex = ".*"
    bucket: Regex = ".*"
    key: Regex = ".*"
    operation: Regex = ".*"
    after: int = Field(default=0, ge=0)
    times: int | None = Field(default=None, ge=1)
    status: int = Field(default=503, ge=400, le=599)
    code: str = "SlowDown"
    message: str = ""
    seconds: float = Field(default=0, ge=0, le=LONGEST_SECONDS)
    offset: int = Field(default=0, ge=0)
    after_bytes: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _latency_takes_time(self) -> Self:
        if self.action in {Action.LATENCY, Action.OUTAGE} and not self.seconds:
            raise ValueError(f"action {self.action} needs seconds greater than 0")
        return self

    def matches(self, method: str, route: Route) -> bool:
        """Tell whether the rule is about this request."""
        pairs = (
            (self.method, method),
            (self.bucket, route.bucket),
            (self.key, route.key),
            (self.operation, route.operation),
        )
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in pairs)


@dataclass(frozen=True, slots=True)
class Effects:
    """What goes wrong with one request."""

    latency: float = 0
    hold: bool = False
    status: FaultRule | None = None
    cut: bool = False
    cut_after: int | None = None
    flip_at: int | None = None
    store_flip_at: int | None = None
    drop_bucket: bool = False
    lose_answer: bool = False
    outage: float = 0

    def cut_limit(self, length: int) -> int:
        """Tell how many bytes of so many get through: half, where the rule does not say."""
        if not self.cut:
            return length
        return length // 2 if self.cut_after is None else min(self.cut_after, length)


NO_EFFECTS = Effects()


class Faults:
    """The rules in force, and how often each has matched."""

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []
        self._matched: list[int] = []
        self._replaced = asyncio.Event()

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        """The rules in force."""
        return tuple(self._rules)

    def replace(self, rules: Iterable[FaultRule]) -> None:
        """Put other rules in force, all counts at zero."""
        self._rules = list(rules)
        self._matched = [0] * len(self._rules)
        self._replaced.set()
        self._replaced = asyncio.Event()

    async def delay(self, effects: Effects) -> None:
        """Let a request wait as long as the effects want it to."""
        if effects.hold:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_SECONDS):
                    await self._replaced.wait()
        if effects.latency:
            await asyncio.sleep(effects.latency)

    def effects(self, method: str, route: Route) -> Effects:
        """Count a request, and tell what goes wrong with it; of two rules with one action the earlier wins."""
        firing: dict[Action, FaultRule] = {}
        for index, rule in enumerate(self._rules):
            if rule.matches(method, route) and self._fires(index, rule):
                firing.setdefault(rule.action, rule)
        return _effects(firing) if firing else NO_EFFECTS

    def _fires(self, index: int, rule: FaultRule) -> bool:
        seen = self._matched[index]
        self._matched[index] += 1
        return seen >= rule.after and (rule.times is None or seen < rule.after + rule.times)


def _effects(firing: dict[Action, FaultRule]) -> Effects:
    latency, flip, store_flip = (firing.get(action) for action in (Action.LATENCY, Action.FLIP, Action.STORE_FLIP))
    cut, outage = firing.get(Action.CUT), firing.get(Action.OUTAGE)
    return Effects(
        latency=latency.seconds if latency else 0,
        hold=Action.HOLD in firing,
        status=firing.get(Action.STATUS),
        cut=cut is not None,
        cut_after=cut.after_bytes if cut else None,
        flip_at=flip.offset if flip else None,
        store_flip_at=store_flip.offset if store_flip else None,
        drop_bucket=Action.DROP_BUCKET in firing,
        lose_answer=Action.LOSE_ANSWER in firing,
        outage=outage.seconds if outage else 0,
    )


_RULES = TypeAdapter(list[FaultRule])


def parse_rules(body: bytes | str) -> list[FaultRule]:
    """Read a JSON list of rules, or raise `FaultsError`."""
    try:
        return _RULES.validate_json(body)
    except ValidationError as error:
        raise FaultsError(explain(error, "rules")) from error


def explain(error: ValidationError, subject: str) -> str:
    """Say in one line which fields are wrong and why."""
    return "; ".join(
        f"{'.'.join([subject, *map(str, problem['loc'])])}: {problem['msg']}" for problem in error.errors()
    )
