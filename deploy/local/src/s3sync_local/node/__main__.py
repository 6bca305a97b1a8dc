"""``python -m s3sync_local.node``: be a node of a cluster until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from kubernetes.aio.config import ConfigException

from s3sync_local.node.agent import Agent, NodeSettings
from s3sync_local.node.catalogue import CatalogueError, CatalogueFile
from s3sync_local.node.client import TRANSIENT, NodeClient


def main() -> int:
    """Run the node; returns 0 after an orderly stop, 1 where the API server refuses it, 2 for unusable arguments."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        CatalogueFile(arguments.images).images()
        arguments.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return asyncio.run(_run(arguments))
    except CatalogueError as error:
        return _fail(2, f"--images {error}")
    except ConfigException as error:
        return _fail(2, f"--kubeconfig {arguments.kubeconfig}: {error}")
    except TRANSIENT as error:
        return _fail(1, f"node {arguments.name}: {error}")


async def _run(arguments: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await NodeClient.connect(arguments.kubeconfig)
    settings = NodeSettings(arguments.name, arguments.state_dir.resolve(), arguments.port, dict(arguments.label))
    try:
        await Agent(settings, client, CatalogueFile(arguments.images)).run(stop)
    finally:
        await client.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m s3sync_local.node", description=__doc__)
    parser.add_argument(
        "--kubeconfig", type=Path, required=True, help="how to reach the API server, as a user who may all"
    )
    parser.add_argument("--name", required=True, help="the Node's name")
    parser.add_argument("--images", type=Path, required=True, help="the image catalogue (YAML)")
    parser.add_argument(
        "--state-dir", type=Path, required=True, help="directory for logs and temporary files of the pods"
    )
    parser.add_argument("--port", type=int, default=0, help="port for pod logs (default: a free one)")
    parser.add_argument(
        "--label", type=_label, action="append", default=[], metavar="KEY=VALUE", help="a label of the Node; repeatable"
    )
    return parser


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _fail(code: int, message: str) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
