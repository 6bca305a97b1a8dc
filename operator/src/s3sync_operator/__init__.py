"""Kubernetes operator that syncs directory trees into Pachyderm through its S3 gateway."""

from s3sync_operator import lean_packages

__version__ = "0.1.0"

# Before any module of this package imports Kubernetes' client.
lean_packages.set_up()
