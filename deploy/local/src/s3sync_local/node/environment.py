"""Pure: from a container's manifest to the variables and the command line of its process."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from s3sync_local.node.catalogue import Image
from s3sync_local.node.records import Manifest

NODE_ADDRESS = "127.0.0.1"
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

_EXPRESSION = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(?P<map>labels|annotations)\['(?P<key>[^']+)'\]")


class ConfigError(Exception):
    """A variable cannot be rendered; the message is the kubelet's for state CreateContainerConfigError."""


@dataclass(frozen=True)
class Reference:
    """A Secret or ConfigMap of the pod's namespace that a container takes variables from."""

    kind: Literal["Secret", "ConfigMap"]
    name: str

    @property
    def missing(self) -> str:
        """The kubelet's message when the object does not exist."""
        return f'{self.kind.lower()} "{self.name}" not found'


Data: TypeAlias = Mapping[Reference, Mapping[str, str] | None]
"""The content of the objects referred to; None for one that does not exist."""


def references(container: Manifest) -> frozenset[Reference]:
    """The objects to fetch before the container's variables can be rendered."""
    return frozenset(reference for reference, _ in _uses(container))


def render_environment(container: Manifest, pod: Manifest, data: Data) -> dict[str, str]:
    """The variables that the manifest asks for, ``envFrom`` first, then ``env``; raises ConfigError as a kubelet would.

    ``$(VAR)`` in a literal value sees the variables before it; values from Secrets and ConfigMaps are taken as is.
    """
    variables: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        variables |= _env_from(source, data)
    for entry in container.get("env", ()):
        value = _value(entry, pod, data, variables)
        if value is not None:
            variables[entry["name"]] = value
    return variables


def base_environment(image: Image, pod_name: str, directory: str) -> dict[str, str]:
    """The variables that every process gets, whatever its manifest says; nothing of the node's own environment."""
    path = ":".join([*map(str, image.path), *SYSTEM_PATH])
    return {
        "PATH": path,
        "HOME": directory,
        "TMPDIR": directory,
        "LANG": "C.UTF-8",
        "HOSTNAME": pod_name,
        **image.env,
    }


def command_line(container: Manifest, image: Image, variables: Mapping[str, str]) -> list[str]:
    """Command and arguments with ``$(VAR)`` expanded; empty where neither manifest nor image names a command."""
    command: Sequence[str] = container.get("command") or image.entrypoint
    return [expand(word, variables) for word in (*command, *container.get("args", ()))]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' expansion: ``$(VAR)`` → value, an unknown one stays as written, ``$$`` → ``$``."""

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else variables.get(name, match[0])

    return _EXPRESSION.sub(replacement, text)


def _uses(container: Manifest) -> Iterator[tuple[Reference, Manifest]]:
    for source in container.get("envFrom", ()):
        yield from _references_in(source, "secretRef", "configMapRef")
    for entry in container.get("env", ()):
        yield from _references_in(entry.get("valueFrom") or {}, "secretKeyRef", "configMapKeyRef")


def _references_in(source: Manifest, secret: str, config_map: str) -> Iterator[tuple[Reference, Manifest]]:
    if secret in source:
        yield Reference("Secret", source[secret].get("name", "")), source[secret]
    if config_map in source:
        yield Reference("ConfigMap", source[config_map].get("name", "")), source[config_map]


def _env_from(source: Manifest, data: Data) -> dict[str, str]:
    prefix = source.get("prefix", "")
    variables: dict[str, str] = {}
    for reference, use in _references_in(source, "secretRef", "configMapRef"):
        content = data.get(reference)
        if content is None and not use.get("optional"):
            raise ConfigError(reference.missing)
        variables |= {prefix + key: value for key, value in (content or {}).items()}
    return variables


def _value(entry: Manifest, pod: Manifest, data: Data, before: Mapping[str, str]) -> str | None:
    """One variable's value; None where an optional source does not have it."""
    source = entry.get("valueFrom")
    if entry.get("value") or not source:
        return expand(entry.get("value", ""), before)
    if "fieldRef" in source:
        return _field(source["fieldRef"]["fieldPath"], pod)
    for reference, use in _references_in(source, "secretKeyRef", "configMapKeyRef"):
        return _key(reference, use, data, pod["metadata"]["namespace"])
    raise ConfigError(f'env "{entry["name"]}": the local node does not support valueFrom.{next(iter(source))}')


def _key(reference: Reference, use: Manifest, data: Data, namespace: str) -> str | None:
    content = data.get(reference)
    if content is not None and use["key"] in content:
        return content[use["key"]]
    if use.get("optional"):
        return None
    if content is None:
        raise ConfigError(reference.missing)
    raise ConfigError(f"couldn't find key {use['key']} in {reference.kind} {namespace}/{reference.name}")


def _field(path: str, pod: Manifest) -> str:
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        return str((pod["metadata"].get(subscript["map"]) or {}).get(subscript["key"], ""))
    fields: dict[str, Any] = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.uid": pod["metadata"]["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.hostIP": NODE_ADDRESS,
        "status.hostIPs": NODE_ADDRESS,
        "status.podIP": NODE_ADDRESS,
        "status.podIPs": NODE_ADDRESS,
    }
    if path not in fields:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str(fields[path])
