"""The command line: build images into the cache and say where they are."""

import argparse
import sys
from collections.abc import Sequence

from s3sync_local.__main__ import say
from s3sync_local.errors import LocalClusterError
from s3sync_local.images.build import build_images
from s3sync_local.images.catalogue import RECIPES


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands; errors go to standard error as one message, with exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except LocalClusterError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m s3sync_local.images", description=__doc__)
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="build what the cache lacks and print where each archive is")
    build.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}; default: all")
    build.set_defaults(run=_build)
    return parser


def _build(options: argparse.Namespace) -> None:
    for reference, archive in build_images(say, options.names or None).items():
        sys.stdout.write(f"{reference}  {archive}\n")


if __name__ == "__main__":
    main()
