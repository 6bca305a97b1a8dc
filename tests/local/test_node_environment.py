"""A container's manifest in, the variables and the command line of its process out."""

from pathlib import Path
from typing import Any

import pytest

from s3sync_local.node.catalogue import Image
from s3sync_local.node.environment import (
    ConfigError,
    Data,
    Reference,
    base_environment,
    command_line,
    expand,
    references,
    render_environment,
)

KEYS = Reference("Secret", "keys")
SETTINGS = Reference("ConfigMap", "settings")
NOTHING: Data = {}
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "kubeflow", "uid": "u-1", "labels": {"app.kubernetes.io/name": "sync"}},
    "spec": {"nodeName": "local", "serviceAccountName": "default"},
}


def rendered(
    env: list[dict[str, Any]], data: Data = NOTHING, env_from: list[dict[str, Any]] | None = None
) -> dict[str, str]:
    return render_environment({"name": "c", "env": env, "envFrom": env_from or []}, POD, data)


# The cases of Kubernetes' own test, third_party/forked/golang/expansion/expand_test.go.
@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(VAR_A)", "A"),
        ("___$(VAR_B)___", "___B___"),
        ("___$(VAR_C)", "___C"),
        ("$(VAR_A)-$(VAR_A)", "A-A"),
        ("f000-$(VAR_A)", "f000-A"),
        ("foo\\$(VAR_C)bar", "foo\\Cbar"),
        ("foo\\\\$(VAR_C)bar", "foo\\\\Cbar"),
        ("$(VAR_A$(VAR_B)", "$(VAR_A$(VAR_B)"),
        ("$(VAR_A$(VAR_B)$(VAR_A)", "$(VAR_A$(VAR_B)A"),
        ("f00-$(VAR_A)-$(VAR_B)-$(UNKNOWN)", "f00-A-B-$(UNKNOWN)"),
        ("$$(VAR_B)_______$(VAR_A)", "$(VAR_B)_______A"),
        ("$VAR_A", "$VAR_A"),
        ("${VAR_A}", "${VAR_A}"),
        ("$$", "$"),
        ("$$$(VAR_A)", "$A"),
        ("$$$$(VAR_A)", "$$(VAR_A)"),
        ("\n$(VAR_A$$", "\n$(VAR_A$"),
        ("$(EMPTY)&&&", "&&&"),
        ("$", "$"),
        ("$()", "$()"),
    ],
)
def test_references_expand_as_in_kubernetes(text: str, expanded: str) -> None:
    assert expand(text, {"VAR_A": "A", "VAR_B": "B", "VAR_C": "C", "EMPTY": ""}) == expanded


def test_a_literal_value_sees_the_variables_before_it_and_not_those_after() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "3"}]
    assert rendered(env) == {"A": "1", "B": "1$(C)", "C": "3"}


def test_a_value_from_a_secret_is_taken_as_it_is() -> None:
    env: list[dict[str, Any]] = [
        {"name": "A", "value": "1"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "id"}}},
    ]
    assert rendered(env, {KEYS: {"id": "$(A)"}})["KEY"] == "$(A)"


def test_the_manifests_variables_win_over_those_from_whole_objects() -> None:
    sources: list[dict[str, Any]] = [
        {"configMapRef": {"name": "settings"}},
        {"prefix": "S_", "secretRef": {"name": "keys"}},
    ]
    data: Data = {SETTINGS: {"MODE": "slow", "N": "1"}, KEYS: {"ID": "me"}}
    variables = rendered([{"name": "MODE", "value": "fast-$(N)"}], data, sources)
    assert variables == {"MODE": "fast-1", "N": "1", "S_ID": "me"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "kubeflow"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app.kubernetes.io/name']", "sync"),
        ("metadata.labels['absent']", ""),
        ("metadata.annotations['absent']", ""),
        ("spec.nodeName", "local"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "127.0.0.1"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_fields_of_the_pod_are_values(path: str, value: str) -> None:
    assert rendered([{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}]) == {"V": value}


def key(kind: str, name: str, *, optional: bool = False) -> list[dict[str, Any]]:
    return [{"name": "V", "valueFrom": {kind: {"name": name, "key": "k", "optional": optional}}}]


@pytest.mark.parametrize(
    ("env", "data", "message"),
    [
        (key("secretKeyRef", "keys"), {KEYS: None}, 'secret "keys" not found'),
        (key("configMapKeyRef", "settings"), {SETTINGS: None}, 'configmap "settings" not found'),
        (key("secretKeyRef", "keys"), {KEYS: {}}, "couldn't find key k in Secret kubeflow/keys"),
        (key("configMapKeyRef", "settings"), {SETTINGS: {}}, "couldn't find key k in ConfigMap kubeflow/settings"),
        (
            [{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": "spec.hostname"}}}],
            {},
            "unsupported fieldPath: spec.hostname",
        ),
        ([{"name": "V", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}], {}, "resourceFieldRef"),
    ],
)
def test_what_cannot_be_rendered_is_an_error_in_the_kubelets_words(env: Any, data: Data, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rendered(env, data)
    assert message in str(caught.value)


@pytest.mark.parametrize("data", [{KEYS: None}, {KEYS: {}}])
def test_an_optional_key_that_is_missing_leaves_the_variable_out(data: Data) -> None:
    assert rendered(key("secretKeyRef", "keys", optional=True), data) == {}


def test_a_whole_object_that_is_missing_is_an_error_unless_optional() -> None:
    with pytest.raises(ConfigError, match='secret "keys" not found'):
        rendered([], {KEYS: None}, [{"secretRef": {"name": "keys"}}])
    assert rendered([], {KEYS: None}, [{"secretRef": {"name": "keys", "optional": True}}]) == {}


def test_every_object_to_fetch_is_found_once() -> None:
    container = {
        "env": [*key("secretKeyRef", "keys"), *key("secretKeyRef", "keys"), {"name": "L", "value": "1"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }
    assert references(container) == {KEYS, SETTINGS}


def test_a_process_gets_nothing_of_the_nodes_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the node's")
    image = Image(path=(Path("/opt/bin"),), env={"PYTHONUNBUFFERED": "1"})
    environment = base_environment(image, "p", "/state/p/tmp")
    assert environment.pop("PATH").split(":")[0] == "/opt/bin"
    assert environment == {
        "HOME": "/state/p/tmp",
        "TMPDIR": "/state/p/tmp",
        "LANG": "C.UTF-8",
        "HOSTNAME": "p",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize(
    ("container", "line"),
    [
        ({"command": ["copy", "$(B)"], "args": ["--to", "$(B)/x"]}, ["copy", "b", "--to", "b/x"]),
        ({"args": ["$(B)"]}, ["entry", "b"]),
        ({"command": ["copy"]}, ["copy"]),
        ({}, ["entry"]),
    ],
)
def test_the_command_line_is_the_manifests_or_begins_with_the_images_entry_point(
    container: Any, line: list[str]
) -> None:
    assert command_line(container, Image(entrypoint=("entry",)), {"B": "b"}) == line
