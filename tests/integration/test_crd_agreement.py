"""The model and the definition take the same specs: the real API server is the judge, of valid and of broken ones."""

import asyncio
import json
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import GROUP, KIND, PLURAL, VERSION, admission_complaints
from tests.support.specs import SPECS, broken_specs

SAMPLE = 150
AT_ONCE = 8


def ask(cluster: LocalCluster, specs: list[dict[str, Any]]) -> list[str]:
    """Return what the API server says of each spec, nothing where it takes it; nothing is stored."""
    return asyncio.run(_ask(cluster, specs))


async def _ask(cluster: LocalCluster, specs: list[dict[str, Any]]) -> list[str]:
    where = client.Configuration()
    await config.load_kube_config(config_file=str(cluster.kubeconfig), client_configuration=where)
    async with client.ApiClient(configuration=where) as api:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(spec: dict[str, Any]) -> str:
            async with slots:
                return await _refusal(client.CustomObjectsApi(api), spec)

        return list(await asyncio.gather(*map(one, specs)))


async def _refusal(api: Any, spec: dict[str, Any]) -> str:
    raw = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": {"generateName": "agree-"}, "spec": spec}
    try:
        await api.create_namespaced_custom_object(
            GROUP, VERSION, "default", PLURAL, raw, dry_run="All", field_validation="Strict", _request_timeout=30
        )
    except ApiException as error:
        if error.status not in (400, 422):
            raise
        return str(json.loads(error.body)["message"])
    return ""


def drawn(specs: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the sample: always the same, so that the API server is asked of all of it at once."""
    found: list[dict[str, Any]] = []

    @given(specs)
    @settings(max_examples=SAMPLE, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    def take(spec: dict[str, Any]) -> None:
        found.append(spec)

    take()
    return found


def disagreements(specs: list[dict[str, Any]], said: list[str]) -> list[str]:
    """Return where one takes what the other refuses."""
    models = [[str(complaint) for complaint in admission_complaints(spec)] for spec in specs]
    both = zip(specs, said, models, strict=True)
    return [f"{spec}: server: {there!r}, model: {here}" for spec, there, here in both if bool(there) != bool(here)]


def test_what_the_model_takes_the_definition_takes(installed: LocalCluster) -> None:
    specs = drawn(SPECS)
    said = ask(installed, specs)
    assert len(said) == SAMPLE
    assert not (found := disagreements(specs, said)), "\n".join(found)
    assert not any(said), "they are all valid"


def test_what_one_refuses_the_other_refuses(installed: LocalCluster) -> None:
    specs = drawn(broken_specs())
    said = ask(installed, specs)
    assert not (found := disagreements(specs, said)), "\n".join(found)
    assert sum(map(bool, said)) > SAMPLE / 4, "the sample has enough that is broken"
