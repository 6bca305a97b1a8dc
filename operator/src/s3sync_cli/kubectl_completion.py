"""`kubectl_complete-s3sync`: what kubectl calls to complete the arguments of `kubectl s3sync`.

Source: kubectl's plugin completion (k8s.io/kubectl/pkg/cmd/plugin_completion.go): a candidate a line, a tab and what it
is behind it; the last line is `:` and cobra's directive, of which 4 is "no file names" and 0 is "file names too".
"""

import sys
from collections.abc import Sequence

from click.shell_completion import CompletionItem, ShellComplete

from s3sync_cli.app import app

NO_FILES, FILES = 4, 0


def main() -> None:
    """Print the candidates for the last argument."""
    *before, incomplete = sys.argv[1:] or [""]
    sys.stdout.write(candidates(before, incomplete))


def candidates(before: Sequence[str], incomplete: str) -> str:
    """Return the candidates for an argument that follows others, as kubectl reads them."""
    found = ShellComplete(app, {}, "kubectl s3sync", "").get_completions(list(before), incomplete)
    wants_files = any(item.type in ("file", "dir") for item in found)
    lines = [_line(item) for item in found if item.type == "plain"]
    return "".join(f"{line}\n" for line in [*lines, f":{FILES if wants_files else NO_FILES}"])


def _line(item: CompletionItem[str]) -> str:
    return f"{item.value}\t{item.help}" if item.help else str(item.value)
