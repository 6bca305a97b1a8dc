"""How a command ends badly: one line for a person, and an exit code for a script."""

from typing import IO, Any, ClassVar

import click

EXIT_NOT_AS_WANTED = 1
EXIT_INTERRUPTED = 130


class CliError(click.ClickException):
    """Something is not as it was asked for: ends the command with a line on standard error and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line."""
        click.echo(f"s3sync: {' '.join(self.message.split())}", file=file, err=file is None)


class MisusedError(CliError):
    """A flag, a variable or a file is at fault."""

    exit_code: ClassVar[int] = 2


class UnavailableError(CliError):
    """A sync, or the whole cluster, cannot be had."""

    exit_code: ClassVar[int] = 3


class TimeLimitError(CliError):
    """What was waited for did not come in time."""

    exit_code: ClassVar[int] = 4
