"""Pure: which images there are, and what each is made of."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.paths import GO_MODULES

REPOSITORY = GO_MODULES.parents[2]
"""The root of the checkout; every path of a recipe is relative to it."""
TRAINING_OPERATOR_VERSION = "v1.8.1"
COREDNS_VERSION = "1.14.7"
"""The versions that `deploy/local/go/*/go.mod` pin, which a test compares."""
_OWN = "deploy/local/images"


@dataclass(frozen=True)
class Recipe:
    """How one image is made: its Dockerfile, whether it stands on BASE_IMAGE, and the program it is given, if any."""

    name: str
    reference: str
    dockerfile: str
    on_base: bool = True
    program: str | None = None
    """The file name under which the Dockerfile expects a program that is made outside of the image's build."""
    package: str | None = None
    """The workspace's package that a product's image holds; those get an SBOM and an audit."""

    @property
    def ignorefile(self) -> str:
        """The file that says what of the repository the build may see."""
        return f"{self.dockerfile}.dockerignore"


def version(root: Path = REPOSITORY) -> str:
    """Return the project's version, from the workspace's pyproject.toml."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


_VERSION = version()
OPERATOR = f"pachyderm-s3-sync/operator:{_VERSION}"
JOB = f"pachyderm-s3-sync/job:{_VERSION}"
STANDIN = f"pachyderm-s3-sync/standin:{_VERSION}"
TRAINING_OPERATOR = f"kubeflow/training-operator:{TRAINING_OPERATOR_VERSION}"
COREDNS = f"coredns/coredns:{COREDNS_VERSION}"
PAUSE = "pachyderm-s3-sync/pause:local"

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("pause", PAUSE, f"{_OWN}/pause/Dockerfile", on_base=False, program="catatonit"),
        Recipe(
            "training-operator",
            TRAINING_OPERATOR,
            f"{_OWN}/training-operator/Dockerfile",
            on_base=False,
            program="manager",
        ),
        Recipe("coredns", COREDNS, f"{_OWN}/coredns/Dockerfile", on_base=False, program="coredns"),
        Recipe("operator", OPERATOR, "operator/Dockerfile", package="s3sync-operator"),
        Recipe("standin", STANDIN, f"{_OWN}/standin/Dockerfile"),
        Recipe("job", JOB, "job_image/Dockerfile", package="s3sync-job"),
    )
}
"""Every image by its short name, in the order in which they are built."""
