"""What the API server says of objects at admission: it is asked by dry runs, of many objects at once."""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from s3sync_operator.api import PLURAL

AT_ONCE = 8
REQUEST_SECONDS = 30
REFUSALS = (400, 404, 422)
"""404 is what an API version that does not exist gives."""

Raw = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the API server says: its refusal (empty where it takes the object), and the object as it stores it."""

    refusal: str
    stored: Raw = field(default_factory=dict)


@dataclass(frozen=True)
class Admission:
    """The admission of syncs into a namespace."""

    kubeconfig: Path
    namespace: str

    def ask(self, objects: Sequence[Raw]) -> list[Answer]:
        """Return the answer to each object; nothing is stored."""
        return self._each(lambda api, raw: self._create(api, raw, dry_run="All"), objects)

    def store(self, objects: Sequence[Raw]) -> list[Answer]:
        """Create each object."""
        return self._each(self._create, objects)

    def ask_for_changes(self, objects: Sequence[Raw], specs: Sequence[Raw]) -> list[Answer]:
        """Return the answer to each stored object's change to another spec; none is changed."""
        return self._each(self._change, [raw | {"spec": spec} for raw, spec in zip(objects, specs, strict=True)])

    async def _create(self, api: Any, raw: Raw, **options: Any) -> Any:
        arguments = (*self._where(raw), raw)
        return await api.create_namespaced_custom_object(*arguments, field_validation="Strict", **options)

    async def _change(self, api: Any, raw: Raw) -> Any:
        arguments = (*self._where(raw), raw["metadata"]["name"], raw)
        return await api.replace_namespaced_custom_object(*arguments, dry_run="All", field_validation="Strict")

    def _where(self, raw: Raw) -> tuple[str, ...]:
        group, _, version = raw["apiVersion"].partition("/")
        return group, version, self.namespace, PLURAL

    def _each(self, call: Callable[[Any, Raw], Awaitable[Any]], objects: Sequence[Raw]) -> list[Answer]:
        return asyncio.run(self._all(call, objects))

    async def _all(self, call: Callable[[Any, Raw], Awaitable[Any]], objects: Sequence[Raw]) -> list[Answer]:
        where = client.Configuration()
        await config.load_kube_config(config_file=str(self.kubeconfig), client_configuration=where)
        async with client.ApiClient(configuration=where) as api:
            slots = asyncio.Semaphore(AT_ONCE)

            async def one(raw: Raw) -> Answer:
                async with slots, asyncio.timeout(REQUEST_SECONDS):
                    return await _answer(call(client.CustomObjectsApi(api), raw))

            return list(await asyncio.gather(*map(one, copy.deepcopy(list(objects)))))


async def _answer(asked: Awaitable[Any]) -> Answer:
    try:
        return Answer("", dict(await asked))
    except ApiException as error:
        if error.status not in REFUSALS:
            raise
        return Answer(_said(error.body))


def _said(body: str) -> str:
    """Return the message of a Status; what is no JSON is text."""
    try:
        return str(json.loads(body)["message"])
    except ValueError:
        return body
