"""The command line: build images and say where they are, their bills of materials, whether they can be reproduced."""

import argparse
import sys
from collections.abc import Sequence

from s3sync_local.__main__ import say
from s3sync_local.errors import ImageError, LocalClusterError
from s3sync_local.images import store
from s3sync_local.images.archive import describe
from s3sync_local.images.audit import Verdict, audit
from s3sync_local.images.build import SBOM, build_images, ensure_entries, reproduce
from s3sync_local.images.catalogue import RECIPES
from s3sync_local.images.foundation import ARCHIVE
from s3sync_local.images.sbom import validate

PRODUCTS = [recipe.name for recipe in RECIPES.values() if recipe.package]
NOT_REACHED_CODE = 3
"""The exit code of an audit whose data could not be had: `make audit` takes it for neither a pass nor a failure."""


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
    listed = commands.add_parser("list", help="show the images, and what was built of them last")
    listed.set_defaults(run=_list, names=[])
    for name, run, known, text in (
        ("build", _build, list(RECIPES), "build what the cache lacks and print where each archive is"),
        ("sbom", _sbom, PRODUCTS, "print where the bill of materials of each product's image is"),
        ("reproduce", _reproduce, list(RECIPES), "build twice from nothing and compare; fails where the two differ"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; default: all of them")
        command.set_defaults(run=run, known=known)
    check = commands.add_parser("audit", help="check the locked dependencies for known vulnerabilities")
    check.add_argument("--service-url", help="a service that speaks as OSV does, instead of OSV itself")
    check.set_defaults(run=_audit)
    return parser


def _names(options: argparse.Namespace) -> list[str]:
    if unknown := sorted(set(options.names) - set(options.known)):
        raise ImageError(f"NAME: {', '.join(unknown)} is none of {', '.join(options.known)}")
    return options.names or list(options.known)


def _list(_options: argparse.Namespace) -> None:
    for name, recipe in RECIPES.items():
        built = store.newest(store.images_dir(), name)
        archive = describe(built / ARCHIVE) if built else None
        size = f"{archive.unpacked_bytes / 1e6:.0f} MB  {archive.image_id}  {archive.path}" if archive else "not built"
        sys.stdout.write(f"{name}  {recipe.reference}  {size}\n")


def _build(options: argparse.Namespace) -> None:
    for reference, archive in build_images(say, _names(options)).items():
        sys.stdout.write(f"{reference}  {archive}\n")


def _sbom(options: argparse.Namespace) -> None:
    for reference, entry in ensure_entries(say, _names(options)).items():
        validate((entry / SBOM).read_text())
        sys.stdout.write(f"{reference}  {entry / SBOM}\n")


def _reproduce(options: argparse.Namespace) -> None:
    for name in _names(options):
        first, second = reproduce(name, say)
        if first != second:
            raise ImageError(f"{name} is not reproducible: two builds gave {first} and {second}")
        sys.stdout.write(f"{name}  reproducible, sha256:{first}\n")


def _audit(options: argparse.Namespace) -> None:
    verdict, text = audit(options.service_url)
    sys.stdout.write(f"{text}\n")
    sys.exit({Verdict.CLEAN: 0, Verdict.VULNERABLE: 1, Verdict.NOT_REACHED: NOT_REACHED_CODE}[verdict])


if __name__ == "__main__":
    main()
