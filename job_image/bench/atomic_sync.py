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

from s3sync_operator.access import Credentials, Target
from s3sync_operator.api import Spec, Status, Sync
from s3sync_operator.desired import Run, Staging
from s3sync_operator.metrics import Metrics
from s3sync_operator.observed import observe
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.publisher import Order, Publisher
from s3sync_operator.status import Outcome

COMMAND = str(Path(sys.executable).parent / "s3sync-job")
GRPC_SECONDS = 30
POD = "bench-worker-0"
NOW = "2026-01-01T00:00:00Z"


def sync(
    server: Server, repo: str, client: str, verify: str, folder: Path, variables: Mapping[str, str], limit: float
) -> Measured:
    """Sync the tree in a folder to a repo; a publish that does not succeed is an exit code of 1."""
    return asyncio.run(_sync(server, _order(server, repo, client, verify), folder, variables, limit))


async def _sync(server: Server, order: Order, folder: Path, variables: Mapping[str, str], limit: float) -> Measured:
    metrics = Metrics()
    publisher = Publisher(GrpcPachd(GRPC_SECONDS, metrics), metrics)
    started = time.monotonic()
    staging, _ = await publisher.prepare(order)
    copied = await asyncio.to_thread(run, _command(order, staging), folder, _variables(server, variables), limit)
    if copied.code != 0:
        return replace(copied, seconds=time.monotonic() - started)
    outcome = await _publish(publisher, order, copied.output, started + limit)
    seconds = time.monotonic() - started
    code = {"Succeeded": 0, "Running": None}.get(outcome.kind, 1)
    return replace(copied, code=code, seconds=seconds, output=f"{copied.output}\n{outcome.message}")


async def _publish(publisher: Publisher, order: Order, output: str, until: float) -> Outcome:
    pod = {"metadata": {"name": POD, "creationTimestamp": NOW}}
    seen = observe(None, [pod], {POD: output})
    outcome = await publisher.publish(order, seen)
    while outcome.kind == "Running" and time.monotonic() < until:
        outcome = await publisher.publish(order, seen)
    return outcome


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
