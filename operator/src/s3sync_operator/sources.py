"""Pure: the volume of spec.source, where it is mounted, and what in it is none of its files."""

from typing import Any

from s3sync_operator.api import Spec
from s3sync_operator.models import plain
from s3sync_operator.pod_fields import Source

VOLUME = "source"
LINKS = "/..*"
"""The kubelet writes some volumes to a folder `..<time>`, to which `..data` links, and to that in turn each file; no
key begins with two dots. Source: Kubernetes, pkg/volume/util/atomic_writer.go."""
WRITTEN_ATOMICALLY = frozenset({"configMap", "secret", "projected", "downwardAPI"})


def input_path(spec: Spec) -> str:
    """Return the directory that the job reads: a source is mounted at the top of the file system, wherever an image's
    own relative paths start."""
    path = spec.effective_input_path
    return f"/{path.strip('/')}" if spec.source else path


def volumes(spec: Spec) -> list[dict[str, Any]]:
    """Return the source as a pod's volume."""
    return [{"name": VOLUME, **volume(spec.source)}] if spec.source else []


def volume(source: Source) -> dict[str, Any]:
    """Return the source as a volume without its name.

    A claim is attached for reading alone, unless its readOnly is false: the kubelet then lets its files be, where it
    would otherwise change their group, each time.
    """
    kinds = plain(source)
    kinds.pop("subPath", None)
    if "volume" in kinds:
        found: dict[str, Any] = kinds["volume"]
        return found
    if "persistentVolumeClaim" in kinds:
        return {"persistentVolumeClaim": kinds["persistentVolumeClaim"] | _read_only(kinds["persistentVolumeClaim"])}
    return kinds


def _read_only(claim: dict[str, Any]) -> dict[str, bool]:
    return {"readOnly": claim.get("readOnly", True)}


def mounts(spec: Spec) -> list[dict[str, Any]]:
    """Return how the job's container mounts the source."""
    if spec.source is None:
        return []
    part = {"subPath": spec.source.sub_path} if spec.source.sub_path else {}
    return [{"name": VOLUME, "mountPath": input_path(spec), "readOnly": True, **part}]


def excluded(spec: Spec) -> list[str]:
    """Return the patterns of what the kubelet has put into the volume besides its files."""
    return [LINKS] if spec.source and WRITTEN_ATOMICALLY & volume(spec.source).keys() else []


def host_path_problem(field: str, found: dict[str, Any], allowed: tuple[str, ...]) -> str | None:
    """Return why a volume must not be mounted: it is of the node, and outside of what the operator's settings allow."""
    if "hostPath" not in found:
        return None
    if not allowed:
        return f"{field}: this operator mounts no directories of nodes; its --allow-host-path can allow some"
    path = str(found["hostPath"].get("path", "/"))
    if ".." not in path.split("/") and any(is_below(path, above) for above in allowed):
        return None
    return f"{field}: '{path}' is not below {' or '.join(allowed)}, as the operator's --allow-host-path has it"


def is_below(path: str, above: str) -> bool:
    """Tell whether a path is another one or below it."""
    return f"{path.rstrip('/')}/".startswith(f"{above.rstrip('/')}/")


def source_problem(spec: Spec, allowed_host_paths: tuple[str, ...]) -> str | None:
    """Return what is wrong with the source that only the operator's settings tell."""
    if spec.source is None:
        return None
    field = "spec.source.hostPath" if spec.source.host_path else "spec.source.volume"
    return host_path_problem(field, volume(spec.source), allowed_host_paths)
