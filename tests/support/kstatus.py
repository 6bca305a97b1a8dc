"""kstatus' rules for a custom resource, by which Flux, kpt, Config Sync and others tell how an object stands.

They are those of sigs.k8s.io/cli-utils, pkg/kstatus/status, and of fluxcd/cli-utils v1.2.2, in the same order:
checkGenericProperties and checkGeneration in generic.go, then checkReadyCondition in status.go.
"""

from collections.abc import Mapping
from typing import Any, Literal

Verdict = Literal["InProgress", "Current", "Failed", "Terminating"]
Raw = Mapping[str, Any]


def kstatus(raw: Raw) -> Verdict:
    """Return how an object stands; one without any of these conditions is Current."""
    if raw["metadata"].get("deletionTimestamp"):
        return "Terminating"
    status = raw.get("status") or {}
    if status.get("observedGeneration", raw["metadata"]["generation"]) != raw["metadata"]["generation"]:
        return "InProgress"
    for condition in status.get("conditions") or ():
        if condition["type"] == "Reconciling" and condition["status"] == "True":
            return "InProgress"
        if condition["type"] == "Stalled" and condition["status"] == "True":
            return "Failed"
    ready = next((item["status"] for item in status.get("conditions") or () if item["type"] == "Ready"), "True")
    return "Current" if ready == "True" else "InProgress"


def breaches(raw: Raw) -> list[str]:
    """Return what of a status misleads those who go by kstatus, by the conventions for its conditions."""
    status = raw.get("status") or {}
    found = status.get("conditions") or ()
    if status.get("observedGeneration") == -1:
        return ["conditions of no generation"] if found else []
    kinds = [condition["type"] for condition in found]
    true = {condition["type"] for condition in found if condition["status"] == "True"}
    generations = {status["observedGeneration"], *(condition["observedGeneration"] for condition in found)}
    rules = {
        "there is one Ready": kinds.count("Ready") == 1,
        "no condition is there twice": len(kinds) == len(set(kinds)),
        "Reconciling and Stalled are never both": not {"Reconciling", "Stalled"} <= set(kinds),
        "all but Ready are there only while True": set(kinds) - {"Ready"} <= true,
        "all speak of the same generation": len(generations) == 1,
        "none is of the future": max(generations) <= raw["metadata"]["generation"],
        "Ready is not True with Reconciling or Stalled": "Ready" not in true or not {"Reconciling", "Stalled"} & true,
    }
    return [rule for rule, kept in rules.items() if not kept]
