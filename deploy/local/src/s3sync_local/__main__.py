"""The command line: build the programs, bring a local cluster up, see what runs, take it down."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from s3sync_local import statedir
from s3sync_local.binaries import CONTROL_PLANE, TRAINING_OPERATOR, ensure_binaries, ensure_modules
from s3sync_local.clients import GO_CLIENTS, TESTED, ensure_clients, ensure_plotter
from s3sync_local.cluster import LocalCluster
from s3sync_local.components import Layout
from s3sync_local.errors import LocalClusterError, MissingToolError
from s3sync_local.helm import HELM
from s3sync_local.paths import clusters_dir
from s3sync_local.promtool import PROMTOOL
from s3sync_local.realnode import up as up_with_real_node

PROGRAMS = {
    "cluster": (CONTROL_PLANE, TRAINING_OPERATOR),
    "helm": (HELM,),
    "promtool": (PROMTOOL,),
    "clients": tuple(GO_CLIENTS[name] for name in TESTED if name in GO_CLIENTS),
}
"""What can be built, with its Go modules."""

WATCH_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands; errors go to standard error as one message, with exit code 1."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options.run(options)
    except LocalClusterError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def say(text: str) -> None:
    """Write one progress line."""
    sys.stdout.write(f"==> {text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m s3sync_local", description=__doc__)
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="build programs into the cache, side by side")
    build.add_argument("names", nargs="*", metavar="NAME", default=["cluster"], help=f"of {', '.join(PROGRAMS)}")
    build.set_defaults(run=_build)
    up = commands.add_parser("up", help="run a cluster until Ctrl-C, SIGTERM or `down`")
    up.add_argument("--detach", action="store_true", help="return when it is ready and leave it running until `down`")
    up.add_argument("--owner-pid", type=int, help="with --detach: end it when this process ends")
    up.add_argument("--state-dir", type=Path, help="where its files are kept; default: a directory in the cache")
    up.add_argument("--images", type=Path, help="the node's image catalogue (YAML)")
    up.set_defaults(run=_up)
    up_with_real_node.add_command(commands, say)
    for name, run, text in (("status", _status, "show the clusters that run"), ("down", _down, "stop them")):
        command = commands.add_parser(name, help=text)
        command.add_argument("state_dir", type=Path, nargs="?", help="only this one; default: all in the cache")
        command.set_defaults(run=run)
    return parser


def _build(options: argparse.Namespace) -> None:
    if unknown := [name for name in options.names if name not in PROGRAMS]:
        raise MissingToolError(f"{unknown[0]!r} is none of {', '.join(PROGRAMS)}")
    ensure_modules([module for name in options.names for module in PROGRAMS[name]], say)
    if "cluster" in options.names:
        ensure_binaries(say)
    if "clients" in options.names:
        ensure_clients(TESTED, say)
        ensure_plotter(say)


def _up(options: argparse.Namespace) -> None:
    cluster = LocalCluster(
        options.state_dir,
        images=options.images,
        detach=options.detach,
        owner_pid=options.owner_pid,
        progress=say,
    )
    cluster.start()
    say(f"ready: {cluster.server}")
    sys.stdout.write(f"export KUBECONFIG={cluster.kubeconfig}\n")
    sys.stdout.flush()
    if options.detach:
        cluster.leave()
        return
    try:
        while True:
            cluster.check()
            time.sleep(WATCH_SECONDS)
    finally:
        say("stopping")
        cluster.stop()


def _chosen(options: argparse.Namespace) -> list[Path]:
    if options.state_dir is None:
        return statedir.running(clusters_dir())
    return [options.state_dir] if statedir.is_running(options.state_dir) else []


def _status(options: argparse.Namespace) -> None:
    """Print one line for each running cluster; exit code 3 where none runs, as systemctl does."""
    found = _chosen(options)
    for root in found:
        sys.stdout.write(f"{_server(root)}  KUBECONFIG={Layout(root).kubeconfig('admin')}\n")
    if not found:
        say("no local cluster is running")
        sys.exit(3)


def _down(options: argparse.Namespace) -> None:
    for root in _chosen(options):
        statedir.stop(root)
        say(f"stopped the cluster of {root}")


def _server(root: Path) -> str:
    try:
        return str(json.loads(Layout(root).info.read_text())["server"])
    except FileNotFoundError:
        return "starting"


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
