"""`python -m s3sync_operator`: run the operator until SIGINT or SIGTERM."""

import asyncio
import logging
import socket
import sys
from collections.abc import Sequence
from typing import Any

import kopf

from s3sync_operator import handlers
from s3sync_operator.cluster import connect
from s3sync_operator.endpoints import Endpoints, exposition, probe
from s3sync_operator.errors import StartError
from s3sync_operator.log_context import annotate
from s3sync_operator.metrics import Metrics
from s3sync_operator.settings import Settings, read_settings

_FORMATS = {"plain": kopf.LogFormat.PLAIN, "full": kopf.LogFormat.FULL, "json": kopf.LogFormat.JSON}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the operator with the settings of flags and environment."""
    settings = read_settings(sys.argv[1:] if arguments is None else arguments)
    configure_logging(settings)
    try:
        asyncio.run(run(settings))
    except StartError as error:
        sys.exit(f"s3sync-operator: {error}")


def configure_logging(settings: Settings) -> None:
    """Write the log to standard error, each line with the sync and run it is about: as fields in JSON, or before the
    text."""
    as_json = settings.log_format == "json"
    kopf.configure(
        debug=settings.log_level == "debug", log_format=_FORMATS[settings.log_format], log_prefix=not as_json
    )
    logging.getLogger().setLevel(settings.log_level.upper())
    annotate(logging.getLogger())


async def run(settings: Settings) -> None:
    """Run kopf with this operator's handlers until it is told to stop."""
    metrics, endpoints = Metrics(settings.metrics_syncs), Endpoints()
    # Connected once and before kopf starts: without a cluster nothing starts, and the client library leaves a private
    # key in a temporary file where a kubeconfig is loaded twice.
    api = await connect(metrics)
    memo = kopf.Memo(settings=settings, metrics=metrics, api=api, endpoints=endpoints)
    try:
        await serve(endpoints, settings, memo)
        await kopf.operator(
            registry=kopf.get_default_registry(),
            memo=memo,
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            # kopf's own would be the user's name, which the user of a container does not have (seen: KeyError).
            identity=kopf_identity(),
        )
    finally:
        await endpoints.close()
        await api.close()


def kopf_identity() -> Any:
    """Return what kopf calls this process among its peers, of which it has none."""
    return f"s3sync-operator@{socket.gethostname()}"


async def serve(endpoints: Endpoints, settings: Settings, memo: kopf.Memo) -> None:
    """Answer probes and scrapes; until the service has started, the operator is well but not ready."""

    def unwell() -> str | None:
        return memo.service.health_complaint() if "service" in memo else None

    def unready() -> str | None:
        return memo.service.readiness_complaint() if "service" in memo else "the operator is starting"

    probes = {"/healthz": probe(unwell), "/readyz": probe(unready)}
    await endpoints.serve("--health-address", settings.health_address, probes)
    await endpoints.serve(
        "--metrics-address", settings.metrics_address, {"/metrics": exposition(memo.metrics.registry)}
    )


__all__ = ["handlers", "main", "run", "serve"]

if __name__ == "__main__":
    main()
