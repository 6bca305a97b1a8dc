"""A sync with pachd at hand: staged and verified aside, then one commit on the branch, or none."""

import time
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.staging import owner_and_run, owner_of
from tests.integration.conftest import QUICK, Syncs, conditions, plant
from tests.support.cluster import TREES_IMAGE
from tests.support.operator_process import OperatorProcess
from tests.support.pachd import Pachd, add
from tests.support.syncs import WAIT_SECONDS

TREE = {"a.txt": b"a", "b/c.txt": b"c" * 5000, "b/d.txt": b"", "e.txt": b"e" * 70_000}


@pytest.fixture
def atomic(syncs: Syncs, standin: StandinProcess) -> dict[str, Any]:
    """What makes a sync an atomic one of the tests' trees."""
    return {"image": TREES_IMAGE, "pachdAddress": standin.pachd_address, "client": "pfs"}


def commits(pachd: Pachd, repo: str) -> list[Any]:
    """Return the commits that somebody made on the target, newest first, without the branch's empty first one."""
    return [info for info in pachd.commits(pachd.branch(repo).repo) if info.parent_commit]


def staged_branches(pachd: Pachd, repo: str) -> list[str]:
    found = pachd.api.list_branch(repo=pachd.branch(repo).repo)
    return [branch.branch.name for branch in found if owner_and_run(branch.branch.name)]


def files(pachd: Pachd, repo: str) -> dict[str, bytes]:
    return pachd.files(pachd.head(pachd.branch(repo)))


def under(folder: str, tree: dict[str, bytes]) -> dict[str, bytes]:
    return {f"/{folder}/{path}".replace("//", "/"): content for path, content in tree.items()}


def publishes(operator: OperatorProcess) -> tuple[float, float]:
    """Return how many runs the operator has published, and how many commits it has started for that."""
    return (
        operator.sample("s3sync_publishes_total", result="published"),
        operator.sample("s3sync_pachd_requests_total", operation="StartCommit", result="ok"),
    )


@pytest.mark.parametrize("client", ["file_io", "minio", "pfs"])
def test_a_sync_is_one_commit_that_names_it_and_nothing_is_left_beside(
    syncs: Syncs, operator: OperatorProcess, trees: Path, pachd: Pachd, atomic: dict[str, Any], client: str
) -> None:
    before = publishes(operator)
    name = syncs.apply(**atomic | {"inputPath": plant(trees, "tree", TREE), "client": client})
    status = syncs.wait_ready(name)
    (commit,) = commits(pachd, name)
    assert files(pachd, name) == under("tree", TREE)
    assert status["commit"] == commit.commit.id
    assert status["counts"] == {"files": 4, "bytes": 75_001, "verified": 4, "failed": 0}
    assert commit.description.startswith(f"s3sync {syncs.namespace}/{name} run ")
    assert commit.description.endswith(f"digest {status['manifestDigest']}")
    ready = conditions(status)["Ready"]
    assert (ready["reason"], commit.commit.id in ready["message"]) == ("Verified", True)
    assert staged_branches(pachd, name) == []
    wide = syncs.kubectl("get", "ps3", name, "-o", "wide").splitlines()
    assert ("COMMIT" in wide[0], commit.commit.id in wide[1]) == (True, True)
    assert publishes(operator) == (before[0] + 1, before[1] + 1)


def test_what_is_there_already_makes_no_commit(
    syncs: Syncs, operator: OperatorProcess, trees: Path, pachd: Pachd, atomic: dict[str, Any]
) -> None:
    name = syncs.apply(**atomic, inputPath=plant(trees, "tree", TREE))
    first = syncs.wait_ready(name)
    syncs.apply(name, **atomic, inputPath="tree", verify="Checksum")
    status = syncs.wait_reason(name, "Unchanged")
    assert conditions(status)["Ready"]["status"] == "True"
    assert (status["commit"], status["counts"]["unchanged"]) == (first["commit"], 4)
    assert status["manifestDigest"] == first["manifestDigest"]
    assert len(commits(pachd, name)) == 1


def test_only_what_changed_is_copied_and_what_the_input_lost_stays_unless_pruned(
    syncs: Syncs, operator: OperatorProcess, trees: Path, pachd: Pachd, atomic: dict[str, Any]
) -> None:
    plant(trees, "before", TREE)
    name = syncs.apply(**atomic, inputPath="before", destinationPath="data")
    syncs.wait_ready(name)
    changed = {"a.txt": b"another", "b/c.txt": TREE["b/c.txt"]}
    plant(trees, "after", changed)
    syncs.apply(name, **atomic, inputPath="after", destinationPath="data")
    status = syncs.wait_for(name, lambda found: found.get("counts", {}).get("extra") == 2, "run again")
    assert (status["counts"]["verified"], status["counts"]["unchanged"]) == (1, 1)
    assert files(pachd, name) == under("data", TREE | changed)

    syncs.apply(name, **atomic, inputPath="after", destinationPath="data", prune={"dryRun": True})
    status = syncs.wait_for(name, lambda found: "dryRun" in found, "told what would go")
    assert status["dryRun"] == {"delete": ["data/b/d.txt", "data/e.txt"], "count": 2}
    assert conditions(status)["Ready"]["reason"] == "Unchanged"

    syncs.apply(name, **atomic, inputPath="after", destinationPath="data", prune={"maxDeletePercent": 49})
    status = syncs.wait_stalled(name)
    assert conditions(status)["Ready"]["reason"] == "PruneLimitExceeded"

    syncs.apply(name, **atomic, inputPath="after", destinationPath="data", prune={"maxDeletePercent": 50})
    status = syncs.wait_ready(name)
    assert status["counts"]["deleted"] == 2
    assert files(pachd, name) == under("data", changed)
    assert commits(pachd, name)[0].commit.id == status["commit"]
    assert len(commits(pachd, name)) == 3


def test_four_workers_share_the_files_and_make_one_commit(
    syncs: Syncs, operator: OperatorProcess, trees: Path, pachd: Pachd, atomic: dict[str, Any]
) -> None:
    tree = {f"{number}.txt": b"x" * number * 100 for number in range(20)}
    plant(trees, "twenty", tree)
    alone = syncs.apply(**atomic, inputPath="twenty", destinationPath="/")
    together = syncs.apply(**atomic, inputPath="twenty", destinationPath="/", workers=4)
    one, four = syncs.wait_ready(alone), syncs.wait_ready(together)
    assert len(four["podNames"]) == 4
    assert four["counts"] == one["counts"] == {**one["counts"], "files": 20, "verified": 20}
    assert four["manifestDigest"] == one["manifestDigest"]
    for name in (alone, together):
        assert files(pachd, name) == under("", tree)
        assert len(commits(pachd, name)) == 1
        assert staged_branches(pachd, name) == []


def test_without_verification_a_sync_is_copied_and_never_verified(
    syncs: Syncs, operator: OperatorProcess, trees: Path, pachd: Pachd, atomic: dict[str, Any]
) -> None:
    name = syncs.apply(**atomic, inputPath=plant(trees, "tree", TREE), verify="None", workers=2)
    status = syncs.wait_ready(name)
    assert conditions(status)["Ready"]["reason"] == "Copied"
    assert (status["counts"]["verified"], status.get("manifestDigest")) == (0, None)
    assert files(pachd, name) == under("tree", TREE)


def test_a_target_that_somebody_holds_open_is_waited_for(
    syncs: Syncs, operator: OperatorProcess, trees: Path, pachd: Pachd, atomic: dict[str, Any]
) -> None:
    plant(trees, "tree", TREE)
    branch = pachd.branch("held")
    pachd.api.create_repo(repo=branch.repo)
    theirs = pachd.start(branch, "somebody else's")
    name = syncs.apply(**atomic, repo="held", inputPath="tree")
    status = syncs.wait_reason(name, "TargetBusy")
    assert "somebody else's" in conditions(status)["Ready"]["message"]
    assert syncs.kubectl("get", "tfjobs", "-o", "name") == ""
    pachd.modify(theirs, [add("/theirs", b"x")])
    pachd.finish(theirs)
    syncs.wait_ready(name)
    assert files(pachd, "held") == {"/theirs": b"x"} | under("tree", TREE)


def test_a_head_that_finished_with_an_error_counts_for_nothing(
    syncs: Syncs, operator: OperatorProcess, trees: Path, pachd: Pachd, atomic: dict[str, Any]
) -> None:
    plant(trees, "tree", TREE)
    branch = pachd.branch("broken")
    pachd.api.create_repo(repo=branch.repo)
    pachd.commit(branch, {"/tree/a.txt": b"a", "/tree/old": b"old", "/beside": b"beside"})
    spoilt = pachd.start(branch)
    pachd.write(spoilt, {"/tree/spoilt": b"x"})
    pachd.api.finish_commit(commit=spoilt, error="spoilt")
    name = syncs.apply(**atomic, repo="broken", inputPath="tree", prune={})
    status = syncs.wait_ready(name)
    assert files(pachd, "broken") == {"/beside": b"beside"} | under("tree", TREE)
    assert (status["counts"]["unchanged"], status["counts"]["deleted"]) == (1, 1)


def test_what_a_deleted_sync_had_staged_is_collected(
    syncs: Syncs, own_operator: OperatorProcess, trees: Path, pachd: Pachd, atomic: dict[str, Any]
) -> None:
    plant(trees, "tree", TREE)
    branch = pachd.branch("kept")
    pachd.api.create_repo(repo=branch.repo)
    pachd.start(branch, "somebody else's")
    name = syncs.apply(**atomic, repo="kept", inputPath="tree")
    syncs.wait_reason(name, "TargetBusy")
    staged = f"s3sync-{owner_of(syncs.get(name)['metadata']['uid'])}00000000-w0"
    pachd.commit(pachd.branch("kept", staged), {"/x": b"x"}, f"s3sync-job on {staged}: files")
    syncs.kubectl("delete", "ps3", name)
    deadline = time.monotonic() + WAIT_SECONDS
    while staged_branches(pachd, "kept"):
        assert time.monotonic() < deadline, "the staging branch is still there"
        time.sleep(0.2)


def test_a_sync_that_needs_pachd_is_refused_where_nobody_knows_one(syncs: Syncs, operator: OperatorProcess) -> None:
    status = syncs.wait_stalled(syncs.apply(publish="Atomic"))
    ready = conditions(status)["Ready"]
    assert ready["reason"] == "InvalidSpec"
    assert ready["message"].startswith("spec.publish: Atomic needs Pachyderm's gRPC API; set spec.pachdAddress")


def test_the_operators_address_makes_syncs_atomic_and_its_token_is_never_shown(
    installed: LocalCluster, namespace: str, tmp_path: Path, trees: Path
) -> None:
    with StandinProcess(tokens=["a-secret-token"]) as guarded:
        settings = QUICK | {"default_pachd_address": guarded.pachd_address, "log_level": "debug"}
        syncs = Syncs(installed, namespace, guarded.endpoint)
        syncs.kubectl("create", "secret", "generic", "good", "--from-literal=token=a-secret-token")
        syncs.kubectl("create", "secret", "generic", "bad", "--from-literal=token=another-token")
        plant(trees, "tree", TREE)
        with OperatorProcess(installed, tmp_path / "operator.log", namespaces=namespace, **settings) as operator:
            spec = {"image": TREES_IMAGE, "inputPath": "tree"}
            name = syncs.apply(**spec, secretRef={"name": "good"})
            refused = syncs.apply(**spec, secretRef={"name": "bad"})
            assert syncs.wait_ready(name)["commit"]
            assert conditions(syncs.wait_stalled(refused))["Ready"]["reason"] == "AccessDenied"
            shown = syncs.kubectl("get", "ps3,tfjobs,pods,events", "-o", "yaml") + operator.log.read_text()
        assert "a-secret-token" not in shown
        assert "another-token" not in shown
