"""The stand-in as a program: prints one JSON line when it listens, stops on SIGTERM and SIGINT."""

import argparse
import asyncio
import ctypes
import json
import logging
import os
import shutil
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pachyderm_standin.app import Settings, running
from pachyderm_standin.costs import PRESETS
from pachyderm_standin.gateway import NEWEST, OLDEST
from pachyderm_standin.roles import Grant, read_grants

PR_SET_PDEATHSIG = 1
RELEASES = {str(release): release for release in (OLDEST, NEWEST)}


class UsageError(ValueError):
    """A flag that cannot be used; the message names it and says what to do."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="pachyderm-standin",
        description="A stand-in for Pachyderm's S3 gateway and gRPC API. Prints one JSON line when it listens: "
        "{endpoint, control, grpc}.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="port of the S3 gateway; 0 takes a free one")
    parser.add_argument("--control-port", type=_port, default=0, help="port of the control API; 0 takes a free one")
    parser.add_argument("--grpc-port", type=_port, default=0, help="port of the gRPC API; 0 takes a free one")
    parser.add_argument("--tls-cert", type=Path, help="serve S3 and gRPC over TLS: a PEM file with the certificates")
    parser.add_argument("--tls-key", type=Path, help="the PEM file with the key of --tls-cert")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder for stored bytes; made if missing")
    parser.add_argument(
        "--auth-token-file",
        type=Path,
        help="turn Pachyderm's auth on: a file of valid tokens, one a line, or TOKEN ROLE PROJECT/REPO",
    )
    parser.add_argument("--commit-latency", type=_seconds, default=0.0, help="seconds that a commit takes to finish")
    parser.add_argument(
        "--costs", choices=PRESETS, default="none", help="let things take as long as on a real Pachyderm, modelled"
    )
    parser.add_argument(
        "--release",
        choices=RELEASES,
        default=str(NEWEST),
        help="answer as this release of Pachyderm does, where it matters to a sync (%(default)s)",
    )
    parser.add_argument("--remove-data-dir", action="store_true", help="remove the data folder in the end")
    parser.add_argument("--outlive-parent", action="store_true", help="go on when the starting process ends")
    return parser.parse_args(argv)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give a number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a latency; give seconds from 0 to 60")
    return value


def read_settings(args: argparse.Namespace) -> Settings:
    """Turn the command line into settings, or raise `UsageError`."""
    try:
        args.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--data-dir: cannot make {args.data_dir} ({error}); give a writable folder") from error
    _check_tls(args)
    return Settings(
        args.data_dir,
        host=args.host,
        port=args.port,
        control_port=args.control_port,
        grpc_port=args.grpc_port,
        tokens=_read_tokens(args.auth_token_file) if args.auth_token_file else None,
        commit_latency=args.commit_latency,
        costs=PRESETS[args.costs],
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        release=RELEASES[args.release],
    )


def _check_tls(args: argparse.Namespace) -> None:
    if (args.tls_cert is None) != (args.tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together; give both or none")
    if args.tls_cert is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(args.tls_cert, args.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"--tls-cert/--tls-key: cannot use {args.tls_cert} with {args.tls_key} ({error}); give PEM files that match"
        ) from error


def _read_tokens(path: Path) -> dict[str, Grant | None]:
    try:
        tokens = read_grants(path.read_text())
    except OSError as error:
        raise UsageError(f"--auth-token-file: cannot read {path} ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"--auth-token-file: {path}: {error}") from error
    if not tokens:
        raise UsageError(f"--auth-token-file: {path} holds no token; write one a line")
    return tokens


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when the starting thread ends, also if that has happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


async def serve(settings: Settings) -> None:
    """Serve until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(settings) as endpoints:
        print(json.dumps(asdict(endpoints)), flush=True)
        await stop.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stand-in; exit code 2 for a flag that cannot be used, 1 if it cannot listen."""
    parent = os.getppid()
    args = parse_args(argv)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    if not args.outlive_parent:
        die_with_parent(parent)
    try:
        asyncio.run(serve(read_settings(args)))
    except UsageError as error:
        print(f"pachyderm-standin: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"pachyderm-standin: --host/--port: cannot listen ({error}); choose another", file=sys.stderr)
        return 1
    finally:
        if args.remove_data_dir:
            shutil.rmtree(args.data_dir, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
