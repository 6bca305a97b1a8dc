"""What a cluster answers badly, as the one line that a person gets."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from kubernetes.aio.client.exceptions import ApiException

from s3sync_cli.errors import CliError
from s3sync_cli.kube import Syncs, in_cluster
from s3sync_cli.options import Access
from s3sync_operator.api import Reason
from s3sync_operator.errors import TemporarySyncError

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: c, user: u, namespace: team}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""


@pytest.fixture
def access(tmp_path_factory: pytest.TempPathFactory) -> Access:
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(KUBECONFIG)
    return Access(str(path), None, None, 5)


def answer(status: int, message: str | None = None, body: str = "") -> ApiException:
    error = ApiException(status=status)
    error.body = json.dumps({"message": message}) if message else body
    return error


def told(access: Access, error: Exception) -> tuple[int, str]:
    async def work(syncs: Syncs) -> None:
        raise error

    with pytest.raises(CliError) as caught:
        in_cluster(access, work)
    return caught.value.exit_code, caught.value.message


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (answer(404, body="404 page not found\n"), 3, "install its definition: kubectl apply -k crd"),
        (answer(404, "the server could not find the requested resource"), 3, "install its definition"),
        (answer(404, 'pachydermsyncs "x" not found'), 3, 'not found: pachydermsyncs "x"'),
        (answer(401, "Unauthorized"), 3, "does not know who you are"),
        (answer(403, "x is forbidden"), 3, "the API server refuses: x is forbidden"),
        (answer(422, "spec.repo: Invalid value"), 2, "the API server refuses: spec.repo: Invalid value"),
        (answer(500, body="<html>"), 3, "the API server fails (500): <html>"),
        (aiohttp.ClientConnectionError("no route"), 3, "the API server cannot be reached: no route"),
        (TimeoutError(), 3, "did not answer within 5 seconds; see --request-timeout"),
        (TemporarySyncError(Reason.SERVER_ERROR, "it is down"), 1, "it is down"),
    ],
)
def test_what_goes_wrong_is_one_line_with_its_exit_code(access: Access, error: Exception, code: int, said: str) -> None:
    found = told(access, error)
    assert (found[0], said in found[1]) == (code, True), found


def test_a_refusal_of_the_operators_client_is_told_as_ones_own(access: Access) -> None:
    error = TemporarySyncError(Reason.OPERATOR_FORBIDDEN, "the operator's role does not suffice: pods is forbidden")
    error.__cause__ = answer(403, "pods is forbidden")
    assert told(access, error) == (3, "the API server refuses: pods is forbidden")


@pytest.mark.parametrize(
    ("kubeconfig", "said"),
    [
        ("a: [", "cannot be used"),
        ("{}", "Expected key current-context"),
        (KUBECONFIG.replace("server:", "certificate-authority: /absent, server:"), "/absent"),
        (KUBECONFIG.replace("server:", "certificate-authority-data: aGVsbG8=, server:"), "certificates cannot be used"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told(access: Access, kubeconfig: str, said: str) -> None:
    assert access.kubeconfig
    Path(access.kubeconfig).write_text(kubeconfig)
    code, message = told(access, AssertionError("the cluster was asked"))
    assert (code, said in message) == (3, True), message


def test_the_namespace_is_that_of_the_flag_else_of_the_context(access: Access) -> None:
    async def namespace(syncs: Syncs) -> str:
        await asyncio.sleep(0)
        return syncs.namespace

    assert in_cluster(access, namespace) == "team"
    assert in_cluster(Access(access.kubeconfig, None, "other", 5), namespace) == "other"
