"""Syncs that admission takes, and such that it refuses, each with what its refusal says."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from s3sync_operator.api import GROUP, KIND, VERSION
from s3sync_operator.rules import PRUNE_IS_ATOMIC, SOURCE_HIDES_NOTHING

NAMESPACE = "admission"
GOOD: dict[str, Any] = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": KIND,
    "metadata": {"name": "books", "namespace": NAMESPACE},
    "spec": {"repo": "r"},
}
SAY = {
    "name": "may hold only letters, digits",
    "endpoint": "must be http://host:port",
    "key": "becomes part of the keys in the repo",
    "elements": "must have no empty, '.' or '..' element",
}
# field, a value that is accepted, one that is refused, what the refusal says
FIELDS: list[tuple[str, Any, Any, str]] = [
    ("repo", "Test_repo-1", "test.repo", SAY["name"]),
    ("repo", "r", "r" * 64, "Too long"),
    ("repo", "r", "", "at least 1 chars long"),
    ("repo", "s3gateway", "_s3gateway_multipart_", "is the repo that Pachyderm's S3 gateway keeps"),
    ("branch", "feature-1", "feature/1", SAY["name"]),
    ("branch", "a" * 31, "a" * 32, "looks like a commit ID"),
    ("branch", "s3sync-main", "s3sync-0123456789abcdef-w0", "the branches that workers stage on"),
    ("branch", "b", "b" * 64, "Too long"),
    ("project", "team_1", "team 1", SAY["name"]),
    ("project", "1-team", "-team", "must start with a letter or a digit"),
    ("project", "p", "p" * 52, "Too long"),
    ("endpoint", "pachd.pachyderm:600", "pachd.pachyderm:0", SAY["endpoint"]),
    ("endpoint", "https://s3.example.com", "s3://example.com", SAY["endpoint"]),
    ("endpoint", "http://[::1]:30600/", "http://host:30600/path", SAY["endpoint"]),
    ("inputPath", "Moby Dick/a,b=c~d", "Chapter [1]", SAY["key"]),
    ("inputPath", "a/b", "bücher", SAY["key"]),
    ("inputPath", "/data/in", "../etc", SAY["elements"]),
    ("inputPath", "a/.b/", "a//b", SAY["elements"]),
    ("inputPath", "/a", "/", "must name a directory below '/'"),
    ("inputPath", "p" * 1024, "p" * 1025, "Too long"),
    ("image", "registry.example.com:5000/team/job:1@sha256:00", "two words", "must be an image reference"),
    ("secretRef", {"name": "s3.keys-1"}, {"name": "S3"}, "must be the name of a Secret"),
    ("secretRef", {"name": "k"}, {}, "Required value"),
    ("pachdAddress", "grpcs://pachd.pachyderm:1650", "pachd.pachyderm", "must be grpc://host:port"),
    ("pachdAddress", "pachd:30650", "https://pachd:443", "must be grpc://host:port"),
    ("publish", "Direct", "Sometimes", 'supported values: "Atomic", "Direct"'),
    ("client", "pfs", "boto3", 'supported values: "file_io", "minio", "pfs"'),
    ("verify", "None", "Maybe", 'supported values: "Full", "Checksum", "None"'),
    ("workers", 256, 257, "should be less than or equal to 256"),
    ("workers", 1, 0, "should be greater than or equal to 1"),
    ("destinationPath", "/", "bücher", SAY["key"]),
    ("destinationPath", "a/b", "a//b", SAY["elements"]),
    ("destinationPath", "a/.s3sync", ".s3sync/a", "must not be the folder .s3sync"),
    ("filter", {"include": ["*.txt", "/images/**"]}, {"include": ["# a comment"]}, "must be one line, a pattern"),
    ("filter", {"exclude": ["a"] * 64}, {"exclude": ["a"] * 65}, "must have at most 64 items"),
    ("prune", {"dryRun": True}, {"maxDeletePercent": 101}, "should be less than or equal to 100"),
    ("onInvalidPath", "Skip", "Ignore", 'supported values: "Fail", "Skip"'),
    ("certSecretRef", {"name": "ca"}, {"name": "CA"}, "must be the name of a Secret"),
    ("insecureSkipVerify", True, "yes", "must be of type boolean"),
    ("source", {"persistentVolumeClaim": {"claimName": "c"}}, {}, "must name exactly one of"),
    ("source", {"volume": {"nfs": {"server": "s", "path": "/"}}}, {"volume": {"nfs": {}, "emptyDir": {}}}, "Too many"),
    ("source", {"configMap": {"name": "c"}}, {"configMap": {"name": 1}}, "must be of type string"),
    ("source", {"secret": {"secretName": "s"}}, {"secret": {"secretName": "s"}, "configMap": {}}, "exactly one of"),
    (
        "source",
        {"hostPath": {"path": "/d"}, "subPath": "a/b..c"},
        {"hostPath": {"path": "/d"}, "subPath": "a/.."},
        "must be a relative path without '..'",
    ),
    ("suspend", True, "yes", "must be of type boolean"),
    ("trigger", {"schedule": "*/5 0-6,22 1 jan-MAR mon"}, {"schedule": "60 * * * *"}, "must be cron's five fields"),
    ("trigger", {"schedule": "@daily"}, {"schedule": "@reboot"}, "must be cron's five fields"),
    ("trigger", {"schedule": "0 0 * * *"}, {"jitter": "5m"}, "Required value"),
    (
        "trigger",
        {"schedule": "@daily", "timeZone": "America/Argentina/Ushuaia"},
        {"schedule": "@daily", "timeZone": "+01:00"},
        "must be an IANA time zone's name",
    ),
    (
        "trigger",
        {"schedule": "@daily", "jitter": "1h30m"},
        {"schedule": "@daily", "jitter": "5 min"},
        "must be hours, minutes and seconds",
    ),
    ("concurrencyPolicy", "Replace", "Allow", 'supported values: "Forbid", "Replace"'),
    ("runPolicy", {"backoffLimit": 0}, {"backoffLimit": -1}, "should be greater than or equal to 0"),
    ("runPolicy", {"activeDeadlineSeconds": 1}, {"activeDeadlineSeconds": 0}, "should be greater than or equal to 1"),
    ("historyLimit", 0, 51, "should be less than or equal to 50"),
    ("deletionPolicy", "DeleteRepo", "Delete", 'supported values: "Retain", "DeleteBranch", "DeleteRepo"'),
    ("runner", "Job", "Pod", 'supported values: "TFJob", "Job"'),
    (
        "podTemplate",
        {"resources": {"limits": {"cpu": 2, "memory": "1.5Gi"}}},
        {"resources": {"limits": {"memory": "1.5 GB"}}},
        "should match",
    ),
    (
        "podTemplate",
        {"tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 60}]},
        {"tolerations": [{"tolerationSeconds": "60"}]},
        "must be of type integer",
    ),
    ("podTemplate", {"serviceAccountName": "data"}, {"serviceAccountName": "Data"}, "must be a name of Kubernetes"),
    ("podTemplate", {"env": [{"name": "A", "value": "1"}]}, {"env": [{"value": "1"}]}, "Required value"),
]
DATA = {"configMap": {"name": "c"}}
# field, a spec that is accepted, one that is refused, what the refusal says
RULES_OF_SEVERAL: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("prune", {"prune": {}, "publish": "Atomic"}, {"prune": {}, "publish": "Direct"}, PRUNE_IS_ATOMIC.message),
    *(
        ("inputPath", spec, {"source": DATA, "inputPath": hidden}, SOURCE_HIDES_NOTHING.message)
        for taken, hidden in (("/data", "/etc/s3sync"), ("tmp/in", "tmp"), ("a", "a:b"))
        # What is refused of a volume is accepted of the image's own directory.
        for spec in ({"source": DATA, "inputPath": taken}, {"inputPath": hidden})
    ),
]
# field, the spec as it was, the spec as it is to be, what the refusal says; nothing where it is accepted
CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("repo", {"repo": "r"}, {"repo": "other"}, "repo cannot change"),
    ("branch", {"repo": "r"}, {"repo": "r", "branch": "dev"}, "branch cannot change"),
    ("project", {"repo": "r", "project": "p"}, {"repo": "r"}, "project cannot change"),
    ("branch", {"repo": "r"}, {"repo": "r", "branch": "master", "project": "default"}, ""),
    ("inputPath", {"repo": "r"}, {"repo": "r", "inputPath": "other", "destinationPath": "there"}, ""),
]


@dataclass(frozen=True)
class Case:
    """An object, and what its refusal says; `said` is None where it is accepted."""

    what: str
    raw: dict[str, Any]
    said: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.what

    @property
    def has_good_frame(self) -> bool:
        """Whether nothing but the spec can be at fault."""
        return self.raw | {"spec": {}} == GOOD | {"spec": {}}


def _spec(**change: Any) -> dict[str, Any]:
    return GOOD | {"spec": GOOD["spec"] | change}


def _metadata(**change: Any) -> dict[str, Any]:
    return GOOD | {"metadata": GOOD["metadata"] | change}


OBJECTS: list[Case] = [
    Case("the good one", GOOD),
    Case("another version", GOOD | {"apiVersion": f"{GROUP}/v1"}, ()),
    Case("another kind", GOOD | {"kind": "PachydermSync"}, ()),
    Case("a field beside spec", GOOD | {"data": {}}, ('unknown field "data"',)),
    Case("no spec", {name: part for name, part in GOOD.items() if name != "spec"}, ("spec: Required value",)),
    Case("a spec that is a list", GOOD | {"spec": []}, ("must be of type object",)),
    Case("no repo", GOOD | {"spec": {"branch": "master"}}, ("spec.repo: Required value",)),
    Case("a field that does not exist", _spec(bucket="b"), ('unknown field "spec.bucket"',)),
    Case("a name with capitals", _metadata(name="Books"), ()),
    Case("a name with a dot", _metadata(name="books.2026")),
    Case("a name that ends in a dot", _metadata(name="books."), ()),
    Case("the longest name", _metadata(name="b" * 253)),
    Case("a name that is too long", _metadata(name="b" * 254), ()),
    Case("a label", _metadata(labels={"app.kubernetes.io/part-of": "books_1.2"})),
    Case("a label with a space", _metadata(labels={"a": "b c"}), ()),
    Case("a label that is too long", _metadata(labels={"a": "b" * 64}), ()),
    Case("a label that is a number", _metadata(labels={"a": 1}), ()),
    Case("a label's key with a space", _metadata(labels={"a b": "c"}), ()),
    Case("an annotation of any text", _metadata(annotations={"a.example/b": "any text: of all sorts\n"})),
    Case("an annotation's key with two slashes", _metadata(annotations={"a/b/c": "d"}), ()),
    Case("a field of metadata that does not exist", _metadata(owner="me"), ('unknown field "metadata.owner"',)),
    Case("a null", _spec(branch=None)),
    Case("a null within", _spec(prune={"dryRun": None})),
    Case("a null that must be there", _spec(repo=None), ()),
    Case("a null in a list", _spec(filter={"include": [None]}), ()),
    Case("a null in a list of objects", _spec(podTemplate={"env": [None]}), ()),
    Case("a number as text", _spec(workers="2"), ()),
    Case("a number with a fraction", _spec(workers=2.5), ()),
]
# What kubectl makes of a text before it sends it.
_TEXT = yaml.safe_dump(GOOD, sort_keys=False)
TEXTS = {
    "yes": f"{_TEXT}  suspend: yes\n",
    "a key twice": f"{_TEXT}  repo: s\n",
    "a date for a name": f"{_TEXT}  branch: 2026-11-24\n",
    "a whole number with a point": f"{_TEXT}  workers: 2.0\n",
    **{case.what: yaml.safe_dump(case.raw) for case in OBJECTS if case.said is None},
}
REFUSED_TEXTS = {case.what: yaml.safe_dump(case.raw) for case in OBJECTS if case.said is not None}


def cases() -> Iterator[Case]:
    """Yield each object once."""
    yield from OBJECTS
    seen: list[Any] = [case.raw for case in OBJECTS]
    of_fields = [(field, {field: good}, {field: bad}, said) for field, good, bad, said in FIELDS]
    for field, accepted, refused, said in [*of_fields, *RULES_OF_SEVERAL]:
        for case in (
            Case(f"{field}: {_short(accepted)}", _spec(**accepted)),
            Case(f"{field}: {_short(refused)}: {said}", _spec(**refused), (f"spec.{field}", said)),
        ):
            if case.raw not in seen:
                seen.append(case.raw)
                yield case


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}… ({len(text)})"
