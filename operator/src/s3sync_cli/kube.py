"""All that the command line asks of Kubernetes; what goes wrong becomes one line that says what to do."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml

from s3sync_cli.errors import CliError, MisusedError, UnavailableError
from s3sync_cli.options import Access
from s3sync_operator.api import Sync
from s3sync_operator.cluster import KubernetesCluster, said_by, sync_path
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.kube_api import ApiClient, ApiException, Configuration, KubeApi, config, path_of

Raw = dict[str, Any]
LOG_SECONDS = 7 * 24 * 3600
"""No log is followed for longer: an operator ends a run long before."""

MOST_SAID = 300
TOO_MANY_REQUESTS, SERVER_ERRORS_FROM = 429, 500
TROUBLE = (TimeoutError, aiohttp.ClientError, ApiException, TemporarySyncError)
"""What asking the API server raises."""

_Result = TypeVar("_Result")


def in_cluster(access: Access, work: Callable[["Syncs"], Awaitable[_Result]]) -> _Result:
    """Return what the work in a cluster returns; raises CliError for all that the cluster or a person can mend."""

    async def working() -> _Result:
        with _told(access):
            async with _connected(access) as syncs:
                return await work(syncs)

    return asyncio.run(working())


@contextlib.asynccontextmanager
async def _connected(access: Access) -> AsyncIterator["Syncs"]:
    settings = Configuration()
    namespace = await _load(access, settings)
    try:
        api = ApiClient(configuration=settings)
    except OSError as error:
        # Errors of TLS are of this class too.
        raise UnavailableError(f"the kubeconfig's certificates cannot be used: {error}") from None
    async with api:
        yield Syncs(api, access, namespace)


async def _load(access: Access, settings: Configuration) -> str:
    """Read the kubeconfig, or in a pod without one its service account; return the namespace to work in."""
    paths = access.kubeconfig or config.KUBE_CONFIG_DEFAULT_LOCATION
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        if access.kubeconfig or access.context or not _load_service_account(settings):
            raise UnavailableError(f"no cluster to work in: there is no kubeconfig {paths}; give one by --kubeconfig")
        return access.namespace or _own_namespace()
    try:
        loader = await config.load_kube_config(
            config_file=paths, context=access.context, client_configuration=settings, persist_config=False
        )
        return str(access.namespace or loader.current_context["context"].get("namespace") or "default")
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UnavailableError(f"the kubeconfig {paths} cannot be used: {error}") from None


def _load_service_account(settings: Configuration) -> bool:
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        return False
    return True


def _own_namespace() -> str:
    with contextlib.suppress(OSError):
        return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()
    return "default"


@contextlib.contextmanager
def _told(access: Access) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise _api_error(error) from None
    except TemporarySyncError as error:
        cause = error.__cause__
        raise (_api_error(cause) if isinstance(cause, ApiException) else CliError(error.message)) from None
    except TimeoutError:
        text = f"the API server did not answer within {access.timeout:g} seconds; see --request-timeout"
        raise UnavailableError(text) from None
    except aiohttp.ClientError as error:
        raise UnavailableError(f"the API server cannot be reached: {error}") from None


def _api_error(error: ApiException) -> CliError:
    said = said_by(error, MOST_SAID)
    if error.status == 401:
        return UnavailableError("the API server does not know who you are (401); log in, or choose another --context")
    if error.status == 403:
        return UnavailableError(f"the API server refuses: {said}")
    if error.status == 404 and "not found" not in said.replace("page not found", ""):
        text = "the API server knows no PachydermS3Sync; install its definition: kubectl apply -k crd"
        return UnavailableError(text)
    if error.status == 404:
        return UnavailableError(f"not found: {said}")
    if error.status in (400, 409, 422):
        return MisusedError(f"the API server refuses: {said}")
    return UnavailableError(f"the API server fails ({error.status}): {said}")


def may_pass(error: Exception) -> bool:
    """Tell whether the API server does not answer just now, or fails; what it refuses it will refuse again."""
    cause = error.__cause__ if isinstance(error, TemporarySyncError) else error
    status = cause.status if isinstance(cause, ApiException) else None
    return not status or status == TOO_MANY_REQUESTS or status >= SERVER_ERRORS_FROM


async def _unless_in_trouble(asked: Awaitable[_Result]) -> _Result | None:
    """Return the answer, None where the API server does not give one just now."""
    try:
        return await asked
    except TROUBLE as error:
        if not may_pass(error):
            raise
        return None


class Syncs:
    """The syncs of a cluster, with their pods; `namespace` is the one to work in."""

    def __init__(self, client: ApiClient, access: Access, namespace: str) -> None:
        self.namespace = namespace
        self._cluster = KubernetesCluster(client, access.timeout)
        self._api = KubeApi(client, access.timeout)
        self._timeout = access.timeout

    async def get(self, name: str) -> Raw:
        """Return a sync as stored."""
        return await self._api.get(sync_path(self.namespace, name))

    async def look(self, name: str) -> Raw | None:
        """Return a sync as stored, None where the API server does not answer just now: for those who wait."""
        return await _unless_in_trouble(self.get(name))

    async def look_at_pods(self, sync: Sync) -> list[Raw] | None:
        """Return the pods of a sync's jobs, None where the API server does not answer just now."""
        return await _unless_in_trouble(self.pods(sync))

    async def all(self, everywhere: bool = False) -> list[Raw]:
        """Return the namespace's syncs, or those of all, by namespace and name."""
        found = await self._cluster.list_syncs(None if everywhere else self.namespace)
        return sorted(found, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"]))

    async def patch(self, name: str, change: Raw) -> Raw:
        """Merge a change into a sync, and return the sync."""
        return await self._api.merge(sync_path(self.namespace, name), change)

    async def pods(self, sync: Sync) -> list[Raw]:
        """Return the pods of a sync's jobs."""
        return await self._cluster.list_pods(sync)

    async def log(self, pod: str, container: str, follow: bool) -> AsyncIterator[bytes]:
        """Yield the lines of a container's log; followed, until the container ends."""
        async with asyncio.timeout(self._timeout):
            answer = await self._api.open(
                path_of("v1", self.namespace, "pods", pod, "log"),
                {"container": container, "follow": str(follow).lower()},
                LOG_SECONDS,
            )
        try:
            async for line in answer.content:
                yield line
        finally:
            answer.close()
