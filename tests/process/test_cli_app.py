"""What shells complete; what the program loads stands in test_start_up.py."""

import pytest
from click.testing import CliRunner

from s3sync_cli.app import app


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(app, ["completion", shell])
    assert result.exit_code == 0
    assert f"_S3SYNC_COMPLETE={shell}_complete" in result.output
