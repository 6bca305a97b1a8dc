"""kopf's side of the operator: events in, keys into the queue; no logic.

Only `on.event` handlers are used: they write nothing, neither annotations nor finalizers, so a sync can always be
deleted, and what decides stands in status alone. Under `kopf run -m s3sync_operator.handlers` the settings come from
the environment; for `-n` of kopf's own, S3SYNC_NAMESPACES says the same, and kopf's `--liveness` is all that is served.
"""

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import aiohttp
import kopf

from s3sync_operator.api import GROUP, PLURAL, VERSION
from s3sync_operator.cluster import connect, log_in
from s3sync_operator.desired import LABEL_UID
from s3sync_operator.log_context import annotate
from s3sync_operator.metrics import Metrics
from s3sync_operator.runners import JOB, KINDS, TFJOB
from s3sync_operator.service import Service
from s3sync_operator.settings import Settings, read_settings
from s3sync_operator.tracing import counting


class EndlessBackoffs:
    """Seconds between kopf's attempts of a request: 1, then doubling up to `longest`, without end.

    kopf ends the whole operator once a watch has failed nine times, also where it is refused in one namespace of many
    and all others are served. Instead it goes on trying, and serves that namespace as soon as it may; an operator that
    sees nothing at all is restarted by its probe.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest

    def __iter__(self) -> Iterator[float]:
        return (min(self._longest, 2.0 ** min(attempt, 10)) for attempt in itertools.count())


class StaleError(Exception):
    """The operator no longer sees what happens; raised to kopf's probe so that the kubelet restarts it."""


@kopf.on.startup(errors=kopf.ErrorsMode.PERMANENT)
async def start(settings: kopf.OperatorSettings, memo: Any, **_: object) -> None:
    """Configure kopf's watches and start the service; `__main__` gives `memo.settings`, `memo.metrics`, `memo.api`."""
    own = memo.get("settings") or read_settings()
    configure(settings, own)
    # Under `kopf run` it is kopf that has set the log up.
    annotate(logging.getLogger())
    memo.metrics = memo.get("metrics") or Metrics(own.metrics_syncs)
    memo.service = await Service.start(own, memo.get("api") or await connect(memo.metrics), memo.metrics)


@kopf.on.login(errors=kopf.ErrorsMode.PERMANENT)
async def login(memo: Any, settings: kopf.OperatorSettings, **_: object) -> kopf.AiohttpSession:
    """Log kopf's watches in as the operator's own client is, in a session whose requests are counted."""
    found = await _credentials(settings)
    # The same credentials are the same session: kopf gives up those that the API server has refused, by comparing.
    known, session = memo.get("login", (None, None))
    if known != found:
        session = _session(found, memo.metrics)
        memo.login = (found, session)
    return kopf.AiohttpSession(server=found.server, aiohttp_session=session)


async def _credentials(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """What kopf itself would do, but by its client without asyncio, which takes a second of CPU to import."""
    found = await log_in()
    header = await found.get_api_key_with_prefix("BearerToken")
    scheme, _, token = (header or "").partition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        trust_env=settings.networking.trust_env,
    )


def _session(login: kopf.ConnectionInfo, metrics: Metrics) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=login.as_ssl_context()),
        headers=login.as_http_headers(),
        trust_env=login.trust_env,
        trace_configs=[counting(metrics)],
    )


def configure(settings: kopf.OperatorSettings, own: Settings) -> None:
    """Give every watch a limit (seconds), and have the server send only the children of syncs."""
    # At their debug level these write request headers and Secrets, and with them tokens.
    for name in ("botocore", "urllib3", "kubernetes"):
        logging.getLogger(name).setLevel(logging.INFO)
    # Of every event of every object it tells that a handler has succeeded, and here these only wake the reconciler.
    if own.log_level != "debug":
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    # Rights in single namespaces do not go so far as to list namespaces and definitions, and kopf 1.45 tries for
    # minutes before it watches without.
    settings.scanning.disabled = bool(own.namespaces)
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = EndlessBackoffs(longest=own.resync_interval)
    settings.posting.enabled = False
    for kind in KINDS:
        settings.watching.label_selectors[f"{kind.resource.plural}.{kind.resource.group}"] = LABEL_UID
    settings.watching.label_selectors["pods"] = LABEL_UID


@kopf.on.cleanup()
async def stop(memo: Any, **_: object) -> None:
    """Close the service, and after it what tells of its health."""
    if service := memo.get("service"):
        await service.close()
    if endpoints := memo.get("endpoints"):
        await endpoints.close()


@kopf.on.probe(id="watch", errors=kopf.ErrorsMode.PERMANENT)
async def watch_is_fresh(memo: Any, **_: object) -> str:
    """Fail the probe of `kopf run --liveness` once the watch no longer delivers."""
    if complaint := memo.service.health_complaint():
        raise StaleError(complaint)
    return "the watch delivers"


@kopf.on.event(GROUP, VERSION, PLURAL)
async def sync_event(event: Any, memo: Any, **_: object) -> None:
    """A sync was listed, changed or deleted."""
    memo.service.sync_changed(event["type"], event["object"])


@kopf.on.event(TFJOB.resource.group, TFJOB.resource.version, TFJOB.resource.plural)
@kopf.on.event(JOB.resource.group, JOB.resource.version, JOB.resource.plural)
async def job_event(event: Any, memo: Any, **_: object) -> None:
    """A sync's TFJob or Job changed."""
    memo.service.child_changed(event["object"])


@kopf.on.event("", "v1", "pods")
async def pod_event(event: Any, memo: Any, **_: object) -> None:
    """A sync's pod changed."""
    memo.service.child_changed(event["object"])
