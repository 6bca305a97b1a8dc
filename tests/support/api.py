"""The API server as a client library reaches it: reads and watches that cost no process each."""

import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from s3sync_local.errors import KubectlError
from s3sync_operator.api import GROUP, PLURAL, VERSION

REQUEST_SECONDS = 30
GONE = 410


@functools.cache
def api_client(kubeconfig: Path, user: str = "") -> client.ApiClient:
    """Return a client with a kubeconfig's rights, or those of a user whom it may impersonate; one each in a process."""
    settings = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=settings)
    made = client.ApiClient(settings)
    if user:
        made.set_default_header("Impersonate-User", user)
    return made


def create_namespaces(kubeconfig: Path, names: Sequence[str]) -> None:
    """Create namespaces and wait for their default service accounts, without which no pod can be created in them."""
    api = client.CoreV1Api(api_client(kubeconfig))
    for name in names:
        api.create_namespace({"metadata": {"name": name}}, _request_timeout=REQUEST_SECONDS)
    deadline = time.monotonic() + REQUEST_SECONDS
    for name in names:
        while not api.list_namespaced_service_account(name, _request_timeout=REQUEST_SECONDS).items:
            assert time.monotonic() < deadline, f"{name} gets no service account"
            time.sleep(0.05)


def delete_namespaces(kubeconfig: Path, names: Sequence[str]) -> None:
    """Delete namespaces without waiting for their ends."""
    api = client.CoreV1Api(api_client(kubeconfig))
    for name in names:
        api.delete_namespace(name, _request_timeout=REQUEST_SECONDS)


class SyncsApi:
    """The syncs of a namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._api = client.CustomObjectsApi(api_client(kubeconfig))
        self._where = (GROUP, VERSION, namespace, PLURAL)

    def get(self, name: str) -> dict[str, Any]:
        """Return a sync as stored; raises KubectlError, as kubectl would, where it is not there."""
        try:
            return _shown(self._api.get_namespaced_custom_object(*self._where, name, _request_timeout=REQUEST_SECONDS))
        except ApiException as error:
            raise KubectlError(f'{PLURAL} "{name}": {error.reason}'.lower()) from error

    def is_gone(self, name: str) -> bool:
        """Tell whether there is no such sync."""
        return not self._listed(name)["items"]

    def wait_gone(self, name: str, seconds: float) -> bool:
        """Wait until there is no such sync, and tell whether that came within the time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            found = self._listed(name)
            if not found["items"]:
                return True
            with suppress_gone():
                if any(kind == "DELETED" for kind, _ in self._events(name, found["metadata"]["resourceVersion"], left)):
                    return True
        return False

    def _listed(self, name: str) -> dict[str, Any]:
        return dict(
            self._api.list_namespaced_custom_object(
                *self._where, field_selector=f"metadata.name={name}", _request_timeout=REQUEST_SECONDS
            )
        )

    def delete_all(self) -> None:
        """Delete all syncs of the namespace, without waiting for their ends."""
        self._api.delete_collection_namespaced_custom_object(*self._where, _request_timeout=REQUEST_SECONDS)

    def changes(self, name: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield a sync as it is, and again each time that it changes, until the time is over; none is passed over
        but where a watch has to begin anew."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            found = self.get(name)
            yield found
            with suppress_gone():
                for kind, changed in self._events(name, found["metadata"]["resourceVersion"], left):
                    if kind != "DELETED":
                        yield changed

    def _events(self, name: str, version: str, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
        watcher = watch.Watch()
        events = watcher.stream(
            self._api.list_namespaced_custom_object,
            *self._where,
            field_selector=f"metadata.name={name}",
            resource_version=version,
            timeout_seconds=max(1, round(seconds)),
            _request_timeout=(REQUEST_SECONDS, seconds + REQUEST_SECONDS),
        )
        try:
            for event in events:
                yield event["type"], _shown(event["object"])
        finally:
            watcher.stop()
            events.close()


@contextmanager
def suppress_gone() -> Iterator[None]:
    """Let a watch that lags too far behind end, so that it begins anew."""
    try:
        yield
    except ApiException as error:
        if error.status != GONE:
            raise


def _shown(raw: dict[str, Any]) -> dict[str, Any]:
    """Return an object as kubectl shows it: without who manages which field."""
    raw["metadata"].pop("managedFields", None)
    return raw
