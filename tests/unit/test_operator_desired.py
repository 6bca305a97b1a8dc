import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from s3sync_operator.access import Credentials, credential_problem, credentials_of, endpoint_url
from s3sync_operator.api import parse_spec, parse_sync
from s3sync_operator.desired import Found, Run, Staging, run_name
from s3sync_operator.rendering import job_object
from s3sync_operator.settings import Settings
from tests.support import objects

RUN = Run(generation=1, attempt=1, digest="d")
DNS_1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def container(secret_keys: frozenset[str] = frozenset(), **spec: Any) -> dict[str, Any]:
    sync = objects.sync(**spec)
    assert sync.spec
    job = job_object(sync, sync.spec, RUN, Settings(), Found(secret_keys))
    template = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]
    found: dict[str, Any] = template["spec"]["containers"][0]
    return found


@given(st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", fullmatch=True))
def test_any_name_of_a_sync_gives_a_tfjob_name_whose_pods_and_services_have_valid_names(name: str) -> None:
    found = run_name(objects.sync(name), RUN)
    assert DNS_1035.fullmatch(found)
    assert len(f"{found}-worker-9999") <= 63


def test_each_attempt_generation_and_spec_has_its_own_name() -> None:
    runs = [RUN, Run(1, 2, "d"), Run(2, 1, "d"), Run(1, 1, "e")]
    assert len({run_name(objects.sync(), run) for run in runs}) == len(runs)


def test_long_names_that_begin_alike_stay_apart_by_the_uid() -> None:
    raw = objects.sync_object("a" * 200)
    other = {**raw, "metadata": {**raw["metadata"], "uid": "another"}}
    assert run_name(parse_sync(raw), RUN) != run_name(parse_sync(other), RUN)


def test_rendering_twice_gives_the_same_bytes() -> None:
    sync = objects.sync(inputPath="/data", secretRef={"name": "s"})
    assert sync.spec
    once, again = (yaml.safe_dump(job_object(sync, sync.spec, RUN, Settings(), Found())) for _ in range(2))
    assert once == again


def test_a_bare_host_and_port_means_http() -> None:
    assert endpoint_url(parse_spec({"repo": "r", "endpoint": "pachd:600"}), Settings()) == "http://pachd:600"
    assert endpoint_url(parse_spec({"repo": "r", "endpoint": "https://pachd/"}), Settings()) == "https://pachd"
    assert endpoint_url(parse_spec({"repo": "r"}), Settings(default_endpoint="gw:80")) == "http://gw:80"


def test_a_path_that_starts_with_a_dash_is_not_taken_for_a_flag() -> None:
    assert container(inputPath="-rf")["args"] == ["--bucket=master.testrepo", "--inputpath=-rf"]


def test_credentials_reach_the_pod_as_references_only() -> None:
    env = container(frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}), secretRef={"name": "keys"})["env"]
    assert {item["name"]: item.get("valueFrom") for item in env if item["name"].startswith("AWS")} == {
        "AWS_ACCESS_KEY_ID": {"secretKeyRef": {"name": "keys", "key": "AWS_ACCESS_KEY_ID"}},
        "AWS_SECRET_ACCESS_KEY": {"secretKeyRef": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}},
    }


def test_a_token_serves_as_both_keys() -> None:
    env = container(frozenset({"token"}), secretRef={"name": "keys"})["env"]
    keys = [item["valueFrom"]["secretKeyRef"]["key"] for item in env if item["name"].startswith("AWS")]
    assert keys == ["token", "token"]


def test_a_secret_gives_credentials_by_token_or_by_both_keys() -> None:
    assert credentials_of({"token": "t"}) == Credentials("t", "t")
    assert credentials_of({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}) == Credentials("a", "s")
    assert credentials_of({"AWS_ACCESS_KEY_ID": "a"}) is None
    assert credentials_of({"token": ""}) is None


@pytest.mark.parametrize("value", ["token\n", " token", "to ken", "tok\u00e9n"])
def test_a_key_that_cannot_be_sent_is_named_and_its_value_is_not(value: str) -> None:
    problem = credential_problem({"token": value}) or ""
    assert problem.startswith("'token' has white space")
    assert value not in problem
    assert credential_problem({"token": "token", "unrelated": "a b"}) is None


def test_credentials_do_not_show_themselves() -> None:
    assert "hunter2" not in repr(Credentials("hunter2", "hunter2"))


def test_the_labels_of_the_sync_are_not_copied_to_its_children() -> None:
    raw = objects.sync_object()
    raw["metadata"]["labels"] = {"app.kubernetes.io/instance": "argo-app"}
    sync = parse_sync(raw)
    assert sync.spec
    assert "argo-app" not in yaml.safe_dump(job_object(sync, sync.spec, RUN, Settings(), Found()))


def test_a_job_asks_for_what_tensorflow_needs_and_has_no_limits() -> None:
    assert container()["resources"] == {"requests": {"cpu": "100m", "memory": "600Mi"}}


def test_a_job_asks_for_nothing_where_the_settings_say_so() -> None:
    sync = objects.sync()
    assert sync.spec
    job = job_object(sync, sync.spec, RUN, Settings(job_cpu_request="", job_memory_request="1Gi"), Found())
    (found,) = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    assert found["resources"] == {"requests": {"memory": "1Gi"}}


EVERYTHING: dict[str, Any] = {
    "pachdAddress": "grpcs://pachd:30653",
    "client": "pfs",
    "verify": "Checksum",
    "workers": 3,
    "destinationPath": "/",
    "filter": {"include": ["*.txt", "-x"], "exclude": ["/tmp/"]},
    "prune": {"maxDeletePercent": 10},
    "onInvalidPath": "Skip",
    "certSecretRef": {"name": "ca"},
    "insecureSkipVerify": True,
}


def rendered(found: Found, **spec: Any) -> dict[str, Any]:
    sync = objects.sync(**spec)
    assert sync.spec
    job: dict[str, Any] = job_object(sync, sync.spec, RUN, Settings(), found)["spec"]
    return job


def test_each_field_reaches_the_job_as_its_flag() -> None:
    job = rendered(Found(staging=Staging("s3sync-0", "base")), **EVERYTHING)
    template = job["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    assert template["containers"][0]["args"] == [
        *("--bucket=master.testrepo", "--inputpath=testdata", "--destination-path=/", "--client=pfs"),
        *("--verify=Checksum", "--include=*.txt", "--include=-x", "--exclude=/tmp/", "--on-invalid-path=Skip"),
        *("--staging-branch=s3sync-0", "--base-commit=base", "--prune", "--max-delete-percent=10"),
    ]
    assert (job["tfReplicaSpecs"]["Worker"]["replicas"], job["successPolicy"]) == (3, "AllWorkers")


def test_a_dry_run_prunes_nothing_and_an_empty_branch_has_no_base() -> None:
    job = rendered(Found(staging=Staging("s3sync-0", None)), prune={"dryRun": True}, pachdAddress="p:1")
    (container_,) = job["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    assert container_["args"][2:] == ["--staging-branch=s3sync-0", "--prune-dry-run"]


def test_certificates_are_mounted_read_only_and_only_those_that_are_used() -> None:
    found = Found(certificate_keys=frozenset({"ca.crt", "tls.crt", "tls.key", "unrelated"}))
    pod = rendered(found, **EVERYTHING)["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == "certificates"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "certificates"]
    assert mount["readOnly"] is True
    assert [item["key"] for item in volume["secret"]["items"]] == ["ca.crt", "tls.crt", "tls.key"]
    values = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    assert values["S3_CA_FILE"] == f"{mount['mountPath']}/ca.crt"
    assert values["S3SYNC_CLIENT_KEY"] == f"{mount['mountPath']}/tls.key"
    assert values["S3SYNC_INSECURE_SKIP_VERIFY"] == "1"


def test_a_direct_sync_hears_of_pachd_only_if_its_client_speaks_grpc() -> None:
    for client, told in (("file_io", False), ("minio", False), ("pfs", True)):
        env = container(pachdAddress="pachd:1", publish="Direct", client=client)["env"]
        assert ("PACHD_ADDRESS" in {item["name"] for item in env}) == told
