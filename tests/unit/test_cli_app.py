"""The program as a whole: its commands, its help, what kubectl completes."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from s3sync_cli import kubectl_completion
from s3sync_cli.app import COMMANDS, app

CONTEXT = click.Context(app, info_name="s3sync")
EXAMPLE = re.compile(r"(?:kubectl s3sync|s3sync) ([^|)>]+)")


def command(name: str) -> click.Command:
    found = app.get_command(CONTEXT, name)
    assert found
    return found


def examples() -> list[str]:
    found = []
    for name in COMMANDS:
        lines = (command(name).help or "").split("Examples:")[1].split("\n\n")[0].splitlines()
        found += [match.group(1).strip() for line in lines if (match := EXAMPLE.search(line))]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_examples_and_says_what_its_flags_do(name: str) -> None:
    found = command(name)
    assert f"s3sync {name}" in (found.help or "").split("Examples:")[1]
    undescribed = [item.name for item in found.params if isinstance(item, click.Option) and not item.help]
    assert undescribed == []


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"completion"}))
def test_each_command_tells_its_exit_codes(name: str) -> None:
    assert "Exit codes" in (command(name).help or "")


@pytest.mark.parametrize("example", examples())
def test_each_example_is_a_command_line_that_is_taken(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deploy/samples").mkdir(parents=True)
    for name in ("deploy/samples/s3-gateway-example.yaml", "sync.yaml", "secret.yaml", "new.yaml", "applied.yaml"):
        (tmp_path / name).touch()
    name, *arguments = shlex.split(example)
    command(name).make_context(name, arguments).close()


def test_there_are_examples_of_every_command() -> None:
    assert {example.split()[0] for example in examples()} == set(COMMANDS)


def test_a_command_that_does_not_exist_is_told_with_exit_code_2() -> None:
    result = CliRunner().invoke(app, ["statsu"])
    assert (result.exit_code, "No such command 'statsu'" in result.output) == (2, True)


def test_kubectl_completes_commands_with_what_they_do() -> None:
    assert kubectl_completion.candidates([], "re") == (
        "retry\tRun a sync once more.\n"
        "resume\tLet a suspended sync run again.\n"
        "render\tShow the TFJob or Job that a sync would run as.\n"
        ":4\n"
    )


def test_kubectl_completes_flags_and_their_values() -> None:
    assert "--all-namespaces\t" in kubectl_completion.candidates(["status"], "--all")
    assert kubectl_completion.candidates(["status", "-o"], "w") == "wide\n:4\n"


def test_kubectl_completes_file_names_where_a_file_is_wanted() -> None:
    assert kubectl_completion.candidates(["validate", "-f"], "") == ":0\n"
