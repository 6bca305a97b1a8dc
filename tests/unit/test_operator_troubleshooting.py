"""The page of reasons tells of each there is, and what it says follows is what the code makes follow."""

import ast
import json

import pytest

from s3sync_job.outcome import ENDINGS, RETRY_FROM
from s3sync_operator.api import Reason
from s3sync_operator.hints import HINTS
from s3sync_operator.troubleshooting import MEANINGS, Then, page
from tests.support.cluster import ROOT

SCHEMA = json.loads((ROOT / "tests/golden/report/schema.json").read_text())
OF_JOB = set(SCHEMA["properties"]["reason"]["enum"])
RETRIED = {Then.RETRIED, Then.WAITED_THEN_RETRIED, Then.BY_EXIT_CODE}
GIVEN_UP = {Then.STALLED, Then.WAITED_THEN_STALLED, Then.BY_EXIT_CODE}


def test_each_reason_has_a_meaning_and_nothing_else_has() -> None:
    assert set(MEANINGS) == {*Reason, *OF_JOB}


@pytest.mark.parametrize("reason", sorted(MEANINGS))
def test_the_page_has_a_section_of_each_reason_with_what_the_command_line_says_of_it(reason: str) -> None:
    section = page().split(f"\n## {reason}\n")[1].split("\n## ")[0]
    assert section.rstrip().endswith(HINTS[reason])


@pytest.mark.parametrize("reason", sorted(OF_JOB))
def test_what_follows_a_jobs_failure_is_what_its_exit_code_says(reason: str) -> None:
    code = next(ending.code for known, ending in ENDINGS.items() if known == reason)
    wanted = {Then.NOTHING} if code == 0 else RETRIED if code >= RETRY_FROM else GIVEN_UP
    assert MEANINGS[reason].then in wanted


def raised() -> list[tuple[str, str]]:
    """Return reason and kind of each error and outcome that the operator's code makes of a fixed reason."""
    found = []
    for path in (ROOT / "operator/src/s3sync_operator").glob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            words = [node.value for node in call.args[:1] if isinstance(node, ast.Constant)]
            kind = words[0] if name == "Outcome" and words else name.removesuffix("SyncError")
            found += [(reason, str(kind)) for node in call.args[:2] if (reason := _reason(node))]
    return found


def _reason(node: ast.expr) -> str | None:
    of_reasons = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    return Reason[node.attr] if of_reasons and isinstance(node, ast.Attribute) else None


def test_the_code_names_reasons_where_it_makes_errors_and_outcomes() -> None:
    assert len(raised()) > 30


@pytest.mark.parametrize(("reason", "kind"), sorted(set(raised())))
def test_what_the_page_says_follows_is_what_the_code_makes_follow(reason: str, kind: str) -> None:
    allowed = {
        "Temporary": RETRIED | {Then.WHILE_DELETING},
        "Retryable": RETRIED,
        "Permanent": GIVEN_UP,
        "Succeeded": {Then.NOTHING},
    }
    # The page says in words that these two can be final as well.
    if kind in allowed and (reason, kind) not in {(word, "Permanent") for word in ("PachdUnreachable", "CommitFailed")}:
        assert MEANINGS[reason].then in allowed[kind]
