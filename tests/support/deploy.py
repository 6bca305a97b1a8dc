"""What the tests of the manifests share: rendered objects, Helm, a cluster to install into, and what a user may do."""

import copy
import functools
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from s3sync_local.cluster import LocalCluster
from s3sync_local.helm import ensure_helm
from s3sync_local.manifests import CHART, DEPLOY, render
from tests.support import yaml_text
from tests.support.api import REQUEST_SECONDS, api_client

SYSTEM = "s3sync-system"
OPERATOR = "s3sync-operator"
OVERLAYS = ("cluster", "local", "namespaced")
HELM_SECONDS = 120
REMOVAL_SECONDS = 120
BARE_CLUSTER = "bare-cluster"
OURS = "app.kubernetes.io/part-of=pachyderm-s3-sync"
HELM_LABELS = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
)

Raw = dict[str, Any]
Key = tuple[str, str, str]


def objects(text: str) -> list[Raw]:
    """Return the objects of a YAML stream, without its empty documents."""
    return [found for found in yaml_text.load_all(text) if found]


@functools.cache
def _overlay(name: str) -> str:
    """Return what kustomize makes of an overlay as JSON, which is read again in no time."""
    return json.dumps(objects(render(DEPLOY / "overlays" / name)))


def overlay(name: str) -> list[Raw]:
    """Return what kustomize makes of an overlay."""
    return list(json.loads(_overlay(name)))


def overlay_in(namespace: str, name: str, folder: Path) -> list[Raw]:
    """Return what a user's own kustomization in `folder` makes of an overlay when it sets another namespace."""
    # kustomize takes folders by relative paths only.
    there = os.path.relpath(DEPLOY / "overlays" / name, folder.resolve())
    (folder / "kustomization.yaml").write_text(yaml_text.dump({"namespace": namespace, "resources": [there]}))
    return objects(render(folder))


def key(item: Raw) -> Key:
    """Return what tells an object from all others."""
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def by_key(items: Iterable[Raw]) -> dict[Key, Raw]:
    """Return objects by what tells them apart; two that claim the same are a fault."""
    found = {}
    for item in items:
        assert key(item) not in found, f"{key(item)} is rendered twice"
        found[key(item)] = item
    return found


def only(items: Iterable[Raw], kind: str) -> Raw:
    """Return the one object of a kind."""
    (found,) = [item for item in items if item["kind"] == kind]
    return found


def container(items: Iterable[Raw]) -> Raw:
    """Return the operator's container."""
    (found,) = only(items, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(items: Iterable[Raw]) -> dict[str, str]:
    """Return the operator's environment as its container would have it, the downward API's part resolved."""
    items = list(items)
    namespace = only(items, "Deployment")["metadata"]["namespace"]
    fields = {"metadata.namespace": namespace}
    return {
        item["name"]: item["value"] if "value" in item else fields[item["valueFrom"]["fieldRef"]["fieldPath"]]
        for item in container(items)["env"]
    }


def comparable(items: Iterable[Raw]) -> dict[Key, Raw]:
    """Return what two ways of installing must agree in: all but the namespace itself and what Helm says of itself."""
    found = [copy.deepcopy(item) for item in items if item["kind"] != "Namespace"]
    for item in found:
        if item["kind"] == "Deployment":
            item["spec"]["template"]["spec"]["containers"][0]["env"] = environment(found)
        item["metadata"].get("annotations", {}).pop("helm.sh/resource-policy", None)
        _drop(item, HELM_LABELS)
        item["metadata"] = {name: part for name, part in item["metadata"].items() if part != {}}
    return by_key(found)


def _drop(part: Any, names: Iterable[str]) -> None:
    """Take labels out of a part and all its parts."""
    if isinstance(part, list):
        for item in part:
            _drop(item, names)
    if isinstance(part, dict):
        for name in names:
            part.pop(name, None)
        for item in part.values():
            _drop(item, names)


class HelmError(Exception):
    """Helm refused; the message is what it says."""


@dataclass(frozen=True)
class Helm:
    """Helm with a home of its own, and a cluster where one is given."""

    program: Path
    home: Path
    kubeconfig: Path | None = None

    def __call__(self, *arguments: str, values: Raw | None = None) -> str:
        """Run a command and return what it prints; raises HelmError with what it says. `values` come on stdin."""
        homes = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        cluster = {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {}
        ran = subprocess.run(
            [self.program, *arguments, *(["--values=-"] if values is not None else [])],
            input=json.dumps(values or {}),
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **homes, **cluster},
            capture_output=True,
            text=True,
            timeout=HELM_SECONDS,
            check=False,
        )
        if ran.returncode:
            raise HelmError(ran.stdout + ran.stderr)
        return ran.stdout

    def template(self, values: Raw | None = None, *, release: str = OPERATOR) -> list[Raw]:
        """Return the objects that a release would have in the operator's usual namespace."""
        return list(json.loads(_templated(self, release, json.dumps(values or {}))))


@functools.cache
def _templated(helm: Helm, release: str, values: str) -> str:
    """Return a release's objects as JSON; what Helm refuses is asked again each time."""
    text = helm("template", release, str(CHART), f"--namespace={SYSTEM}", values=json.loads(values))
    return json.dumps(objects(text))


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm, for what needs no cluster."""
    return Helm(ensure_helm(print), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def bare_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster without a node, for tests that install and uninstall.

    They belong into one xdist_group, BARE_CLUSTER, so that one process runs them and there is but one of it.
    """
    with LocalCluster(tmp_path_factory.mktemp("bare") / "state", node=False, progress=print) as started:
        yield started


@pytest.fixture(scope="module")
def fresh(bare_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """The cluster of those tests, in which nothing of ours is installed before a module's tests and after them."""
    there = namespaces(bare_cluster)
    yield bare_cluster
    remove_all_of_ours(bare_cluster)
    if made := namespaces(bare_cluster) - there:
        bare_cluster.kubectl("delete", "namespaces", *made, timeout=REMOVAL_SECONDS)


def namespaces(cluster: LocalCluster) -> set[str]:
    """Return the names of a cluster's namespaces."""
    return set(cluster.kubectl("get", "namespaces", "-o", "name").replace("namespace/", "").split())


def remove_all_of_ours(cluster: LocalCluster) -> None:
    """Remove what no namespace takes along; the definition first, since its syncs hold their namespaces back."""
    definition = ("customresourcedefinitions", "pachydermsyncs.sync.pachyderm.io", "--ignore-not-found")
    for what in (definition, ("clusterroles,clusterrolebindings", f"--selector={OURS}")):
        cluster.kubectl("delete", *what, timeout=REMOVAL_SECONDS)


@dataclass(frozen=True)
class Call:
    """A request to the API server as its authorizer sees it; `namespace` empty is the whole cluster."""

    verb: str
    resource: str
    namespace: str = ""
    group: str = ""
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = "/".join(filter(None, (self.group, self.resource, self.subresource)))
        return f"{self.verb} {resource} in {self.namespace or 'the cluster'}"

    def review(self) -> Raw:
        """Return the question whether whoever asks may make this call."""
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {name: value for name, value in vars(self).items() if value}},
        }


def allowed(cluster: LocalCluster, user: str, calls: Iterable[Call]) -> dict[Call, bool]:
    """Return which calls a user may make; the API server answers, asked by the user itself through impersonation."""
    reviews = client.AuthorizationV1Api(api_client(cluster.kubeconfig, user))
    return {call: _is_allowed(reviews, call) for call in calls}


def _is_allowed(reviews: client.AuthorizationV1Api, call: Call) -> bool:
    answer = reviews.create_self_subject_access_review(call.review(), _request_timeout=REQUEST_SECONDS)
    return bool(answer.status.allowed)
