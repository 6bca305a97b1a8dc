"""`python -m s3sync_local.sandbox [--need NAME…] -- COMMAND…`: run a command in a sandbox and exit as it does.

A sandbox has no network, so what the command needs of it is named by --need, and made before.
"""

import argparse
import sys

from s3sync_local.errors import LocalClusterError
from s3sync_local.sandbox.needs import NEEDS, provide
from s3sync_local.sandbox.outside import run

USAGE = "usage: python -m s3sync_local.sandbox [--need NAME…] -- COMMAND [ARGUMENT…]"


def main() -> None:
    """Make what is needed, and run the command that stands after `--`."""
    parser = argparse.ArgumentParser(usage=USAGE.removeprefix("usage: "), description=__doc__)
    parser.add_argument("--need", nargs="+", action="extend", default=[], metavar="NAME", help=f"of {', '.join(NEEDS)}")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run")
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        sys.exit(f"error: no command is given; {USAGE}")
    try:
        provide(options.need, lambda text: print(f"==> {text}", flush=True))
        sys.exit(run(command))
    except LocalClusterError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
