"""Makes the CustomResourceDefinition from the models of `api`, as a structural schema.

`python -m s3sync_operator.crd` prints it as YAML; `make generate` writes it to crd/.
"""

import re
import sys
from typing import Any

import yaml

from s3sync_operator import api, models, pod_fields

HEADER = "# Generated from operator/src/s3sync_operator/api.py by `make generate`; do not edit.\n"

PRINTER_COLUMNS = (
    ("Repo", "string", ".spec.repo", 0),
    ("Branch", "string", ".status.branch", 0),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Status", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
    ("Files", "integer", ".status.counts.files", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Phase", "string", ".status.phase", 1),
    ("Verified", "integer", ".status.counts.verified", 1),
    ("Commit", "string", ".status.commit", 1),
    ("TFJob", "string", ".status.tfJobName", 1),
    ("Job", "string", ".status.jobName", 1),
    ("Duration", "string", ".status.duration", 1),
)
_KEPT = (
    "type", "format", "description", "enum", "maxLength", "minLength", "maximum", "minimum", "maxItems", "pattern",
    "maxProperties", "minProperties", "x-kubernetes-validations", "x-kubernetes-int-or-string",
)  # fmt: skip


def structural(schema: dict[str, Any], definitions: dict[str, Any], inner: bool = False) -> dict[str, Any]:
    """Return pydantic's JSON schema as Kubernetes' structural schema: references inlined, titles and defaults dropped.

    A field that may be absent (`anyOf` with null) keeps the one type it has when present. What is `inner` to one of
    Kubernetes' own types goes without descriptions: with them, the definition is too large for `kubectl apply`.
    """
    of_kubernetes = _is_of_kubernetes(schema)
    schema = _present(_resolve(schema, definitions), definitions)
    found: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
    if inner:
        found.pop("description", None)
    inner = inner or of_kubernetes
    if "const" in schema:
        found |= {"type": "string", "enum": [schema["const"]]}
    if "properties" in schema:
        found["properties"] = {
            name: structural(part, definitions, inner) for name, part in schema["properties"].items()
        }
    if schema.get("required"):
        found["required"] = sorted(schema["required"])
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            found[part] = structural(schema[part], definitions, inner)
    if "description" in found:
        # What the client's generator says of its Python classes is of no use to who writes YAML.
        found["description"] = found["description"].partition("\n\nAttributes:")[0]
    return found


def _is_of_kubernetes(schema: dict[str, Any]) -> bool:
    return any(
        pod_fields.OF_KUBERNETES in kind or re.match(r"#/\$defs/(Core)?V[0-9]", kind.get("$ref", ""))
        for kind in (schema, *schema.get("anyOf", ()))
    )


def _resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    target: dict[str, Any] = definitions[schema["$ref"].removeprefix("#/$defs/")]
    return target | beside


def _present(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" not in schema:
        return schema
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    kinds = [kind for kind in schema["anyOf"] if kind.get("type") != "null"]
    if {kind.get("type") for kind in kinds} == {"integer", "string"}:
        return {"x-kubernetes-int-or-string": True} | beside
    if len(kinds) != 1:
        raise ValueError(f"a structural schema has one type a field, not {kinds}")
    return _resolve(kinds[0], definitions) | beside


def _schema_of(model: type[models.Model]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    found = structural(schema, schema.get("$defs", {}))
    found["description"] = (model.__doc__ or "").strip()
    return found


def _spec_schema() -> dict[str, Any]:
    """The spec's schema; `minLength` is left to the rules, whose messages say more."""
    return _schema_of(api.Spec)


def _status_schema() -> dict[str, Any]:
    schema = _schema_of(api.Status)
    schema["default"] = {"observedGeneration": -1}
    conditions = schema["properties"]["conditions"]
    conditions |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return schema


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as an API object."""
    columns = [
        {"name": name, "type": kind, "jsonPath": path, "priority": priority}
        for name, kind, path, priority in PRINTER_COLUMNS
    ]
    version = {
        "name": api.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": "A directory tree that is copied into a Pachyderm branch, read back and verified.",
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": _spec_schema(),
                    "status": _status_schema(),
                },
            }
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{api.PLURAL}.{api.GROUP}"},
        "spec": {
            "group": api.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": api.KIND,
                "listKind": f"{api.KIND}List",
                "plural": api.PLURAL,
                "singular": api.SINGULAR,
                "shortNames": [api.SHORT_NAME],
                "categories": ["pachyderm"],
            },
            "versions": [version],
        },
    }


def main() -> None:
    """Print the definition as YAML."""
    sys.stdout.write(HEADER + yaml.safe_dump(crd(), sort_keys=False, width=120))


if __name__ == "__main__":
    main()
