"""A whole atomic sync: s3sync-job stages and verifies as a process, then the operator's own modules publish and clean.

What Kubernetes adds (a pod's start, the watch) is left out, as it is for everybody else.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from measuring import Measured, run
from server import BRANCH, Server
from trees import FOLDER

from s3sync_cli.staged_run import stage_and_publish
from s3sync_operator.access import Credentials, Target
from s3sync_operator.api import Spec, Status, Sync
from s3sync_operator.desired import Run, Staging
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.publisher import Order, Publisher

COMMAND = str(Path(sys.executable).parent / "s3sync-job")
GRPC_SECONDS = 30


def sync(
    server: Server, repo: str, client: str, verify: str, folder: Path, variables: Mapping[str, str], limit: float
) -> Measured:
    """Sync the tree in a folder to a repo; a publish that does not succeed is an exit code of 1."""
    return asyncio.run(_sync(server, _order(server, repo, client, verify), folder, variables, limit))


async def _sync(server: Server, order: Order, folder: Path, variables: Mapping[str, str], limit: float) -> Measured:
    metrics = Metrics()
    publisher = Publisher(GrpcPachd(GRPC_SECONDS, metrics), metrics)
    started = time.monotonic()

    async def stage(staging: Staging) -> Measured:
        return await asyncio.to_thread(run, _command(order, staging), folder, _variables(server, variables), limit)

    copied, outcome = await stage_and_publish(publisher, order, stage, limit)
    seconds = time.monotonic() - started
    if outcome is None:
        return replace(copied, seconds=seconds)
    code = {"Succeeded": 0, "Running": None}.get(outcome.kind, 1)
    return replace(copied, code=code, seconds=seconds, output=f"{copied.output}\n{outcome.message}")


def _order(server: Server, repo: str, client: str, verify: str) -> Order:
    spec = Spec.model_validate(
        {
            "repo": repo,
            "inputPath": FOLDER,
            "client": client,
            "verify": verify,
            "publish": "Atomic",
            "endpoint": server.endpoint,
            "pachdAddress": server.pachd_address,
        }
    )
    named = Sync("bench", repo, str(uuid.uuid4()), 1, "1", spec, None, Status())
    target = Target(server.pachd_address, "default", repo, Credentials(server.token, server.token))
    return Order(named, spec, Run(1, 1, "0"), target)


def _command(order: Order, staging: Staging) -> list[str]:
    spec = order.spec
    return [
        *(COMMAND, f"--bucket={BRANCH}.{spec.repo}", f"--inputpath={FOLDER}"),
        *(f"--client={spec.effective_client.value}", f"--verify={spec.verify}"),
        f"--staging-branch={staging.branch}",
        *([f"--base-commit={staging.base}"] if staging.base else []),
    ]


def _variables(server: Server, variables: Mapping[str, str]) -> dict[str, str]:
    return {"S3_ENDPOINT": server.endpoint, "PACHD_ADDRESS": server.pachd_address, **variables}
