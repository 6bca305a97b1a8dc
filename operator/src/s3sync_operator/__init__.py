"""Kubernetes operator that syncs directory trees into Pachyderm through its S3 gateway."""

__version__ = "0.1.0"
