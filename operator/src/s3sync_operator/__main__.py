"""`python -m s3sync_operator`: run the operator until SIGINT or SIGTERM."""

import asyncio
import logging
import sys
from collections.abc import Sequence

import kopf

from s3sync_operator import handlers
from s3sync_operator.cluster import connect
from s3sync_operator.errors import NoClusterError
from s3sync_operator.settings import Settings, read_settings

_FORMATS = {"plain": kopf.LogFormat.PLAIN, "full": kopf.LogFormat.FULL, "json": kopf.LogFormat.JSON}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the operator with the settings of flags and environment."""
    settings = read_settings(sys.argv[1:] if arguments is None else arguments)
    kopf.configure(debug=settings.log_level == "debug", log_format=_FORMATS[settings.log_format])
    logging.getLogger().setLevel(settings.log_level.upper())
    try:
        asyncio.run(run(settings))
    except NoClusterError as error:
        sys.exit(f"s3sync-operator: {error}")


async def run(settings: Settings) -> None:
    """Run kopf with this operator's handlers until it is told to stop."""
    # Connected once and before kopf starts: without a cluster nothing starts, and the client library leaves a private
    # key in a temporary file where a kubeconfig is loaded twice.
    api = await connect()
    await kopf.operator(
        registry=kopf.get_default_registry(),
        memo=kopf.Memo(settings=settings, api=api),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        liveness_endpoint=f"http://{settings.health_address}/healthz" if settings.health_address else None,
    )


__all__ = ["handlers", "main", "run"]

if __name__ == "__main__":
    main()
