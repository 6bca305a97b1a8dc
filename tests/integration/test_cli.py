"""`s3sync` on a real API server, with the operator at work; and as kubectl's plugin."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED
from tests.integration.conftest import Syncs, conditions, plant
from tests.support.command_line import Ran, completed, s3sync
from tests.support.operator_process import OperatorProcess

PROGRAMS = Path(sys.executable).parent
SECONDS = 120
pytestmark = pytest.mark.timeout(SECONDS)


@dataclass(frozen=True)
class Cli:
    """Runs s3sync with a kubeconfig whose current context names the test's namespace."""

    kubeconfig: Path
    path: str

    def __call__(self, *arguments: str) -> Ran:
        """Run a command in this process."""
        where = () if "--kubeconfig" in arguments else ("--kubeconfig", str(self.kubeconfig))
        return s3sync(*arguments, *where)

    def process(self, program: str | Path, *arguments: str) -> Ran:
        """Run a program, which is told of the kubeconfig by its environment."""
        ran = subprocess.run(
            [program, *arguments],
            env={"PATH": self.path, "HOME": "/nonexistent", "KUBECONFIG": str(self.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    @property
    def nowhere(self) -> str:
        """A namespace without syncs."""
        return str(yaml.safe_load(self.kubeconfig.read_text())["contexts"][1]["context"]["namespace"])


@pytest.fixture
def cli(syncs: Syncs, installed: LocalCluster, tmp_path: Path) -> Cli:
    raw = yaml.safe_load(installed.kubeconfig.read_text())
    context = dict(raw["contexts"][0]["context"])
    raw["contexts"] = [
        {"name": "here", "context": context | {"namespace": syncs.namespace}},
        {"name": "nowhere", "context": context | {"namespace": f"{syncs.namespace}-of-nobody"}},
    ]
    raw["current-context"] = "here"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(raw))
    return Cli(path, f"{PROGRAMS}:{installed.kubectl_path.parent}:{os.environ['PATH']}")


def test_a_sync_that_is_ready_is_told_in_full_and_ends_with_0(
    cli: Cli, syncs: Syncs, operator: OperatorProcess
) -> None:
    name = syncs.apply()
    status = syncs.wait_ready(name)
    ran = cli("status", name)
    assert (ran.code, ran.errors) == (0, "")
    assert ran.output.startswith(f"{name} (namespace {syncs.namespace})\n")
    assert status["tfJobName"] in ran.output
    assert "2 verified" in ran.output
    assert "Nothing needs to be done" in ran.output


def test_a_sync_that_failed_is_told_with_what_to_do_and_ends_with_1(
    cli: Cli, syncs: Syncs, operator: OperatorProcess
) -> None:
    name = syncs.apply(inputPath="absent")
    syncs.wait_stalled(name)
    ran = cli("status", name)
    assert ran.code == 1
    assert "Check spec.inputPath: it is no directory in the pod." in ran.output
    told = json.loads(cli("status", name, "-o", "json").output)
    assert (told["ready"], told["reason"]) == (False, "InputPathNotFound")
    assert told["status"] == syncs.get(name)["status"]


def test_all_syncs_are_a_table_of_the_contexts_namespace_or_of_all(cli: Cli, syncs: Syncs) -> None:
    names = sorted(syncs.apply() for _ in range(2))
    ran = cli("status")
    assert ran.code == 1
    assert [line.split()[0] for line in ran.output.splitlines()] == ["NAME", *names]
    everywhere = cli("status", "-A", "-o", "wide").output
    assert {f"{syncs.namespace} {name}" for name in names} <= {
        " ".join(line.split()[:2]) for line in everywhere.splitlines()
    }
    assert [item["name"] for item in json.loads(cli("status", "-o", "json").output)] == names
    assert cli("status", "--context", "nowhere").output == "there are no syncs\n"


def test_the_namespace_flag_goes_before_the_context(cli: Cli, syncs: Syncs) -> None:
    name = syncs.apply()
    assert cli("status", name, "--context", "nowhere", "-n", syncs.namespace).output.startswith(name)


@pytest.mark.parametrize("command", ["status", "retry", "suspend", "resume", "logs"])
def test_a_sync_that_does_not_exist_is_one_line_and_exit_code_3(cli: Cli, command: str) -> None:
    ran = cli(command, "absent")
    assert ran.code == 3
    assert ran.one_line == 's3sync: not found: pachydermsyncs.sync.pachyderm.io "absent" not found'


def test_a_cluster_that_does_not_answer_is_one_line_and_exit_code_3(cli: Cli, tmp_path: Path) -> None:
    raw = yaml.safe_load(cli.kubeconfig.read_text())
    raw["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "away").write_text(yaml.safe_dump(raw))
    ran = cli("status", "--kubeconfig", str(tmp_path / "away"))
    assert (ran.code, ran.one_line.startswith("s3sync: the API server cannot be reached: ")) == (3, True)
    ran = cli("status", "--kubeconfig", str(tmp_path / "absent"))
    assert (ran.code, "there is no kubeconfig" in ran.one_line) == (3, True)
    ran = cli("status", "--context", "absent")
    assert (ran.code, "absent" in ran.one_line) == (3, True)


def test_a_user_without_rights_is_told_what_is_refused(cli: Cli, installed: LocalCluster, syncs: Syncs) -> None:
    nobody = installed.kubeconfig_for("nobody")
    ran = cli("status", "--kubeconfig", str(nobody), "-n", syncs.namespace)
    assert ran.code == 3
    assert ran.one_line.startswith("s3sync: the API server refuses: pachydermsyncs.sync.pachyderm.io is forbidden")


def test_a_token_that_nobody_knows_is_told(cli: Cli, tmp_path: Path) -> None:
    raw = yaml.safe_load(cli.kubeconfig.read_text())
    raw["users"] = [{"name": user["name"], "user": {"token": "unknown"}} for user in raw["users"]]
    (tmp_path / "stranger").write_text(yaml.safe_dump(raw))
    ran = cli("status", "--kubeconfig", str(tmp_path / "stranger"))
    assert (ran.code, "log in, or choose another --context" in ran.one_line) == (3, True)


def test_suspending_and_resuming_leave_the_spec_as_it_was(cli: Cli, syncs: Syncs) -> None:
    name = syncs.apply()
    before = syncs.get(name)["spec"]
    assert cli("suspend", name).code == 0
    assert syncs.get(name)["spec"] == before | {"suspend": True}
    assert cli("resume", name).code == 0
    assert syncs.get(name)["spec"] == before


def test_a_retry_asks_for_a_run_by_a_value_that_is_new_each_time(cli: Cli, syncs: Syncs) -> None:
    name = syncs.apply()
    asked = []
    for _ in range(2):
        ran = cli("retry", name)
        asked.append(syncs.get(name)["metadata"]["annotations"][ANNOTATION_RUN_REQUESTED])
        assert (ran.code, asked[-1] in ran.output) == (0, True)
    assert asked[0] != asked[1]


def test_a_suspended_sync_is_not_asked_to_run(cli: Cli, syncs: Syncs) -> None:
    name = syncs.apply(suspend=True)
    ran = cli("retry", name)
    assert (ran.code, f"s3sync resume {name} -n {syncs.namespace}" in ran.one_line) == (1, True)
    assert ANNOTATION_RUN_REQUESTED not in syncs.get(name)["metadata"]["annotations"]


def test_without_an_operator_a_retry_is_waited_for_no_longer_than_asked(cli: Cli, syncs: Syncs) -> None:
    ran = cli("retry", syncs.apply(), "--wait", "--timeout", "2")
    assert ran.code == 4
    assert "the operator has not begun the run" in ran.errors


def test_a_retry_is_waited_for_and_its_end_is_told(
    cli: Cli, syncs: Syncs, operator: OperatorProcess, trees: Path
) -> None:
    plant(trees, "grows", {"a.txt": b"a"})
    name = syncs.apply_tree("grows")
    first = syncs.wait_ready(name)
    plant(trees, "grows", {"b.txt": b"b"})
    ran = cli("retry", name, "--wait", "--timeout", "60")
    assert ran.code == 0, ran.errors
    status = syncs.get(name)["status"]
    assert (status["counts"]["files"], status["tfJobName"] != first["tfJobName"]) == (2, True)
    assert status["lastHandledRunRequest"] in ran.errors
    assert list(conditions(status)) == ["Ready"]


def test_a_retry_that_fails_ends_with_1(cli: Cli, syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(inputPath="absent")
    syncs.wait_stalled(name)
    ran = cli("retry", name, "--wait", "--timeout", "60")
    assert (ran.code, "InputPathNotFound" in ran.output) == (1, True)


def test_the_log_is_that_of_the_run_with_each_line_once(cli: Cli, syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply()
    syncs.wait_ready(name)
    ran = cli("logs", name)
    assert ran.code == 0, ran.errors
    assert sum("copying 2 files" in line for line in ran.output.splitlines()) == 1
    assert "s3syncReport" in ran.output.splitlines()[-1]


def test_a_log_is_followed_from_before_the_pod_to_the_end_of_the_run(
    cli: Cli, syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    name = syncs.apply()
    ran = cli("logs", name, "-f")
    assert ran.code == 0, ran.errors
    assert "s3syncReport" in ran.output.splitlines()[-1]
    assert syncs.get(name)["status"]["phase"] == "Succeeded"


def test_all_workers_are_told_apart_by_their_pods_names(
    cli: Cli, syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    name = syncs.apply(workers=2, pachdAddress=standin.pachd_address)
    status = syncs.wait_ready(name)
    ran = cli("logs", name, "--all-workers")
    prefixes = {line.partition("]")[0].removeprefix("[") for line in ran.output.splitlines()}
    assert prefixes == set(status["podNames"])


def test_a_sync_without_kubeflow_is_followed_and_retried_as_one_with_it(
    cli: Cli, syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    name = syncs.apply(runner="Job", workers=2, pachdAddress=standin.pachd_address)
    followed = cli("logs", name, "-f", "--all-workers")
    assert followed.code == 0, followed.errors
    first = syncs.wait_ready(name)
    assert {line.partition("]")[0].removeprefix("[") for line in followed.output.splitlines()} == set(first["podNames"])
    ran = cli("retry", name, "--wait", "--timeout", "60")
    assert ran.code == 0, ran.errors
    assert syncs.get(name)["status"]["jobName"] != first["jobName"]


def test_a_log_of_no_pod_is_waited_for_no_longer_than_asked(cli: Cli, syncs: Syncs) -> None:
    ran = cli("logs", syncs.apply(), "--pod-timeout", "1")
    assert (ran.code, "no job was made for it within 1 seconds" in ran.one_line) == (4, True)


def test_a_run_that_had_no_job_has_no_log(cli: Cli, syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(client="pfs")
    syncs.wait_stalled(name)
    ran = cli("logs", name)
    assert (ran.code, "its last run had no job" in ran.one_line) == (3, True)


def test_the_program_ends_with_the_code_of_the_command_and_one_line(cli: Cli, tmp_path: Path) -> None:
    ran = Cli(tmp_path / "absent", cli.path).process(PROGRAMS / "s3sync", "status")
    assert (ran.code, ran.output) == (3, "")
    assert "there is no kubeconfig" in ran.one_line


def test_kubectl_finds_the_plugin_and_completes_its_arguments(cli: Cli, syncs: Syncs) -> None:
    name = syncs.apply()
    assert f"{name} (namespace {syncs.namespace})" in cli.process("kubectl", "s3sync", "status", name).output
    assert "kubectl-s3sync" in cli.process("kubectl", "plugin", "list").output
    completed = cli.process("kubectl", "__complete", "s3sync", "status", "").output.splitlines()
    assert (completed[0].split("\t")[0], completed[-1]) == (name, ":4")


COMPLETING = """
source <(s3sync completion bash)
complete -p s3sync >/dev/null || exit 9
press_tab() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _s3sync_completion s3sync 2>/dev/null
    echo "${COMPREPLY[@]}"
}
press_tab s3sync re
press_tab s3sync status ''
KUBECONFIG=/nonexistent press_tab s3sync status ''
"""


def test_a_real_bash_completes_commands_and_the_names_of_syncs(cli: Cli, syncs: Syncs) -> None:
    names = sorted(syncs.apply() for _ in range(2))
    ran = cli.process("bash", "--norc", "--noprofile", "-c", COMPLETING)
    assert ran.code == 0, ran.errors
    assert ran.output.splitlines() == ["retry resume render", " ".join(names), ""]


def test_flags_and_names_are_completed_and_nothing_where_no_cluster_answers(
    cli: Cli, syncs: Syncs, tmp_path: Path
) -> None:
    names = sorted(syncs.apply() for _ in range(2))
    here = ("--kubeconfig", str(cli.kubeconfig))
    assert completed("s3sync", "logs", "--fo") == ["--follow"]
    assert completed("s3sync", "status", *here, "") == names
    assert completed("s3sync", "status", *here, names[0][:-1]) == [name for name in names if name[:-1] == names[0][:-1]]
    assert completed("s3sync", "status", *here, "-n", cli.nowhere, "") == []
    assert completed("s3sync", "status", "--kubeconfig", str(tmp_path / "absent"), "") == []
