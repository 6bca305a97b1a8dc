"""`python -m s3sync_local realup [-- COMMAND…]`: a cluster with a real node for as long as a command runs."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s3sync_local import sandbox
from s3sync_local.gobuild import Progress
from s3sync_local.images import build_images
from s3sync_local.realnode.cluster import OWN_IMAGES, RealCluster
from s3sync_local.realnode.programs import ensure_programs

DEFAULT_IMAGES = ("operator", "job", "standin")


def add_command(commands: Any, progress: Progress) -> None:
    """Add the command to the parser's subcommands."""
    text = "run a cluster with a real node, as root, while a command runs (a shell by default), KUBECONFIG set"
    command = commands.add_parser("realup", help=text)
    command.add_argument("--image", action="append", choices=DEFAULT_IMAGES, help="on the node; default: all of ours")
    command.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="default: $SHELL")
    command.set_defaults(run=lambda options: sys.exit(_up(options, progress)))


def _up(options: argparse.Namespace, progress: Progress) -> int:
    names = options.image or list(DEFAULT_IMAGES)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    command = command or [os.environ.get("SHELL", "/bin/sh")]
    # What is to be fetched is fetched before: there is no network inside.
    ensure_programs(progress)
    archives = list(build_images(progress, [*OWN_IMAGES, *names]).values())
    if sandbox.is_inside():
        return _run(command, archives, progress)
    flags = [flag for name in names for flag in ("--image", name)]
    return sandbox.run([sys.executable, "-P", "-m", "s3sync_local", "realup", *flags, "--", *command])


def _run(command: Sequence[str], archives: Sequence[Path], progress: Progress) -> int:
    with RealCluster(images=archives, progress=progress) as cluster:
        progress(f"ready: {cluster.server}; KUBECONFIG={cluster.kubeconfig}, logs in {cluster.logs}")
        path = os.pathsep.join((str(cluster.kubectl_path.parent), os.environ.get("PATH", "")))
        environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "PATH": path}
        code = subprocess.run(command, env=environment, check=False).returncode
        progress("stopping")
    return 128 - code if code < 0 else code
