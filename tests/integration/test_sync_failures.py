"""What goes wrong has its own reason and message in status, on a real API server with a real job."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local import training_operator
from s3sync_local.cluster import LocalCluster
from s3sync_local.processes import free_ports
from tests.integration.conftest import QUICK, Syncs, conditions, hold, plant
from tests.support.operator_process import OperatorProcess, install


@pytest.fixture
def tree(trees: Path) -> str:
    """A small tree."""
    return plant(trees, "small", {"a.txt": b"alpha", "sub/b.txt": b"beta"})


def assert_final(status: dict[str, Any], reason: str, *words: str) -> None:
    """Hold a final failure to what kubectl and GitOps tools read from it."""
    found = conditions(status)
    assert status["phase"] == "Failed"
    assert set(found) == {"Ready", "Stalled"}
    for condition in found.values():
        assert condition["reason"] == reason
        assert condition["observedGeneration"] == status["observedGeneration"]
    assert found["Ready"]["status"] == "False"
    assert all(word in found["Ready"]["message"] for word in words), found["Ready"]["message"]


def test_a_missing_input_path(syncs: Syncs, operator: OperatorProcess, s3: Any) -> None:
    name = syncs.apply_tree("no-such-directory")
    assert_final(syncs.wait_stalled(name), "InputPathNotFound", "no-such-directory")
    assert "Contents" not in s3.list_objects(Bucket=f"master.{name}")
    assert syncs.events(name, until="InputPathNotFound")[-1] == "InputPathNotFound"


def test_an_empty_directory(syncs: Syncs, operator: OperatorProcess, trees: Path) -> None:
    name = syncs.apply_tree(plant(trees, "empty", {}))
    assert_final(syncs.wait_stalled(name), "InputEmpty", "empty")


def test_a_key_that_pachyderm_refuses_and_nothing_is_copied(
    syncs: Syncs, operator: OperatorProcess, trees: Path, s3: Any
) -> None:
    name = syncs.apply_tree(plant(trees, "keys", {"Chapter [1].txt": b"x", "fine.txt": b"y"}))
    status = syncs.wait_stalled(name)
    assert_final(status, "InvalidKey", "Chapter [1].txt")
    assert [item["path"] for item in status["failures"]] == ["Chapter [1].txt"]
    assert "Contents" not in s3.list_objects(Bucket=f"master.{name}")


def test_an_unreachable_endpoint_is_told_at_once_and_given_up_in_the_end(
    syncs: Syncs, operator: OperatorProcess
) -> None:
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    name = syncs.apply(endpoint=endpoint)
    status = syncs.wait_reason(name, "EndpointUnreachable")
    assert "Ready" in conditions(status)
    assert_final(syncs.wait_stalled(name), "EndpointUnreachable", endpoint, "given up after 5 attempts")
    assert syncs.kubectl("get", "tfjobs", "-o", "name") == ""


def test_an_endpoint_that_comes_back_is_used(
    syncs: Syncs, operator: OperatorProcess, tmp_path: Path, installed: LocalCluster
) -> None:
    port = free_ports(1)[0]
    name = syncs.apply(endpoint=f"http://127.0.0.1:{port}")
    status = syncs.wait_reason(name, "EndpointUnreachable")
    assert conditions(status)["Reconciling"]["reason"] == "ProgressingWithRetry"
    with StandinProcess(tmp_path, port=port):
        assert syncs.wait_ready(name)["attempt"] > 1


def test_an_endpoint_that_vanishes_between_operator_and_job(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    standin.set_faults([{"action": "cut", "method": "PUT", "key": ".+"}])
    name = syncs.apply()
    status = syncs.wait_for(name, lambda status: status.get("phase") == "Retrying", "retrying")
    assert conditions(status)["Ready"]["reason"] in ("EndpointUnreachable", "ServerError")
    standin.clear_faults()
    assert syncs.wait_ready(name)["counts"]["verified"] == 2


def secret(syncs: Syncs, **data: str) -> str:
    raw = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys"},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }
    syncs.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(raw))
    return "keys"


def test_wrong_credentials_and_they_are_shown_nowhere(syncs: Syncs, operator: OperatorProcess) -> None:
    name = secret(syncs, AWS_ACCESS_KEY_ID="hunter-two", AWS_SECRET_ACCESS_KEY="hunter-three")
    sync = syncs.apply(secretRef={"name": name})
    assert_final(syncs.wait_stalled(sync), "AccessDenied", "spec.secretRef")
    told = syncs.kubectl("get", "ps3,events,tfjobs,pods", "-o", "yaml") + operator.log.read_text()
    assert "hunter" not in told


def test_right_credentials_by_pair_and_by_token(syncs: Syncs, operator: OperatorProcess) -> None:
    pair = secret(syncs, AWS_ACCESS_KEY_ID="same", AWS_SECRET_ACCESS_KEY="same")
    first = syncs.apply(secretRef={"name": pair})
    syncs.wait_ready(first)
    token = secret(syncs, token="a-token")
    second = syncs.apply(secretRef={"name": token})
    syncs.wait_ready(second)


def test_a_token_that_pachyderm_knows_and_one_that_it_does_not(
    syncs: Syncs, operator: OperatorProcess, tmp_path: Path
) -> None:
    with StandinProcess(tmp_path, tokens=["known-token"]) as with_auth:
        known = syncs.apply(endpoint=with_auth.endpoint, secretRef={"name": secret(syncs, token="known-token")})
        status = syncs.wait_ready(known)
        assert "known-token" not in yaml.safe_dump(status)
        unknown = syncs.apply(endpoint=with_auth.endpoint, secretRef={"name": secret(syncs, token="stranger")})
        assert_final(syncs.wait_stalled(unknown), "AccessDenied")


def test_a_secret_that_is_not_there_yet_is_waited_for(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(secretRef={"name": "keys"})
    status = syncs.wait_reason(name, "SecretNotFound")
    assert "'keys'" in conditions(status)["Ready"]["message"]
    secret(syncs, token="late")
    syncs.wait_ready(name)


def test_a_secret_without_the_right_keys(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(secretRef={"name": secret(syncs, password="x")})
    status = syncs.wait_reason(name, "SecretInvalid")
    assert "AWS_ACCESS_KEY_ID" in conditions(status)["Ready"]["message"]


def test_a_token_with_a_line_break_is_refused_by_its_key_and_shown_nowhere(
    syncs: Syncs, operator: OperatorProcess
) -> None:
    name = syncs.apply(secretRef={"name": secret(syncs, token="hunter-two\n")})
    status = syncs.wait_reason(name, "SecretInvalid")
    assert "'token' has white space, a line break" in conditions(status)["Ready"]["message"]
    told = syncs.kubectl("get", "ps3,events,tfjobs,pods", "-o", "yaml") + operator.log.read_text()
    assert "hunter" not in told


def test_a_token_is_not_in_the_log_even_at_debug(installed: LocalCluster, syncs: Syncs, tmp_path: Path) -> None:
    settings = QUICK | {"log_level": "debug", "namespaces": syncs.namespace}
    with OperatorProcess(installed, tmp_path / "log", **settings) as operator:
        name = syncs.apply(secretRef={"name": secret(syncs, token="hunter-two")})
        syncs.wait_ready(name)
        log = operator.log.read_text()
    assert name in log
    assert "hunter" not in log


def test_a_secret_that_goes_while_the_job_runs_does_not_disturb_it(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    standin.set_faults([{"action": "latency", "method": "PUT", "key": ".+", "seconds": 3}])
    name = syncs.apply(secretRef={"name": secret(syncs, token="t")})
    syncs.wait_phase(name, "Running")
    syncs.kubectl("delete", "secret", "keys")
    syncs.kubectl("annotate", "ps3", name, "note=look-again")
    assert syncs.wait_ready(name)["attempt"] == 1


def test_a_bucket_that_vanishes_midway_is_made_again(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess, trees: Path
) -> None:
    tree = plant(trees, "many", {f"{number:03}.txt": b"x" * 100 for number in range(60)})
    standin.set_faults([{"action": "drop-bucket", "method": "PUT", "key": ".+", "after": 20, "times": 1}])
    name = syncs.apply_tree(tree)
    status = syncs.wait_reason(name, "BucketNotFound")
    assert f"master.{name}" in conditions(status)["Ready"]["message"]
    final = syncs.wait_ready(name)
    assert final["counts"]["verified"] == 60
    assert final["attempt"] == 2


def test_a_byte_flipped_on_the_way_back_is_found(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess, tree: str
) -> None:
    standin.set_faults([{"action": "flip", "method": "GET", "key": ".*/b.txt", "offset": 2}])
    status = syncs.wait_stalled(syncs.apply_tree(tree))
    assert_final(status, "ContentDiffers")
    assert status["counts"] == {"files": 2, "bytes": 9, "verified": 1, "failed": 1}
    assert [(item["path"], item["verdict"]) for item in status["failures"]] == [("sub/b.txt", "Differ")]
    assert "manifestDigest" not in status


def test_a_byte_flipped_in_the_store_is_found(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess, tree: str
) -> None:
    standin.set_faults([{"action": "store-flip", "method": "PUT", "key": ".*/a.txt", "offset": 0}])
    assert_final(syncs.wait_stalled(syncs.apply_tree(tree)), "ContentDiffers")


def test_a_tfjob_deleted_by_hand_is_told_and_made_again(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    hold(standin)
    name = syncs.apply()
    running = syncs.wait_phase(name, "Running")
    syncs.kubectl("delete", "tfjob", running["tfJobName"], "--wait=false")
    status = syncs.wait_reason(name, "TFJobDeleted")
    assert conditions(status)["Reconciling"]["reason"] == "ProgressingWithRetry"
    standin.clear_faults()
    assert syncs.wait_ready(name)["tfJobName"] != running["tfJobName"]


def test_a_pod_that_the_node_evicts_is_told_and_run_again(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    hold(standin)
    name = syncs.apply()
    pod = syncs.wait_phase(name, "Running")["podNames"][0]
    syncs.kubectl("annotate", "pod", pod, "local.s3sync/evict=true")
    status = syncs.wait_reason(name, "PodEvicted")
    assert "low on" in conditions(status)["Ready"]["message"]
    standin.clear_faults()
    syncs.wait_ready(name)


def test_a_pod_evicted_through_the_api_is_run_again(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    hold(standin)
    name = syncs.apply()
    pod = syncs.wait_phase(name, "Running")["podNames"][0]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": syncs.namespace}}
    path = f"/api/v1/namespaces/{syncs.namespace}/pods/{pod}/eviction"
    syncs.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    standin.clear_faults()
    syncs.wait_ready(name)


def test_an_image_that_does_not_exist(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(image="registry.invalid/nobody/nothing:1")
    status = syncs.wait_reason(name, "ImagePullFailed")
    assert "registry.invalid/nobody/nothing:1" in conditions(status)["Ready"]["message"]
    assert conditions(status)["Ready"]["status"] == "False"
    syncs.apply(name)
    syncs.wait_ready(name)


def test_an_image_that_does_not_exist_is_given_up_after_the_start_deadline(
    installed: LocalCluster, syncs: Syncs, tmp_path: Path
) -> None:
    settings = QUICK | {"start_deadline": 3}
    with OperatorProcess(installed, tmp_path / "log", namespaces=syncs.namespace, **settings):
        name = syncs.apply(image="registry.invalid/nobody/nothing:1")
        assert_final(syncs.wait_stalled(name), "ImagePullFailed", "spec.image")
        job = syncs.get(name)["status"]["tfJobName"]
        syncs.kubectl("wait", "--for=delete", f"tfjob/{job}", "--timeout=30s")


def test_a_cluster_without_kubeflow_is_told_and_used_once_it_has_it(tmp_path: Path, standin: StandinProcess) -> None:
    with LocalCluster(training_operator=False, node=False) as bare:
        install(bare)
        bare.create_namespace("bare")
        syncs = Syncs(bare, "bare", standin.endpoint)
        with OperatorProcess(bare, tmp_path / "log", **(QUICK | {"max_attempts": 50})):
            name = syncs.apply()
            status = syncs.wait_reason(name, "TFJobCRDNotInstalled")
            assert "training-operator" in conditions(status)["Ready"]["message"]
            assert conditions(status)["Reconciling"]["reason"] == "ProgressingWithRetry"
            bare.kubectl("apply", "--server-side", "-f", str(bare.manifests / training_operator.CRD))
            syncs.wait_phase(name, "Starting")


def test_a_bucket_that_pachyderm_refuses(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(project="nobody-made-this-project")
    status = syncs.wait_for(name, lambda status: status.get("phase") in ("Failed", "Retrying"), "refused")
    assert f"master.{name}.nobody-made-this-project" in conditions(status)["Ready"]["message"]
