"""One operator for one namespace, without any cluster role."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import OPERATOR_NAMESPACE, Target, install_operator, uninstall_operator
from tests.e2e.test_seed import BOOKS, stored


@pytest.fixture
def namespaced(target: Target, no_operator: None, tmp_path: Path) -> Iterator[Path]:
    """The overlay `namespaced` in place of the operator for the whole cluster."""
    folder = tmp_path / "namespaced"
    install_operator(target, folder, overlay="namespaced")
    yield folder
    uninstall_operator(target, folder)


@pytest.mark.alone
def test_a_sync_in_the_operators_namespace_ends_verified_without_cluster_roles(
    target: Target, namespaced: Path, syncs_in: Callable[[str], OwnSyncs], s3: Any
) -> None:
    for kind in ("clusterroles", "clusterrolebindings"):
        names = [item["metadata"]["name"] for item in json.loads(target.kubectl("get", kind, "-o", "json"))["items"]]
        assert not [name for name in names if "s3sync" in name]
    syncs = syncs_in(OPERATOR_NAMESPACE)
    name = syncs.apply()
    syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == BOOKS
    elsewhere = syncs_in("default")
    unseen = elsewhere.apply()
    second = syncs.apply(repo=name, branch="second")
    syncs.wait_ready(second)
    assert elsewhere.get(unseen)["status"] == {"observedGeneration": -1}, "other namespaces are not its business"
    elsewhere.kubectl("delete", "ps3", unseen)
