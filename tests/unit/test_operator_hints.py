"""What to do about each reason: none is without."""

import json

import pytest

from s3sync_operator.api import Reason
from s3sync_operator.hints import HINTS, hint
from tests.support.cluster import ROOT

SCHEMA = json.loads((ROOT / "tests/golden/report/schema.json").read_text())
REASONS = sorted({*Reason, *SCHEMA["properties"]["reason"]["enum"]})


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_says_what_to_do(reason: str) -> None:
    assert HINTS[reason].endswith((".", "…", "--force"))
    assert len(HINTS[reason]) > 30


def test_no_hint_is_of_a_reason_that_does_not_exist() -> None:
    assert set(HINTS) <= set(REASONS)


def test_a_hint_speaks_of_the_sync_at_hand() -> None:
    assert hint("Suspended", "books", "kubeflow").startswith("Let it run: s3sync resume books -n kubeflow")


def test_a_reason_of_another_image_leads_to_its_log() -> None:
    assert "s3sync logs books -n kubeflow" in hint("OutOfTea", "books", "kubeflow")
