"""Specs for tests by property: valid ones, and ones that are broken in one place."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Raw = dict[str, Any]
Place = tuple[str | int, ...]


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Raw]:
    return st.fixed_dictionaries({}, optional=fields)


def _list(*examples: Raw) -> st.SearchStrategy[list[Raw]]:
    return st.lists(st.sampled_from(examples), max_size=2)


ELEMENTS = st.text("abcXYZ019 -_.,=~", min_size=1, max_size=8).filter(lambda text: text not in (".", ".."))
PATHS = st.lists(ELEMENTS, min_size=1, max_size=3).map("/".join)
NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
MAPS = st.dictionaries(st.sampled_from(("team", "example.org/zone", "disk")), st.sampled_from(("a", "b-1")), max_size=2)
QUANTITIES = st.sampled_from((1, "500m", "1.5Gi", "0.5", "2e3"))
AMOUNTS = st.dictionaries(st.sampled_from(("cpu", "memory", "example.org/gpu")), QUANTITIES, max_size=2)
KINDS: tuple[Raw, ...] = (
    {"persistentVolumeClaim": {"claimName": "c", "readOnly": False}},
    {"configMap": {"name": "c", "optional": True, "items": [{"key": "k", "path": "a/b", "mode": 256}]}},
    {"secret": {"secretName": "s", "defaultMode": 256}},
    {"hostPath": {"path": "/srv", "type": "Directory"}},
    {"volume": {"nfs": {"server": "s", "path": "/", "readOnly": True}}},
    {"volume": {"csi": {"driver": "d", "volumeAttributes": {"a": "b"}}}},
    {"volume": {"projected": {"sources": [{"secret": {"name": "s"}}, {"downwardAPI": {"items": []}}]}}},
)
SOURCES = st.tuples(st.sampled_from(KINDS), _some(subPath=PATHS)).map(lambda parts: parts[0] | parts[1])
TEMPLATES = _some(
    labels=MAPS,
    annotations=MAPS,
    serviceAccountName=NAMES,
    imagePullSecrets=_list({"name": "registry"}),
    resources=_some(requests=AMOUNTS, limits=AMOUNTS),
    nodeSelector=MAPS,
    tolerations=_list({"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 5}),
    affinity=st.sampled_from(
        ({}, {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}
        ]}})
    ),
    topologySpreadConstraints=_list({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}),
    priorityClassName=NAMES,
    runtimeClassName=NAMES,
    securityContext=_some(
        runAsUser=st.integers(0, 2**31 - 1),
        supplementalGroups=st.lists(st.integers(1, 9), max_size=2),
        sysctls=_list({"name": "a", "value": "1"}),
    ),
    containerSecurityContext=_some(capabilities=_some(add=st.just(["A"])), privileged=st.booleans()),
    env=_list(
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
    ),
    volumes=_list({"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "w", "configMap": {"name": "c"}}),
    volumeMounts=_list({"name": "v", "mountPath": "/v", "readOnly": True}),
)  # fmt: skip
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "branch": NAMES,
    "project": NAMES,
    "endpoint": st.sampled_from(("pachd:600", "http://[::1]:30600", "https://s3.example.com/")),
    "inputPath": PATHS.map(lambda path: f"data/{path}"),
    "secretRef": st.fixed_dictionaries({"name": NAMES}),
    "image": st.sampled_from(("job", "registry.example.com:5000/team/job:1", "job@sha256:00")),
    "pachdAddress": st.sampled_from(("pachd:650", "grpcs://pachd.example.com:443")),
    "publish": st.just("Atomic"),
    "client": st.sampled_from(("file_io", "minio", "pfs")),
    "verify": st.sampled_from(("Full", "Checksum", "None")),
    "workers": st.integers(1, 256),
    "destinationPath": PATHS | st.just("/"),
    "filter": _some(include=st.lists(st.just("*.txt"), max_size=2), exclude=st.lists(st.just("/a/"), max_size=2)),
    "prune": _some(dryRun=st.booleans(), maxDeletePercent=st.integers(0, 100)),
    "onInvalidPath": st.sampled_from(("Fail", "Skip")),
    "certSecretRef": st.fixed_dictionaries({"name": NAMES}),
    "insecureSkipVerify": st.booleans(),
    "source": SOURCES,
    "suspend": st.booleans(),
    "trigger": st.fixed_dictionaries(
        {"schedule": st.sampled_from(("0 3 * * *", "*/5 1-5 1 jan MON", "@daily"))},
        optional={"timeZone": st.sampled_from(("UTC", "Europe/Berlin")), "jitter": st.sampled_from(("90s", "1h30m"))},
    ),
    "concurrencyPolicy": st.sampled_from(("Forbid", "Replace")),
    "runPolicy": _some(
        backoffLimit=st.integers(0, 1000),
        activeDeadlineSeconds=st.integers(1, 10**6),
        ttlSecondsAfterFinished=st.integers(0, 10**6),
    ),
    "historyLimit": st.integers(0, 50),
    "deletionPolicy": st.sampled_from(("Retain", "DeleteBranch", "DeleteRepo")),
    "runner": st.sampled_from(("TFJob", "Job")),
    "podTemplate": TEMPLATES,
}
SPECS: st.SearchStrategy[Raw] = st.fixed_dictionaries({"repo": NAMES}, optional=FIELDS)
"""Specs that admission takes, of all fields in all combinations."""

JUNK = st.sampled_from(
    (None, "", "x", "x" * 1100, "yes", "../..", "/", "a//b", 0, -1, 257, 2**40, 1.5, True, [], ["a"], {}, {"a": "b"})
)


def places(value: object, above: Place = ()) -> Iterator[Place]:
    """Yield the place of each value within a spec, but that of the spec itself."""
    parts: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield (*above, name)
        yield from places(part, (*above, name))


@st.composite
def broken_specs(draw: st.DrawFn) -> Raw:
    """Return a spec with one value replaced, left out, or called by another name; that may be valid all the same."""
    spec = copy.deepcopy(draw(SPECS))
    *above, last = draw(st.sampled_from(list(places(spec))))
    parent: Any = spec
    for name in above:
        parent = parent[name]
    match draw(st.sampled_from(("replace", "remove", "add", "rename"))):
        case "replace":
            parent[last] = draw(JUNK)
        case "remove":
            del parent[last]
        case "add" if isinstance(parent, dict):
            parent["unheardOf"] = draw(JUNK)
        case "rename" if isinstance(parent, dict):
            parent[_snake(str(last))] = parent.pop(last)
    return spec


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
