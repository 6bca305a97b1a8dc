"""kopf's side of the operator: events in, keys into the queue; no logic.

Only `on.event` handlers are used: they write nothing, neither annotations nor finalizers, so a sync can always be
deleted, and what decides stands in status alone. Under `kopf run -m s3sync_operator.handlers` the settings come from
the environment; for `-n` of kopf's own, S3SYNC_NAMESPACES says the same.
"""

import logging
from typing import Any

import kopf

from s3sync_operator.api import GROUP, PLURAL, VERSION
from s3sync_operator.cluster import connect
from s3sync_operator.desired import LABEL_UID, TFJOB_GROUP, TFJOB_PLURAL, TFJOB_VERSION
from s3sync_operator.service import Service
from s3sync_operator.settings import read_settings


@kopf.on.startup(errors=kopf.ErrorsMode.PERMANENT)
async def start(settings: kopf.OperatorSettings, memo: Any, **_: object) -> None:
    """Configure kopf's watches and start the service; `__main__` may give `memo.settings`, `memo.api`."""
    own = getattr(memo, "settings", None) or read_settings()
    configure(settings, namespaced=bool(own.namespaces))
    memo.service = await Service.start(own, getattr(memo, "api", None) or await connect())


def configure(settings: kopf.OperatorSettings, *, namespaced: bool) -> None:
    """Give every watch a limit (seconds), and have the server send only the children of syncs."""
    # At their debug level these write request headers and Secrets, and with them tokens.
    for name in ("botocore", "urllib3", "kubernetes"):
        logging.getLogger(name).setLevel(logging.INFO)
    # Rights in single namespaces do not go so far as to list namespaces and definitions, and kopf 1.45 tries for
    # minutes before it watches without.
    settings.scanning.disabled = namespaced
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.networking.request_timeout = 30
    settings.posting.enabled = False
    settings.watching.label_selectors[f"{TFJOB_PLURAL}.{TFJOB_GROUP}"] = LABEL_UID
    settings.watching.label_selectors["pods"] = LABEL_UID


@kopf.on.cleanup()
async def stop(memo: Any, **_: object) -> None:
    """Close the service."""
    if service := getattr(memo, "service", None):
        await service.close()


@kopf.on.probe(id="watch", errors=kopf.ErrorsMode.PERMANENT)
async def watch_is_fresh(memo: Any, **_: object) -> str:
    """Fail the liveness probe once the watch no longer delivers."""
    service: Service = memo.service
    return service.check_health()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def sync_event(event: Any, memo: Any, **_: object) -> None:
    """A sync was listed, changed or deleted."""
    memo.service.sync_changed(event["type"], event["object"])


@kopf.on.event(TFJOB_GROUP, TFJOB_VERSION, TFJOB_PLURAL)
async def tfjob_event(event: Any, memo: Any, **_: object) -> None:
    """A sync's TFJob changed."""
    memo.service.child_changed(event["object"])


@kopf.on.event("", "v1", "pods")
async def pod_event(event: Any, memo: Any, **_: object) -> None:
    """A sync's pod changed."""
    memo.service.child_changed(event["object"])
