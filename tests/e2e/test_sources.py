"""Files from volumes of every kind, mounted by a real kubelet."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import Target
from tests.e2e.test_seed import stored
from tests.support.syncs import conditions

SHELF = {"fiction/moby.txt": b"Call me Ishmael.", "fiction/deep/er/x.bin": bytes(range(256)), "other.txt": b"no"}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files that anybody may read, as the pod's user must."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    for made in (folder, *folder.rglob("*")):
        made.chmod(0o755 if made.is_dir() else 0o644)
    return folder


def create(syncs: OwnSyncs, *objects: dict[str, Any]) -> None:
    for item in objects:
        syncs.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1"} | item))


@pytest.fixture
def shelf(target: Target, operator: Path) -> Path:
    """A directory of the node with some files."""
    if not target.host_folder:
        pytest.skip("the directories of other clusters' nodes are not ours to fill")
    return fill(target.host_folder / "shelf", SHELF)


@pytest.mark.fields(
    "spec.source.persistentVolumeClaim", "spec.source.subPath", "spec.destinationPath", "spec.inputPath"
)
def test_a_folder_of_a_persistent_volume_lands_where_the_sync_says(
    syncs: OwnSyncs, target: Target, shelf: Path, s3: Any
) -> None:
    volume_name = f"{syncs.namespace}-shelf"
    volume = {
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name},
        "spec": {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "hostPath": {"path": str(shelf), "type": "Directory"},
        },
    }
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shelf"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "volumeName": volume_name,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    source = {"persistentVolumeClaim": {"claimName": "shelf"}, "subPath": "fiction"}
    name = syncs.apply(source=source, inputPath="library", destinationPath="/books/", workers=2)
    assert '"shelf" not found' in conditions(syncs.wait_reason(name, "PodUnschedulable"))["Ready"]["message"]
    create(syncs, volume, claim)
    try:
        syncs.wait_ready(name)
        assert stored(s3, f"master.{name}") == {
            "books/moby.txt": SHELF["fiction/moby.txt"],
            "books/deep/er/x.bin": SHELF["fiction/deep/er/x.bin"],
        }
    finally:
        target.kubectl("delete", "pv", volume_name, "--wait=false")


@pytest.mark.fields("spec.source.configMap", "spec.runner", "spec.onInvalidPath")
def test_a_config_map_that_is_missing_is_named_and_once_it_is_there_its_keys_are_the_files(
    syncs: OwnSyncs, s3: Any
) -> None:
    items = [{"key": "a.yaml", "path": "a.yaml"}, {"key": "b.yaml", "path": "sub/b.yaml"}]
    odd = [{"key": "b.yaml", "path": "sub/what?.yaml"}]
    source = {"configMap": {"name": "settings", "items": items + odd}}
    name = syncs.apply(source=source, inputPath="settings", runner="Job", onInvalidPath="Skip")
    message = conditions(syncs.wait_reason(name, "MountFailed"))["Ready"]["message"]
    assert 'configmap "settings" not found' in message

    create(
        syncs, {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a.yaml": "a: 1\n", "b.yaml": "b\n"}}
    )
    status = syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == {"settings/a.yaml": b"a: 1\n", "settings/sub/b.yaml": b"b\n"}
    assert [item["path"] for item in status["skipped"]] == ["sub/what?.yaml"], "none of the kubelet's own links"
    assert (status["attempt"], status["podNames"][0].startswith(f"{status['jobName']}-0-")) == (1, True)


@pytest.mark.fields("spec.source.secret", "spec.prune.dryRun", "spec.prune.maxDeletePercent", "spec.pachdAddress")
def test_what_a_secret_no_longer_holds_is_pruned_within_the_limits(syncs: OwnSyncs, target: Target, s3: Any) -> None:
    if not target.pachd_address:
        pytest.skip("no PACHD_ADDRESS was given")
    keys = {"one.key": "1", "two.key": "2", "three.key": "3"}
    create(syncs, {"kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys})
    source = {"secret": {"secretName": "keys", "defaultMode": 0o400}}
    wanted: dict[str, Any] = {"source": source, "inputPath": "/in/keys", "pachdAddress": target.pachd_address}
    name = syncs.apply(**wanted)
    syncs.wait_ready(name)
    everything = {f"in/keys/{key}": value.encode() for key, value in keys.items()}
    assert stored(s3, f"master.{name}") == everything

    syncs.kubectl("patch", "secret", "keys", "--type=json", "-p", '[{"op": "remove", "path": "/data/one.key"}]')
    syncs.apply(name, **wanted, prune={"dryRun": True})
    status = syncs.wait_for(name, lambda status: "dryRun" in status and _ready(status), "listed")
    assert status["dryRun"] == {"delete": ["in/keys/one.key"], "count": 1}
    syncs.apply(name, **wanted, prune={"maxDeletePercent": 10})
    assert conditions(syncs.wait_stalled(name))["Stalled"]["reason"] == "PruneLimitExceeded"
    assert stored(s3, f"master.{name}") == everything
    syncs.apply(name, **wanted, prune={"maxDeletePercent": 50})
    assert syncs.wait_ready(name)["counts"]["deleted"] == 1
    assert set(stored(s3, f"master.{name}")) == everything.keys() - {"in/keys/one.key"}


def _ready(status: dict[str, Any]) -> bool:
    return bool(conditions(status).get("Ready", {}).get("status") == "True")


@pytest.mark.fields("spec.source.hostPath")
def test_a_directory_of_the_node_is_mounted_where_operator_and_namespace_allow_it(
    syncs: OwnSyncs, target: Target, shelf: Path, s3: Any
) -> None:
    elsewhere = syncs.apply(source={"hostPath": {"path": "/etc"}}, inputPath="/data")
    message = conditions(syncs.wait_stalled(elsewhere))["Stalled"]["message"]
    assert message.startswith(f"spec.source.hostPath: '/etc' is not below {target.host_folder}")

    source = {"hostPath": {"path": str(shelf), "type": "Directory"}}
    name = syncs.apply(source=source, inputPath="/data", runner="Job")
    message = conditions(syncs.wait_reason(name, "PodNotCreated"))["Ready"]["message"]
    assert 'violates PodSecurity "restricted' in message
    target.kubectl(
        "label", "namespace", syncs.namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"
    )
    syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == {f"data/{path}": content for path, content in SHELF.items()}


@pytest.mark.fields("spec.source.volume", "spec.filter.include", "spec.filter.exclude")
def test_any_other_volume_is_passed_on_as_it_is(syncs: OwnSyncs, s3: Any) -> None:
    create(
        syncs, {"kind": "ConfigMap", "metadata": {"name": "part"}, "data": {"a.txt": "a", "b.txt": "b", "c.md": "c"}}
    )
    pod = {"downwardAPI": {"items": [{"path": "pod.txt", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}
    volume = {"projected": {"sources": [{"configMap": {"name": "part"}}, pod]}}
    chosen = {"include": ["*.txt"], "exclude": ["/b.*"]}
    name = syncs.apply(source={"volume": volume}, inputPath="/data", filter=chosen)
    syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == {"data/a.txt": b"a", "data/pod.txt": syncs.namespace.encode()}
