"""Provide Helm, which renders and checks the chart in the tests: built from its pinned Go module.

`python -m s3sync_local.helm` builds it and says where it is.
"""

from pathlib import Path

from s3sync_local.binaries import ensure_modules, show_program
from s3sync_local.gobuild import GoModule, Progress

HELM_VERSION = "4.3.1"
HELM = GoModule(
    "helm",
    {"helm": "helm.sh/helm/v4/cmd/helm"},
    f"-s -w -X helm.sh/helm/v4/internal/version.version=v{HELM_VERSION}",
)


def ensure_helm(progress: Progress) -> Path:
    """Return the helm program, built where the cache lacks it; raises MissingToolError and BuildError."""
    return ensure_modules([HELM], progress)["helm"]


if __name__ == "__main__":
    show_program(ensure_helm)
