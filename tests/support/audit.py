"""What a user asked of the API server, by its audit log."""

import json
from collections.abc import Iterator
from typing import Any

from s3sync_local.cluster import LocalCluster


def mark(cluster: LocalCluster) -> int:
    """Return a place in the audit log: entries() from there on are later than now."""
    return cluster.audit_log.stat().st_size


def entries(cluster: LocalCluster, user: str, since: int = 0) -> Iterator[dict[str, Any]]:
    """Yield a user's answered requests, as audit.k8s.io/v1 Events."""
    with cluster.audit_log.open("rb") as log:
        log.seek(since)
        lines = log.read().splitlines(keepends=True)
    # The last line may be half written, and who is not let in has no name.
    parsed = (json.loads(line) for line in lines if line.endswith(b"\n"))
    yield from (entry for entry in parsed if entry["user"].get("username") == user)


def refused(cluster: LocalCluster, user: str, since: int = 0) -> list[str]:
    """Return what a user was refused, as `verb path`."""
    return [
        f"{entry['verb']} {entry['requestURI'].split('?')[0]}"
        for entry in entries(cluster, user, since)
        if entry.get("responseStatus", {}).get("code") == 403
    ]


Access = tuple[str, str, str]
"""A verb, a group and a resource with its subresource, as RBAC's rules name them."""


def used(cluster: LocalCluster, user: str, since: int = 0) -> set[Access]:
    """Return what a user did to resources; what is no resource, such as discovery, anybody may see."""
    return {
        (entry["verb"], ref.get("apiGroup", ""), "/".join(filter(None, (ref["resource"], ref.get("subresource")))))
        for entry in entries(cluster, user, since)
        if (ref := entry.get("objectRef")) and "resource" in ref
    }


def granted(rules: list[dict[str, Any]]) -> set[Access]:
    """Return all that the rules of a role allow."""
    return {
        (verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
