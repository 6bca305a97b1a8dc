"""Check the locked dependencies against the published vulnerabilities, as far as their data can be reached."""

import subprocess
import sys
from enum import StrEnum
from pathlib import Path

from s3sync_local.errors import ImageError
from s3sync_local.images.catalogue import REPOSITORY

AUDIT_SECONDS = 180
UNREACHABLE = ("error sending request", "Request failed", "HTTP status", "dns error", "timed out")
"""What uv says where the service did not answer, in contrast to all that is wrong here."""


class Verdict(StrEnum):
    """What an audit found out; where the data was not reached nothing was, which is neither good nor bad."""

    CLEAN = "clean"
    VULNERABLE = "vulnerable"
    NOT_REACHED = "not reached"


def audit(service_url: str | None = None, root: Path = REPOSITORY) -> tuple[Verdict, str]:
    """Ask OSV, or the service of that kind that is named, about every locked package; return the verdict and the text.

    Raises ImageError where uv cannot read the lock or ends in another way that it should not.
    """
    flags = ["--service-url", service_url] if service_url else []
    done = subprocess.run(
        [_uv(), "audit", "--frozen", "--preview-features", "audit", *flags],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=AUDIT_SECONDS,
        check=False,
    )
    return judge(done.returncode, done.stdout, done.stderr)


def judge(code: int, output: str, errors: str) -> tuple[Verdict, str]:
    """Return the verdict of uv's exit code (0 clean, 1 vulnerable, 2 failed) and what there is to say."""
    if code == 0:
        return Verdict.CLEAN, "no known vulnerability in the locked dependencies"
    if code == 1 and output:
        return Verdict.VULNERABLE, output.strip()
    if any(words in errors for words in UNREACHABLE):
        cause = [line.strip() for line in errors.splitlines() if line.strip()][-1].removeprefix("cause: ")
        return Verdict.NOT_REACHED, f"not audited: the vulnerability data cannot be reached ({cause})"
    raise ImageError(f"uv audit failed with exit code {code}: {errors.strip()}")


def _uv() -> str:
    """Return the path of the pinned uv, which its bootstrap fetches where it is not there yet."""
    done = subprocess.run(
        [sys.executable, REPOSITORY / "deploy/local/bootstrap_uv.py"],
        capture_output=True,
        text=True,
        timeout=AUDIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ImageError(done.stderr.strip())
    return done.stdout.strip()
