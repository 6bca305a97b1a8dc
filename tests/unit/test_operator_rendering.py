"""What becomes of a spec in the object that runs its pods: whatever is asked for, and what is refused."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from s3sync_operator.api import admission_complaints, parse_spec
from s3sync_operator.crd import crd
from s3sync_operator.desired import Found, Run, Staging
from s3sync_operator.pod_problems import OWN_VARIABLES, pod_problem
from s3sync_operator.rendering import job_object
from s3sync_operator.runners import JOB, TFJOB, kind_of_object
from s3sync_operator.settings import Settings
from tests.support import objects, yaml_text
from tests.support.schemas import validator
from tests.support.specs import SPECS, broken_specs

RUN = Run(generation=1, attempt=1, digest="d")
QUICKLY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def rendered(**spec: Any) -> dict[str, Any]:
    sync = objects.sync(**spec)
    assert sync.spec, sync.spec_error
    return job_object(sync, sync.spec, RUN, Settings(), Found(staging=Staging("s3sync-0", None)))


def pod(**spec: Any) -> dict[str, Any]:
    job = rendered(**spec)
    found: dict[str, Any] = kind_of_object(job).template(job)["spec"]
    return found


@given(SPECS)
@QUICKLY
def test_any_valid_spec_is_taken_and_rendered_twice_gives_the_same_bytes(spec: dict[str, Any]) -> None:
    assert admission_complaints(spec) == ()
    once, again = (yaml_text.dump(rendered(**spec), sort_keys=False) for _ in range(2))
    assert once == again
    assert parse_spec(spec).digest == parse_spec(spec).digest


@given(broken_specs())
@QUICKLY
def test_what_the_definitions_schema_refuses_the_model_refuses_too(spec: dict[str, Any]) -> None:
    """The schema's rules in CEL are the API server's to judge: see tests/integration/test_crd.py."""
    if not SPEC.is_valid(without_nulls(spec)):
        assert admission_complaints(spec) != ()


def without_nulls(value: Any) -> Any:
    """The API server takes a null for the absence of the field."""
    if isinstance(value, dict):
        return {name: without_nulls(part) for name, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a structural schema as JSON Schema: without its own keywords, and refusing what it does not name."""
    found = {key: value for key, value in schema.items() if not key.startswith("x-") and key != "description"}
    if "properties" in schema:
        found["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        found["additionalProperties"] = False
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            found[part] = closed(schema[part])
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    return found


SPEC = validator(closed(crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]))


# --- Sources. ---


@pytest.mark.parametrize(
    ("volume", "taken"),
    [
        ({"nfs": None}, False),
        ({"nfs": {"server": "s", "path": "/"}, "csi": None}, True),
        ({"nfs": {"server": "s", "path": "/"}, "emptyDir": {}}, False),
    ],
)
def test_a_kind_of_volume_that_is_null_is_none(volume: dict[str, Any], taken: bool) -> None:
    spec = {"repo": "r", "source": {"volume": volume}}
    assert (admission_complaints(spec) == ()) is taken
    assert SPEC.is_valid(without_nulls(spec)) is taken


@pytest.mark.parametrize(("path", "mounted"), [("books", "/books"), ("/in/put/", "/in/put"), (None, "/testdata")])
def test_a_source_is_mounted_read_only_where_the_job_reads(path: str | None, mounted: str) -> None:
    given_path = {"inputPath": path} if path else {}
    container = pod(source={"configMap": {"name": "c"}}, **given_path)["containers"][0]
    (mount,) = [item for item in container["volumeMounts"] if item["name"] == "source"]
    assert mount == {"name": "source", "mountPath": mounted, "readOnly": True}
    assert f"--inputpath={mounted}" in container["args"]


def test_a_source_changes_nothing_of_where_the_files_land() -> None:
    for path in ("books", "/books/", "books/"):
        plain, mounted = (
            parse_spec({"repo": "r", "inputPath": path} | more)
            for more in ({}, {"source": {"secret": {"secretName": "s"}}})
        )
        assert plain.destination == mounted.destination == "s3://master.r/books"


@pytest.mark.parametrize(
    ("source", "left_out"),
    [
        ({"configMap": {"name": "c"}}, True),
        ({"secret": {"secretName": "s"}}, True),
        ({"volume": {"projected": {"sources": []}}}, True),
        ({"volume": {"downwardAPI": {"items": []}}}, True),
        ({"persistentVolumeClaim": {"claimName": "c"}}, False),
        ({"volume": {"nfs": {"server": "s", "path": "/"}}}, False),
    ],
)
def test_the_kubelets_own_links_are_left_out_where_it_makes_them(source: dict[str, Any], left_out: bool) -> None:
    assert ("--exclude=/..*" in pod(source=source)["containers"][0]["args"]) is left_out


@pytest.mark.parametrize(
    ("said", "rendered_as"), [({}, True), ({"readOnly": True}, True), ({"readOnly": False}, False)]
)
def test_a_claim_is_attached_for_reading_unless_it_says_otherwise(said: dict[str, Any], rendered_as: bool) -> None:
    (volume,) = [item for item in pod(source={"persistentVolumeClaim": {"claimName": "c"} | said})["volumes"]
                 if item["name"] == "source"]  # fmt: skip
    assert volume["persistentVolumeClaim"] == {"claimName": "c", "readOnly": rendered_as}


@pytest.mark.parametrize(
    "path", ["tmp", "/tmp/", "/proc/self", "usr/share", "/etc/s3sync", "/opt/venv", "/var", "/a:b"]
)
def test_a_source_is_not_mounted_over_what_the_job_needs(path: str) -> None:
    (complaint,) = admission_complaints({"repo": "r", "inputPath": path, "source": {"configMap": {"name": "c"}}})
    assert str(complaint).startswith("spec.inputPath: is where the source is mounted")
    assert admission_complaints({"repo": "r", "inputPath": path}) == ()


@pytest.mark.parametrize("path", ["tmp/in", "/var/lib/data", "/opt/data", "/mnt", "/home/me", "tmpfiles"])
def test_a_source_is_mounted_anywhere_else(path: str) -> None:
    assert admission_complaints({"repo": "r", "inputPath": path, "source": {"configMap": {"name": "c"}}}) == ()


# --- What only the operator's settings and the job's needs tell. ---


def problem(allowed: tuple[str, ...] = (), **spec: Any) -> str:
    return pod_problem(parse_spec({"repo": "r"} | spec), Settings(allow_host_path=allowed)) or ""


HOST_PATHS = [
    ("/data/in", ("/data",), True),
    ("/data", ("/data/",), True),
    ("/database", ("/data",), False),
    ("/data/../etc", ("/data",), False),
    ("/mnt/a", ("/data", "/mnt"), True),
    ("/anything", ("/",), True),
    ("/data", (), False),
]


@pytest.mark.parametrize(("path", "allowed", "passes"), HOST_PATHS)
def test_a_directory_of_a_node_is_mounted_only_below_what_the_operator_allows(
    path: str, allowed: tuple[str, ...], passes: bool
) -> None:
    ways: list[tuple[str, dict[str, Any]]] = [
        ("spec.source.hostPath", {"source": {"hostPath": {"path": path}}}),
        ("spec.source.volume", {"source": {"volume": {"hostPath": {"path": path}}}}),
        ("spec.podTemplate.volumes", {"podTemplate": {"volumes": [{"name": "v", "hostPath": {"path": path}}]}}),
    ]
    for field, spec in ways:
        said = problem(allowed, **spec)
        assert (said == "") is passes
        assert passes or (said.startswith(f"{field}: ") and "--allow-host-path" in said)


CLASHES: list[tuple[dict[str, Any], str]] = [
    ({"labels": {"app.kubernetes.io/name": "mine"}}, "labels: 'app.kubernetes.io/name'"),
    ({"labels": {"sync.pachyderm.io/sync-uid": "x"}}, "labels: 'sync.pachyderm.io/sync-uid'"),
    ({"labels": {"training.kubeflow.org/job-name": "x"}}, "labels: 'training.kubeflow.org/job-name'"),
    ({"labels": {"batch.kubernetes.io/job-name": "x"}}, "labels: 'batch.kubernetes.io/job-name'"),
    ({"annotations": {"sync.pachyderm.io/attempt": "9"}}, "annotations: 'sync.pachyderm.io/attempt'"),
    ({"volumes": [{"name": "tmp", "emptyDir": {}}]}, "volumes: 'tmp'"),
    ({"volumes": [{"name": "source", "emptyDir": {}}]}, "volumes: 'source'"),
    ({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, "volumeMounts: 'v' is not among"),
    (
        {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/tmp/"}]},
        "volumeMounts: '/tmp/' would hide /tmp",
    ),
    (
        {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/etc"}]},
        "volumeMounts: '/etc' would hide /etc/s3sync/certificates",
    ),
    (
        {"volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/in"}]},
        "volumeMounts: '/in' would hide /in/data",
    ),
    *(({"env": [{"name": name, "value": "x"}]}, f"env: '{name}' is set by the operator") for name in OWN_VARIABLES),
]


@pytest.mark.parametrize(("template", "said"), CLASHES, ids=[said for _, said in CLASHES])
def test_what_is_the_operators_own_is_refused_by_the_name_of_the_field(template: dict[str, Any], said: str) -> None:
    source = {"configMap": {"name": "c"}}
    found = problem(podTemplate=template, source=source, inputPath="/in/data")
    assert found.startswith(f"spec.podTemplate.{said}")


def test_what_is_the_operators_own_is_all_that_it_sets() -> None:
    """A variable that comes later must be among those that a template cannot set."""
    spec: dict[str, Any] = {"secretRef": {"name": "s"}, "certSecretRef": {"name": "c"}, "pachdAddress": "p:1"}
    for runner in ("Job", "TFJob"):
        sync = objects.sync(**spec, runner=runner, workers=2, insecureSkipVerify=True)
        assert sync.spec
        keys = frozenset({"ca.crt", "tls.crt", "tls.key"})
        job = job_object(sync, sync.spec, RUN, Settings(), Found(frozenset({"token"}), keys, Staging("s", None)))
        (container,) = kind_of_object(job).template(job)["spec"]["containers"]
        assert {item["name"] for item in container["env"]} <= set(OWN_VARIABLES)


def test_a_template_of_harmless_things_is_no_problem() -> None:
    template = {
        "labels": {"team": "a", "app.kubernetes.io/version": "1"},
        "annotations": {"sidecar.istio.io/inject": "true"},
        "env": [{"name": "HTTPS_PROXY", "value": "http://p:1"}, {"name": "AWS_MAX_ATTEMPTS", "value": "5"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "volumeMounts": [{"name": "v", "mountPath": "/etc/krb5"}],
    }
    assert problem(podTemplate=template) == ""


# --- Runners. ---


def test_a_job_fails_by_its_worker_and_never_runs_two_pods_of_one() -> None:
    spec = rendered(runner="Job", workers=4)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimitPerIndex"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert "backoffLimit" not in spec, "a limit for all would end the others' work with the first that fails"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_a_worker_of_a_job_is_told_of_how_many_it_is_one() -> None:
    env = {item["name"]: item.get("value") for item in pod(runner="Job", workers=4)["containers"][0]["env"]}
    assert env["S3SYNC_WORKERS"] == "4"
    assert "S3SYNC_WORKERS" not in {item["name"] for item in pod(runner="Job")["containers"][0]["env"]}


def test_both_runners_run_the_same_pod() -> None:
    tfjob, job = pod(runner="TFJob"), pod(runner="Job")
    assert job == tfjob | {"restartPolicy": "Never"}


STATES = [
    (TFJOB, "Failed", "Failed"),
    (TFJOB, "Succeeded", "Succeeded"),
    (TFJOB, "Running", "Active"),
    (JOB, "Failed", "Failed"),
    (JOB, "Complete", "Succeeded"),
    (JOB, "SuccessCriteriaMet", "Active"),
    (JOB, "FailureTarget", "Active"),
]


@pytest.mark.parametrize(("kind", "condition", "state"), STATES)
def test_a_runners_conditions_tell_how_it_stands(kind: Any, condition: str, state: str) -> None:
    raw = {"status": {"conditions": [{"type": condition, "status": "True", "message": "why"}]}}
    assert kind.state(raw) == (state, "why" if state != "Active" else "")


# --- The digest. ---


@pytest.mark.parametrize(
    "nothing",
    [
        {"runner": "TFJob"},
        {"podTemplate": {}},
        {"podTemplate": {"labels": {}, "tolerations": [], "affinity": {}, "securityContext": {}}},
    ],
)
def test_what_asks_for_nothing_does_not_change_what_a_spec_means(nothing: dict[str, Any]) -> None:
    assert parse_spec({"repo": "r"} | nothing).digest == parse_spec({"repo": "r"}).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"runner": "Job"}),
        ({}, {"podTemplate": {"resources": {}}}),
        ({"source": {"configMap": {"name": "a"}}}, {"source": {"configMap": {"name": "b"}}}),
        ({"podTemplate": {"labels": {"a": "b"}}}, {"podTemplate": {"labels": {"a": "c"}}}),
    ],
)
def test_what_renders_otherwise_is_another_meaning(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert parse_spec({"repo": "r"} | one).digest != parse_spec({"repo": "r"} | other).digest
    assert rendered(**one)["spec"] != rendered(**other)["spec"]
