"""The images of the product and of the end-to-end tests, built without a container engine; see `build_images`."""

from s3sync_local.images.build import build_images, ensure_entries
from s3sync_local.images.catalogue import COREDNS, JOB, OPERATOR, PAUSE, RECIPES, STANDIN, TRAINING_OPERATOR
from s3sync_local.images.commands import missing_packages

__all__ = [
    "COREDNS",
    "JOB",
    "OPERATOR",
    "PAUSE",
    "RECIPES",
    "STANDIN",
    "TRAINING_OPERATOR",
    "build_images",
    "ensure_entries",
    "missing_packages",
]
