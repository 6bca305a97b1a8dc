"""Makes what is generated of deploy/: install.yaml, the chart's copies of the definition, the roles and the alerts, the
operator's settings in its schema, the values' table in its README, the alert rules as a PrometheusRule, and Argo CD's
scripts as its ConfigMap has them.

`python -m s3sync_local.manifests` writes the files, with `--check` it fails where one is not as generated.
"""

import argparse
import difflib
import json
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import yaml

from s3sync_local.errors import KubectlError
from s3sync_operator.settings import CHOICES, QUANTITIES, QUANTITY, Settings

ROOT = Path(__file__).resolve().parents[4]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
CRD = ROOT / "crd/pachydermsyncs.sync.pachyderm.io.yaml"
KUSTOMIZE_SECONDS = 60
OPERATOR = "s3sync-operator"
CLUSTER_SCOPED = ("customresourcedefinitions",)
"""Resources in the operator's rules that have no namespace, and so no place in a Role."""
MONITORING = DEPLOY / "monitoring"
ARGOCD = DEPLOY / "gitops/argocd"
ARGOCD_KIND = "sync.pachyderm.io_PachydermS3Sync"
SCHEMA = CHART / "values.schema.json"
ELSEWHERE = (
    "namespaces",
    "job_image",
    "default_endpoint",
    "default_pachd_address",
    "log_format",
    "health_address",
    "metrics_address",
)
"""Settings of the operator that are not among the chart's `settings`: other values give them, or its ports do."""
TABLE_BEGIN, TABLE_END = "<!-- values: generated -->\n", "<!-- end of values -->\n"

Raw = dict[str, Any]


def render(folder: Path) -> str:
    """Return what kustomize makes of a folder, YAML; raises KubectlError with what it says.

    It is the kubectl of the lock, never one of KUBEBUILDER_ASSETS: what is generated must not depend on the machine.
    """
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    command = [str(kubectl), "kustomize", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=KUSTOMIZE_SECONDS, check=False)
    if ran.returncode:
        raise KubectlError(f"kubectl kustomize {folder}: {ran.stderr.strip()}")
    return ran.stdout


def roles(rbac: Sequence[Raw], aggregated: Sequence[Raw]) -> Raw:
    """Return what the chart's templates need: the operator's rules, apart from them those that a Role cannot have, and
    the labels and rules of the roles for people, by name."""
    (rules,) = [item["rules"] for item in rbac if (item["kind"], item["metadata"]["name"]) == ("ClusterRole", OPERATOR)]
    return {
        "operator": {
            "namespaced": [rule for rule in rules if not _is_cluster_scoped(rule)],
            "clusterScoped": [rule for rule in rules if _is_cluster_scoped(rule)],
        },
        "aggregated": {
            item["metadata"]["name"]: {"labels": item["metadata"]["labels"], "rules": item["rules"]}
            for item in aggregated
        },
    }


def _is_cluster_scoped(rule: Raw) -> bool:
    return bool(set(rule["resources"]) & set(CLUSTER_SCOPED))


def settings_schema() -> Raw:
    """Return the schema of the chart's `settings`: the operator's settings, as the operator itself tells them."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            value_name(item.name): _setting_schema(item) for item in fields(Settings) if item.name not in ELSEWHERE
        },
    }


def value_name(setting: str) -> str:
    """Return the chart's name of an operator's setting; the template makes the variable's name of it again."""
    first, *rest = setting.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _setting_schema(item: Field[Any]) -> Raw:
    default, told = item.default, item.metadata
    known: Raw = {"description": f"The operator's --{item.name.replace('_', '-')}: {told['help']}."}
    if isinstance(default, tuple):
        paths = {"type": "string", "pattern": "^/"}
        return {**known, "type": ["array", "null"], "items": paths, "default": list(default)}
    if isinstance(default, int):
        return {**known, "type": ["integer", "null"], "minimum": told.get("least", 1), "default": default}
    if item.name in CHOICES:
        known["enum"] = [*CHOICES[item.name], None]
    if item.name in QUANTITIES:
        known["pattern"] = f"^({QUANTITY})?$"
    return {**known, "type": ["string", "null"], "default": default}


def with_settings(schema: Raw) -> Raw:
    """Return the chart's schema with its part on the operator's settings made anew."""
    return {**schema, "properties": {**schema["properties"], "settings": settings_schema()}}


def table(schema: Raw, values: Raw) -> str:
    """Return the values as a Markdown table: name, what it is, default; groups are told value by value."""
    rows = [f"| `{name}` | {what} | `{json.dumps(default)}` |\n" for name, what, default in _rows(schema, values)]
    return "".join(["| value | what it is | default |\n", "|---|---|---|\n", *rows])


def _rows(schema: Raw, values: Raw, prefix: str = "") -> Iterator[tuple[str, str, object]]:
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from _rows(part, values[name], f"{prefix}{name}.")
        elif name in values or "default" in part:
            yield prefix + name, part["description"], values.get(name, part.get("default"))


def with_table(readme: str, rows: str) -> str:
    """Return the README with its table of values replaced; raises ValueError where its marks are missing."""
    before, begin, rest = readme.partition(TABLE_BEGIN)
    _, end, after = rest.partition(TABLE_END)
    if not begin or not end:
        raise ValueError(f"the chart's README has no '{TABLE_BEGIN.strip()}' followed by '{TABLE_END.strip()}'")
    return f"{before}{begin}{rows}{end}{after}"


def generated() -> dict[Path, str]:
    """Return each generated file's content."""
    schema = with_settings(json.loads(SCHEMA.read_text()))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = roles(_objects(DEPLOY / "base/rbac.yaml"), _objects(DEPLOY / "base/aggregated-roles.yaml"))
    return {
        DEPLOY / "install.yaml": _header("deploy/overlays/cluster") + render(DEPLOY / "overlays/cluster"),
        SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        CHART / "files/crd.yaml": CRD.read_text(),
        CHART / "files/roles.yaml": _header("deploy/base/*.yaml") + yaml.safe_dump(found, sort_keys=False, width=120),
        MONITORING / "prometheusrule.yaml": _header("deploy/monitoring/rules.yaml")
        + _dump(prometheus_rule(yaml.safe_load((MONITORING / "rules.yaml").read_text()))),
        CHART / "files/rules.yaml": (MONITORING / "rules.yaml").read_text(),
        CHART / "files/dashboard.json": (MONITORING / "dashboard.json").read_text(),
        ARGOCD / "argocd-cm-patch.yaml": _header("deploy/gitops/argocd/*.lua") + _dump(argocd_config()),
        CHART / "README.md": with_table((CHART / "README.md").read_text(), table(schema, values)),
    }


def prometheus_rule(rules: Raw) -> Raw:
    """Return the alert rules as the Prometheus operator takes them."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": OPERATOR, "namespace": "s3sync-system"},
        "spec": rules,
    }


def argocd_config() -> Raw:
    """Return what Argo CD's ConfigMap needs to know health and actions of a sync."""
    actions = {
        "discovery.lua": (ARGOCD / "actions/discovery.lua").read_text(),
        "definitions": [
            {"name": script.parent.name, "action.lua": script.read_text()}
            for script in sorted(ARGOCD.glob("actions/*/action.lua"))
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}},
        "data": {
            f"resource.customizations.health.{ARGOCD_KIND}": (ARGOCD / "health.lua").read_text(),
            f"resource.customizations.actions.{ARGOCD_KIND}": _dump(actions),
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)


def _dump(document: Raw) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def _header(source: str) -> str:
    return f"# Generated from {source} by `make generate`; do not edit.\n"


def _objects(path: Path) -> list[Raw]:
    return list(yaml.safe_load_all(path.read_text()))


def differences(files: Mapping[Path, str]) -> str:
    """Return a unified diff of the files as they are against what they should be, empty where all are right."""
    return "".join(
        line
        for path, wanted in files.items()
        for line in difflib.unified_diff(
            (path.read_text() if path.exists() else "").splitlines(keepends=True),
            wanted.splitlines(keepends=True),
            fromfile=str(path.relative_to(ROOT)),
            tofile="as generated",
        )
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(prog="python -m s3sync_local.manifests", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is not as generated")
    options = parser.parse_args(arguments)
    try:
        files = generated()
    except (KubectlError, ValueError) as error:
        sys.exit(f"error: {error}")
    if not options.check:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    elif found := differences(files):
        sys.exit(f"{found}the files above are not as generated: run 'make generate' and commit")


if __name__ == "__main__":
    main()
