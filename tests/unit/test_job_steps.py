"""How long each step took: also the one in which a run was ended."""

import pytest

from s3sync_job.steps import Step, Steps


def after_start(steps: Steps) -> list[Step]:
    return [step for step in steps.snapshot() if step is not Step.START]


def test_a_step_that_is_still_running_is_in_the_report_of_a_run_that_is_ended_in_it() -> None:
    steps = Steps()
    with steps.timed(Step.PLAN):
        pass
    with steps.timed(Step.COPY):
        first = steps.snapshot()
        assert after_start(steps) == [Step.PLAN, Step.COPY]
        assert steps.snapshot()[Step.COPY] >= first[Step.COPY] >= 0
    assert after_start(steps) == [Step.PLAN, Step.COPY]


def test_a_step_that_fails_counts_and_one_that_comes_again_adds_up() -> None:
    steps = Steps()
    for _ in range(2):
        before = steps.snapshot().get(Step.COPY, 0.0)
        with pytest.raises(OSError, match="full"), steps.timed(Step.COPY):
            raise OSError("full")
        assert steps.snapshot()[Step.COPY] >= before
    assert after_start(steps) == [Step.COPY]
