"""The pure parts of the local cluster: command lines, access, the training-operator's objects, state directories."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from s3sync_local import components, statedir, training_operator
from s3sync_local.components import Layout, Ports
from s3sync_local.errors import StateDirError
from s3sync_local.pki import Authority
from s3sync_local.processes import free_ports, tail
from s3sync_local.supervisor import STOP_ORDER

LAYOUT = Layout(Path("/state"))
PORTS = Ports(api=6443, etcd=2379, etcd_peer=2380, webhook=9443, probe=8081)


def test_the_api_server_listens_on_the_loopback_interface_and_writes_an_audit_log() -> None:
    flags = components.apiserver_flags(LAYOUT, PORTS)
    assert "--bind-address=127.0.0.1" in flags
    assert "--secure-port=6443" in flags
    assert "--audit-log-path=/state/logs/audit.log" in flags
    assert "--authorization-mode=Node,RBAC" in flags


def test_etcd_takes_only_clients_that_the_clusters_authority_signed() -> None:
    flags = components.etcd_flags(LAYOUT, PORTS)
    assert "--client-cert-auth" in flags
    assert "--listen-client-urls=https://127.0.0.1:2379" in flags


def test_no_key_stands_on_a_command_line_but_only_paths_to_files() -> None:
    lines = [
        *components.etcd_flags(LAYOUT, PORTS),
        *components.apiserver_flags(LAYOUT, PORTS),
        *components.controller_manager_flags(LAYOUT),
        *components.training_operator_flags(LAYOUT, PORTS),
    ]
    keys = [line.partition("=")[2] for line in lines if "key" in line.partition("=")[0]]
    assert keys
    assert [key for key in keys if not key.startswith("/state/pki/")] == []


def test_the_audit_policy_drops_the_stage_in_which_a_request_has_no_answer_yet() -> None:
    assert components.audit_policy()["omitStages"] == ["RequestReceived"]


def test_the_stop_order_names_etcd_after_the_api_server_and_the_api_server_after_its_clients() -> None:
    flat = [name for names in STOP_ORDER for name in names]
    assert flat[-2:] == ["kube-apiserver", "etcd"]
    clients = {"local-node", "training-operator", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}
    # containerd's pods are clients too.
    assert set(flat[:-2]) == clients | {"containerd"}


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(5))) == 5


def test_a_users_certificate_names_the_user_and_each_group() -> None:
    signed = Authority.create("ca").user("jane", ["dev", "ops"])
    subject = x509.load_pem_x509_certificate(signed.certificate).subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["dev", "ops"]


def test_an_authority_signs_the_same_after_it_was_written_and_read() -> None:
    authority = Authority.create("ca")
    signed = x509.load_pem_x509_certificate(Authority.load(authority.pair()).user("jane").certificate)
    signed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pair().certificate))


def test_a_private_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    _, key = Authority.create("ca").pair().write(tmp_path, "ca")
    assert key.stat().st_mode & 0o077 == 0


def test_only_the_tfjob_webhook_is_kept_and_called_on_the_loopback_interface() -> None:
    found = training_operator.webhook_configuration(_webhooks("pytorchjobs", "tfjobs"), b"CA", 9443)
    client = {"url": "https://127.0.0.1:9443/validate-tfjobs", "caBundle": base64.b64encode(b"CA").decode()}
    assert [(hook["name"], hook["clientConfig"]) for hook in found["webhooks"]] == [("tfjobs.example.org", client)]
    assert found["metadata"] == {"name": "validator.training-operator.kubeflow.org"}


def test_a_manifest_without_a_tfjob_webhook_is_refused() -> None:
    with pytest.raises(ValueError, match="0 webhooks for tfjobs, expected 1"):
        training_operator.webhook_configuration(_webhooks("pytorchjobs"), b"CA", 9443)


def test_the_operators_secret_holds_the_files_that_its_rotator_looks_for() -> None:
    authority, server = training_operator.certificates()
    objects = training_operator.objects(authority, server, yaml.safe_dump(_webhooks("tfjobs")), 9443)
    (secret,) = [each for each in objects if each["kind"] == "Secret"]
    assert {name: base64.b64decode(value) for name, value in secret["data"].items()} == {
        "ca.crt": authority.certificate,
        "ca.key": authority.key,
        "tls.crt": server.certificate,
        "tls.key": server.key,
    }


def test_the_expected_certificate_exists_only_while_the_operator_starts(tmp_path: Path) -> None:
    path = tmp_path / "k8s-webhook-server" / "serving-certs" / "tls.crt"
    with training_operator.expected_certificate(path):
        assert path.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_that_others_put_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "k8s-webhook-server" / "serving-certs" / "tls.crt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"theirs")
    with training_operator.expected_certificate(path):
        assert path.read_bytes() == b"theirs"
    assert path.read_bytes() == b"theirs"


def test_the_marker_of_a_killed_start_is_removed_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "k8s-webhook-server" / "serving-certs" / "tls.crt"
    path.parent.mkdir(parents=True)
    path.write_bytes(training_operator.MARKER)
    with training_operator.expected_certificate(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_neighbours_files_beside_the_expected_certificate_stay(tmp_path: Path) -> None:
    path = tmp_path / "k8s-webhook-server" / "serving-certs" / "tls.crt"
    path.parent.mkdir(parents=True)
    (path.parent / "other").touch()
    with training_operator.expected_certificate(path):
        pass
    assert [entry.name for entry in path.parent.iterdir()] == ["other"]


def test_only_one_at_a_time_may_start_an_operator() -> None:
    first = training_operator.try_mutex()
    if first is None:
        pytest.skip("a local cluster is starting on this machine at this moment")
    assert training_operator.try_mutex() is None
    first.close()


def test_a_state_directory_with_files_of_others_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StateDirError, match="is not empty and no local cluster's"):
        statedir.claim(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_claimed_state_directory_is_refused_to_a_second_cluster(tmp_path: Path) -> None:
    lock = statedir.claim(tmp_path / "state")
    with pytest.raises(StateDirError, match="a local cluster is running in"):
        statedir.claim(tmp_path / "state")
    os.close(lock)


def test_a_sweep_removes_the_directories_of_dead_clusters_and_no_others(tmp_path: Path) -> None:
    os.close(statedir.claim(tmp_path / "dead"))
    lock = statedir.claim(tmp_path / "alive")
    (tmp_path / "just-being-made").mkdir()
    statedir.sweep(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["alive", "just-being-made"]
    os.close(lock)


def test_after_a_failure_the_logs_stay_until_the_next_sweep(tmp_path: Path) -> None:
    root = tmp_path / "failed"
    lock = statedir.claim(root)
    Layout(root).logs.mkdir()
    (Layout(root).logs / "etcd.log").write_text("boom")
    Layout(root).pki.mkdir()
    statedir.remove(root, keep_logs=True)
    os.close(lock)
    assert sorted(entry.name for entry in root.iterdir()) == ["keeper.lock", "logs"]
    statedir.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_logs_tail_starts_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first line\nsecond line\nthird line\n")
    assert tail(log, limit=15) == "third line\n"
    assert tail(log) == "first line\nsecond line\nthird line\n"


def _webhooks(*resources: str) -> dict[str, Any]:
    def hook(resource: str) -> dict[str, Any]:
        service = {"name": "webhook-service", "namespace": "system", "path": f"/validate-{resource}"}
        rules = [{"apiGroups": ["kubeflow.org"], "resources": [resource]}]
        return {"name": f"{resource}.example.org", "clientConfig": {"service": service}, "rules": rules}

    hooks = [hook(resource) for resource in resources]
    return {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "x"}, "webhooks": hooks}
