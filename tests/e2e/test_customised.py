"""What the example's document said to change for an own deployment: bucket, endpoint and namespace."""

import json
from typing import Any

import pytest

from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import Target
from tests.e2e.test_seed import BOOKS, stored
from tests.support.syncs import conditions

# Pachyderm 1.9 in the default namespace, as the document's example of another deployment has it.
OLD_SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "pachd", "namespace": "default"},
    "spec": {"type": "ExternalName", "externalName": "pachd.pachyderm.svc.cluster.local"},
}


@pytest.mark.fields("spec.branch")
def test_other_buckets_are_branches_of_a_repo_which_several_syncs_keep_apart(syncs: OwnSyncs, s3: Any) -> None:
    first = syncs.apply(branch="one")
    second = syncs.apply(repo=first, branch="two")
    for name, branch in ((first, "one"), (second, "two")):
        assert syncs.wait_ready(name)["destination"] == f"s3://{branch}.{first}/testdata"
    assert stored(s3, f"one.{first}") == stored(s3, f"two.{first}") == BOOKS


@pytest.mark.fields("spec.endpoint")
def test_an_endpoint_as_a_bare_host_and_port_in_another_namespace(syncs: OwnSyncs, target: Target, s3: Any) -> None:
    if not target.node:
        pytest.skip("the other Service is made in a cluster of our own only")
    target.kubectl("apply", "-f", "-", stdin=json.dumps(OLD_SERVICE))
    name = syncs.apply(endpoint="pachd.default:30600")
    syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == BOOKS
    target.kubectl("delete", "service", "pachd", "-n", "default")


def test_the_cluster_ip_of_the_service_as_the_endpoint(syncs: OwnSyncs, target: Target, s3: Any) -> None:
    if not target.node:
        pytest.skip("only a cluster of our own tells the Service's address")
    name = syncs.apply(endpoint=target.endpoint_here)
    syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == BOOKS


@pytest.mark.fields("spec.project", "spec.publish", "spec.verify")
def test_a_project_of_its_own_written_to_file_by_file_and_not_read_back(
    syncs: OwnSyncs, target: Target, s3: Any
) -> None:
    if not target.control:
        pytest.skip("a project is made in a Pachyderm of our own only")
    target.control.create_project("team-a")
    wanted = {"pachdAddress": target.pachd_address, "publish": "Direct", "verify": "None"}
    name = syncs.apply(project="team-a", **wanted)
    status = syncs.wait_ready(name)
    assert stored(s3, f"master.{name}.team-a") == BOOKS
    assert (conditions(status)["Ready"]["reason"], status["counts"]["verified"]) == ("Copied", 0)
    changed = [commit for commit in target.control.commits(name, "team-a") if commit["changes"]]
    assert len(changed) == len(BOOKS), "each file came in a commit of its own"
