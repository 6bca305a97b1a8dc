"""The program in a process of its own: what it loads, and what shells complete."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from s3sync_cli.app import app


def loaded_by(code: str) -> set[str]:
    code = f"import sys\nfrom s3sync_cli.app import app\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return {name.partition(".")[0] for name in ran.stderr.split()}


def test_help_loads_neither_kubernetes_nor_tensorflow() -> None:
    loaded = loaded_by("app.main(['--help'], prog_name='s3sync', standalone_mode=False)")
    assert loaded & {"kubernetes", "tensorflow", "s3sync_operator", "kopf", "grpc", "yaml"} == set()


def test_no_command_loads_tensorflow_before_it_runs() -> None:
    loaded = loaded_by("for name in app.list_commands(None): app.get_command(None, name)")
    assert loaded & {"tensorflow", "s3sync_job", "botocore", "grpc"} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(app, ["completion", shell])
    assert result.exit_code == 0
    assert f"_S3SYNC_COMPLETE={shell}_complete" in result.output
