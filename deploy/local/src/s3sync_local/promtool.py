"""Provide promtool, which checks and tests the alert rules, and metrics' names: built from its pinned Go module.

`python -m s3sync_local.promtool` builds it and says where it is.
"""

from pathlib import Path

from s3sync_local.binaries import ensure_modules, show_program
from s3sync_local.gobuild import GoModule, Progress

# What finds targets in two dozen clouds is half of its packages, and none of its checks needs it.
PROMTOOL = GoModule("promtool", {"promtool": "github.com/prometheus/prometheus/cmd/promtool"}, tags="remove_all_sd")


def ensure_promtool(progress: Progress) -> Path:
    """Return the promtool program, built where the cache lacks it; raises MissingToolError and BuildError."""
    return ensure_modules([PROMTOOL], progress)["promtool"]


if __name__ == "__main__":
    show_program(ensure_promtool)
