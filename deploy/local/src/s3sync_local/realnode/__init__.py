"""A real Kubernetes with one real node, in a sandbox: containerd and runc run the pods, from images."""

from s3sync_local.realnode.cluster import OWN_IMAGES, RealCluster
from s3sync_local.realnode.programs import ensure_programs, missing_packages

__all__ = ["OWN_IMAGES", "RealCluster", "ensure_programs", "missing_packages"]
