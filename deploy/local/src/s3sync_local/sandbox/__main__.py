"""`python -m s3sync_local.sandbox -- COMMAND…`: run a command in a sandbox and exit as it does."""

import sys

from s3sync_local.errors import LocalClusterError
from s3sync_local.sandbox.outside import run

USAGE = "usage: python -m s3sync_local.sandbox -- COMMAND [ARGUMENT…]"


def main() -> None:
    """Run the command that stands after `--`."""
    arguments = sys.argv[1:]
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(f"{USAGE}\n\n{__doc__}\n")
        return
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        sys.exit(f"error: no command is given; {USAGE}")
    try:
        sys.exit(run(command))
    except LocalClusterError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
