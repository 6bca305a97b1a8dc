"""The configuration of a cluster with a real node, and what it says when the machine lacks something."""

import ipaddress
import tomllib
from pathlib import Path

import pytest
import yaml

from s3sync_local import mounts, training_operator
from s3sync_local.components import SERVICE_RANGE, apiserver_flags, controller_manager_flags
from s3sync_local.errors import MissingToolError, SandboxError
from s3sync_local.realnode import RealCluster, configuration, missing_packages, programs
from s3sync_local.realnode.configuration import NODE_ADDRESS, NODE_NAME, PORTS, NodeLayout
from s3sync_local.realnode.keeper import COREDNS_MANIFEST, coredns_objects
from s3sync_local.sandbox import marker

LAYOUT = NodeLayout(Path("/state"))


def test_the_api_server_serves_pods_too_and_trusts_the_kubelets_certificate_only() -> None:
    flags = apiserver_flags(LAYOUT, PORTS, NODE_ADDRESS)
    assert {f"--advertise-address={NODE_ADDRESS}", "--kubelet-certificate-authority=/state/pki/ca.crt"} <= set(flags)
    assert not [flag for flag in flags if flag.startswith("--endpoint-reconciler-type")]


def test_all_default_controllers_run() -> None:
    assert "--controllers=*" in controller_manager_flags(LAYOUT, configuration.ALL_CONTROLLERS)


def test_containerd_keeps_images_with_the_cluster_and_runs_pods_by_runc() -> None:
    config = tomllib.loads(configuration.containerd_config(LAYOUT, "docker.io/example/pause:1"))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert (config["root"], cri["sandbox_image"]) == ("/state/containerd", "docker.io/example/pause:1")
    assert cri["restrict_oom_score_adj"] is True
    assert cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False


def test_the_kubelet_neither_sheds_images_nor_asks_the_machines_resolver() -> None:
    config = configuration.kubelet_config(LAYOUT)
    assert (config["imageGCHighThresholdPercent"], config["resolvConf"]) == (100, "")
    assert config["authentication"]["anonymous"] == {"enabled": False}


def test_pods_services_and_node_have_ranges_of_their_own() -> None:
    pods, services = map(ipaddress.ip_network, (configuration.POD_RANGE, SERVICE_RANGE))
    assert not pods.overlaps(services)
    assert ipaddress.ip_address(configuration.DNS_ADDRESS) in services
    assert ipaddress.ip_address(NODE_ADDRESS) not in pods


def test_the_kubelets_user_is_the_nodes_own() -> None:
    users = {name: (user, groups) for name, user, groups in configuration.IDENTITIES}
    assert users["kubelet"] == (f"system:node:{NODE_NAME}", ("system:nodes",))


def test_the_dns_service_has_the_address_that_the_kubelet_gives_to_pods() -> None:
    objects = coredns_objects(COREDNS_MANIFEST.read_text(), "coredns/coredns:1.2.3")
    (service,) = (each for each in objects if each["kind"] == "Service")
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    assert [service["spec"]["clusterIP"]] == configuration.kubelet_config(LAYOUT)["clusterDNS"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "coredns/coredns:1.2.3"


def test_the_training_operators_own_overlay_is_installed_with_our_image_and_certificate() -> None:
    content = configuration.training_operator_overlay("manifests/overlays/standalone", "kubeflow/training-operator:v9")
    assert content["resources"] == ["manifests/overlays/standalone"]
    assert content["images"] == [
        {"name": "kubeflow/training-operator", "newName": "kubeflow/training-operator", "newTag": "v9"}
    ]
    assert content["secretGenerator"][0]["name"] == training_operator.SECRET
    assert [patch["op"] for patch in yaml.safe_load(content["patches"][0]["patch"])] == ["replace", "replace"]


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("coredns/coredns:1", "docker.io/coredns/coredns:1"),
        ("registry.example.com/a:1", "registry.example.com/a:1"),
        ("localhost:5000/a:1", "localhost:5000/a:1"),
    ],
)
def test_an_image_without_a_registry_is_docker_hubs_to_containerd(image: str, reference: str) -> None:
    assert configuration.full_reference(image) == reference


def test_archives_are_arguments_of_the_import_and_never_part_of_its_script() -> None:
    command = configuration.import_command([Path("/a b"), Path("/c;d")])
    assert command[-2:] == ["/a b", "/c;d"]
    assert "/c;d" not in command[2]


def test_missing_packages_are_named_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SEARCH_PATH", "/nowhere")
    monkeypatch.setattr(programs, "PACKAGES", {"containerd": "containerd", "ctr": "containerd", "nft": "nftables"})
    assert missing_packages() == ["containerd", "nftables"]
    with pytest.raises(MissingToolError, match=r"apt-get install containerd nftables$"):
        programs.require_packages()


def test_a_program_in_the_administrators_folders_is_found_without_them_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nft").touch(mode=0o755)
    monkeypatch.setattr(programs, "SEARCH_PATH", f"/nowhere:{tmp_path}")
    monkeypatch.setattr(programs, "PACKAGES", {"nft": "nftables"})
    assert missing_packages() == []


def test_outside_of_a_sandbox_a_real_cluster_refuses_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marker, "MARKER", tmp_path / "absent")
    with pytest.raises(SandboxError, match=r"python -m s3sync_local\.sandbox -- COMMAND"):
        RealCluster(tmp_path / "state").start()
    assert not (tmp_path / "state").exists()


def test_mounts_below_a_folder_are_found_innermost_first_and_no_others() -> None:
    mountinfo = (
        "20 1 8:1 / / rw - ext4 /dev/a rw\n"
        "21 20 0:5 / /state rw - tmpfs tmpfs rw\n"
        "22 21 0:6 / /state/a\\040b rw shared:3 - tmpfs tmpfs rw\n"
        "23 22 0:7 / /state/a\\040b/c rw - tmpfs tmpfs rw\n"
        "24 20 0:8 / /state-other rw - tmpfs tmpfs rw\n"
    )
    assert mounts.mounted_below(Path("/state"), mountinfo) == [Path("/state/a b/c"), Path("/state/a b")]
