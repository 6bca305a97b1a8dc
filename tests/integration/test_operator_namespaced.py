"""The operator with a role in each namespace that it serves, and without any cluster role."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from tests.integration.conftest import QUICK, Syncs
from tests.support.api import create_namespaces, delete_namespaces
from tests.support.audit import refused
from tests.support.deploy import overlay_in
from tests.support.operator_process import OperatorProcess
from tests.support.syncs import unique

# kopf by itself ends the operator once a watch was refused nine times.
REFUSALS = 10
WAIT_SECONDS = 60


@pytest.fixture
def user() -> str:
    """A user that may do nothing but what a test grants."""
    return f"namespaced-operator-{unique()}"


@pytest.fixture
def other(installed: LocalCluster, standin: StandinProcess) -> Iterator[Syncs]:
    """Syncs in a second namespace."""
    name = f"test-{unique()}"
    create_namespaces(installed.kubeconfig, [name])
    yield Syncs(installed, name, standin.endpoint)
    delete_namespaces(installed.kubeconfig, [name])


def grant(syncs: Syncs, user: str, folder: Path) -> None:
    """Bind a user to the role that `deploy/overlays/namespaced/served` makes in a namespace."""
    role, binding = (
        next(item for item in overlay_in(syncs.namespace, "namespaced/served", folder) if item["kind"] == kind)
        for kind in ("Role", "RoleBinding")
    )
    binding["subjects"] = [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}]
    syncs.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([role, binding]))


def wait_until(wanted: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not wanted():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def test_with_a_role_in_two_namespaces_it_serves_both_and_asks_for_no_more(
    installed: LocalCluster, syncs: Syncs, other: Syncs, user: str, tmp_path: Path
) -> None:
    for served in (syncs, other):
        grant(served, user, tmp_path)
    settings = QUICK | {"namespaces": f"{syncs.namespace},{other.namespace}"}
    with OperatorProcess(installed, tmp_path / "log", kubeconfig=installed.kubeconfig_for(user), **settings) as op:
        for served in (syncs, other):
            assert served.wait_ready(served.apply())["counts"]["verified"] == 2
        assert op.readiness() == (200, "ok\n")
        op.wait_for_sample(2, "s3sync_syncs", phase="Succeeded")
    assert refused(installed, user) == []


def test_refused_in_one_namespace_it_goes_on_in_the_other_and_serves_both_once_it_may(
    installed: LocalCluster, syncs: Syncs, other: Syncs, user: str, tmp_path: Path
) -> None:
    grant(syncs, user, tmp_path)
    settings = QUICK | {"namespaces": f"{other.namespace},{syncs.namespace}"}
    unseen = other.apply()
    with OperatorProcess(installed, tmp_path / "log", kubeconfig=installed.kubeconfig_for(user), **settings) as op:
        syncs.wait_ready(syncs.apply())
        watched = f"list /api/v1/namespaces/{other.namespace}/pods"
        wait_until(lambda: refused(installed, user).count(watched) > REFUSALS, "it does not try again")
        assert (op.health(), op.readiness()) == (200, (200, "ok\n"))
        assert "status" not in other.get(unseen) or other.get(unseen)["status"] == {"observedGeneration": -1}
        syncs.wait_ready(syncs.apply())
        assert all(other.namespace in call for call in refused(installed, user))
        grant(other, user, tmp_path)
        other.wait_ready(unseen)
