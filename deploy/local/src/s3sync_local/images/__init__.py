"""The images of the product and of the end-to-end tests, built without a container engine; see `build_images`."""

from s3sync_local.images.build import build_images, ensure_entries
from s3sync_local.images.catalogue import COREDNS, JOB, OPERATOR, PAUSE, STANDIN, TRAINING_OPERATOR

__all__ = [
    "COREDNS",
    "JOB",
    "OPERATOR",
    "PAUSE",
    "STANDIN",
    "TRAINING_OPERATOR",
    "build_images",
    "ensure_entries",
]
