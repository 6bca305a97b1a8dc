"""What a sandbox may need that only a network gives, each by its name: made before the sandbox begins."""

from collections.abc import Collection, Sequence

from s3sync_local.binaries import MODULES, ensure_modules
from s3sync_local.clients import GO_CLIENTS, PYTHON_CLIENTS, ensure_clients
from s3sync_local.debian_packages import ensure_packages
from s3sync_local.errors import SandboxError
from s3sync_local.gobuild import GoModule, Progress
from s3sync_local.helm import HELM
from s3sync_local.images import RECIPES, build_images
from s3sync_local.images import missing_packages as missing_packages_of_images
from s3sync_local.promtool import PROMTOOL
from s3sync_local.realnode import OWN_IMAGES
from s3sync_local.realnode import missing_packages as missing_packages_of_node

PACKAGES = "packages"
"""Debian's packages that a real node runs and images are built with."""
GO_MODULES = (*MODULES, HELM, PROMTOOL, *GO_CLIENTS.values())
GO_NEEDS = tuple(dict.fromkeys(module.folder for module in GO_MODULES))
IMAGE_NEEDS = {f"{name}-image": name for name in RECIPES}
NODE = "node"
"""Stands for all that a cluster with a real node needs itself."""
NODE_NEEDS = (PACKAGES, "kubernetes", "training-operator", *(f"{name}-image" for name in OWN_IMAGES))
NEEDS = (NODE, PACKAGES, *GO_NEEDS, *PYTHON_CLIENTS, *IMAGE_NEEDS)


def provide(needs: Collection[str], progress: Progress) -> None:
    """Make what is missing of the needs; raises SandboxError for a name that is none, else as each maker does."""
    if unknown := sorted(set(needs) - set(NEEDS)):
        raise SandboxError(
            f"nothing that a sandbox may need is named {', '.join(unknown)}; there are {', '.join(NEEDS)}"
        )
    needs = {*needs, *(NODE_NEEDS if NODE in needs else ())}
    images = [name for need, name in IMAGE_NEEDS.items() if need in needs]
    if PACKAGES in needs:
        missing = sorted({*missing_packages_of_node(), *missing_packages_of_images()})
        ensure_packages(missing, progress, "a sandbox with a real node")
    # All at once, for what they share is compiled once.
    ensure_modules(_go_modules(needs, images), progress)
    ensure_clients([name for name in PYTHON_CLIENTS if name in needs], progress)
    if images:
        build_images(progress, images)


def _go_modules(needs: Collection[str], images: Collection[str]) -> Sequence[GoModule]:
    return [module for module in GO_MODULES if module.folder in needs or module.folder in images]
