"""Each rule of the definition on the real API server: one object accepted, one refused by the name of its field."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from s3sync_local.cluster import LocalCluster
from s3sync_local.errors import KubectlError
from s3sync_operator.api import Spec
from s3sync_operator.crd import PRINTER_COLUMNS, crd
from s3sync_operator.rules import PRUNE_IS_ATOMIC, SOURCE_HIDES_NOTHING
from tests.support.objects import sync_object

NAMESPACE = "crd-rules"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def api(installed: LocalCluster) -> Iterator[LocalCluster]:
    installed.create_namespace(NAMESPACE)
    yield installed
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def manifest(spec: dict[str, Any], name: str | None = None) -> str:
    raw = sync_object(name or f"rule-{next(_numbers)}")
    raw["metadata"] = {"name": raw["metadata"]["name"], "namespace": NAMESPACE}
    del raw["status"]
    return yaml.safe_dump(raw | {"spec": spec})


SAY = {
    "name": "may hold only letters, digits",
    "endpoint": "must be http://host:port",
    "key": "becomes part of the keys in the repo",
    "elements": "must have no empty, '.' or '..' element",
}
# field, a value that is accepted, one that is refused, what the refusal says
CASES = [
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


@pytest.mark.parametrize(("field", "accepted", "refused", "said"), CASES, ids=[f"{c[0]}-{c[3]}" for c in CASES])
def test_a_rule_accepts_and_refuses(api: LocalCluster, field: str, accepted: Any, refused: Any, said: str) -> None:
    api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest({"repo": "r", field: accepted}))
    with pytest.raises(KubectlError) as refusal:
        api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest({"repo": "r", field: refused}))
    assert f"spec.{field}" in str(refusal.value)
    assert said in str(refusal.value)


def test_a_sync_without_a_repo_is_refused(api: LocalCluster) -> None:
    with pytest.raises(KubectlError, match=r"spec.repo: Required value"):
        api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest({"branch": "master"}))


def test_a_field_that_does_not_exist_is_refused(api: LocalCluster) -> None:
    with pytest.raises(KubectlError, match=r'unknown field "spec.bucket"'):
        api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest({"repo": "r", "bucket": "b"}))


IMMUTABLE = [
    ("repo", {"repo": "r"}, {"repo": "other"}),
    ("branch", {"repo": "r"}, {"repo": "r", "branch": "dev"}),
    ("project", {"repo": "r", "project": "p"}, {"repo": "r"}),
]


@pytest.mark.parametrize(("field", "before", "after"), IMMUTABLE, ids=[case[0] for case in IMMUTABLE])
def test_where_the_data_lies_cannot_change(api: LocalCluster, field: str, before: Any, after: Any) -> None:
    name = f"immutable-{field}"
    api.kubectl("apply", "-f", "-", stdin=manifest(before, name))
    with pytest.raises(KubectlError) as refusal:
        api.kubectl("apply", "-f", "-", stdin=manifest(after, name))
    assert f"spec.{field}: Invalid value" in str(refusal.value)
    assert f"{field} cannot change" in str(refusal.value)


def test_a_default_may_be_written_out_and_other_fields_may_change(api: LocalCluster) -> None:
    api.kubectl("apply", "-f", "-", stdin=manifest({"repo": "r"}, "written-out"))
    long = {"repo": "r", "branch": "master", "project": "default", "inputPath": "other", "destinationPath": "there"}
    api.kubectl("apply", "-f", "-", stdin=manifest(long, "written-out"))


def test_pruning_goes_with_an_atomic_publish_alone(api: LocalCluster) -> None:
    spec: dict[str, Any] = {"repo": "r", "prune": {}}
    api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest(spec | {"publish": "Atomic"}))
    with pytest.raises(KubectlError) as refusal:
        api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest(spec | {"publish": "Direct"}))
    assert "spec.prune: Invalid value" in str(refusal.value)
    assert PRUNE_IS_ATOMIC.message in str(refusal.value)


@pytest.mark.parametrize(("accepted", "refused"), [("/data", "/etc/s3sync"), ("tmp/in", "tmp"), ("a", "a:b")])
def test_a_source_is_not_mounted_over_what_a_container_needs(api: LocalCluster, accepted: str, refused: str) -> None:
    spec: dict[str, Any] = {"repo": "r", "source": {"configMap": {"name": "c"}}}
    api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest(spec | {"inputPath": accepted}))
    api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest({"repo": "r", "inputPath": refused}))
    with pytest.raises(KubectlError) as refusal:
        api.kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest(spec | {"inputPath": refused}))
    assert "spec.inputPath: Invalid value" in str(refusal.value)
    assert SOURCE_HIDES_NOTHING.message in str(refusal.value)


def test_every_rule_of_the_definition_is_among_the_cases() -> None:
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    said = [case[3] for case in CASES] + [f"{case[0]} cannot change" for case in IMMUTABLE]
    said += [PRUNE_IS_ATOMIC.message, SOURCE_HIDES_NOTHING.message]
    untested = [message for message in rule_messages(schema) if not any(part in message for part in said)]
    assert untested == []


def rule_messages(schema: dict[str, Any]) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule["message"]
    parts = [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]
    for part in parts:
        yield from rule_messages(part)


def test_a_new_sync_is_not_current_before_the_operator_has_seen_it(api: LocalCluster) -> None:
    api.kubectl("apply", "-f", "-", stdin=manifest({"repo": "r"}, "unseen"))
    raw = json.loads(api.kubectl("get", "pachydermsyncs", "unseen", "-n", NAMESPACE, "-o", "json"))
    assert raw["status"] == {"observedGeneration": -1}


def test_the_stored_spec_is_what_was_applied_with_no_default_added(api: LocalCluster) -> None:
    api.kubectl("apply", "-f", "-", stdin=manifest({"repo": "r"}, "no-defaults"))
    raw = json.loads(api.kubectl("get", "ps3", "no-defaults", "-n", NAMESPACE, "-o", "json"))
    assert raw["spec"] == {"repo": "r"}


@pytest.mark.parametrize("name", ["pachydermsyncs", "pachyderms3sync", "ps3"])
def test_kubectl_knows_the_kind_by_its_names(api: LocalCluster, name: str) -> None:
    assert "error" not in api.kubectl("get", name, "-n", NAMESPACE)


def test_kubectl_get_shows_the_columns(api: LocalCluster) -> None:
    api.kubectl("apply", "-f", "-", stdin=manifest({"repo": "r"}, "columns"))
    heading = api.kubectl("get", "ps3", "-n", NAMESPACE).splitlines()[0].split()
    wide = api.kubectl("get", "ps3", "-n", NAMESPACE, "-o", "wide").splitlines()[0].split()
    assert heading == ["NAME", "REPO", "BRANCH", "READY", "STATUS", "FILES", "AGE"]
    assert wide == ["NAME", *(column[0].upper() for column in PRINTER_COLUMNS)]


@pytest.mark.parametrize("field", [str(field.alias) for field in Spec.model_fields.values()])
def test_kubectl_explains_each_field(api: LocalCluster, field: str) -> None:
    shown = api.kubectl("explain", f"pachydermsyncs.spec.{field}")
    assert "DESCRIPTION:" in shown
    assert "<empty>" not in shown
