"""The parts of a spec that become parts of a pod, checked by Kubernetes' own models and so as strict as a pod itself.

Source: kubernetes.aio.client.models, which are made from Kubernetes' OpenAPI document.
"""

import json
import re
from typing import Annotated, Any, Self

from kubernetes.aio.client import models as core
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from s3sync_operator import rules
from s3sync_operator.models import Model, Text, plain

QUANTITY = re.compile(r"[+-]?([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)(m|[kMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
MOST_ENTRIES = 64


class _Quantity:
    """A quantity such as 2, "500m" or "1.5Gi", kept as text."""

    def _check(self, value: int | str) -> str:
        text = str(value)
        if not QUANTITY.fullmatch(text):
            raise ValueError(f"'{text}' is not a quantity such as 500m, 2 or 1.5Gi")
        return text

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = core_schema.union_schema([core_schema.int_schema(strict=True), core_schema.str_schema(strict=True)])
        return core_schema.no_info_after_validator_function(self._check, kinds)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"x-kubernetes-int-or-string": True, "pattern": f"^({QUANTITY.pattern})$"}


OF_KUBERNETES = "x-of-kubernetes"
"""Marks, in a JSON schema, what one of Kubernetes' own models says."""


class Core:
    """Annotates a value that one of Kubernetes' own models checks.

    The model is imported with the first value: all that a spec can hold take half a second of CPU, and most specs hold
    none of them.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def model(self) -> type[BaseModel]:
        """Kubernetes' model."""
        found: type[BaseModel] = getattr(core, self._name)
        return found

    def _check(self, value: object) -> BaseModel:
        return self.model.model_validate(value, by_alias=True, by_name=False)

    def _check_strictly(self, value: object) -> BaseModel:
        """Strict is what JSON allows; a value from Python would have to be a model already."""
        return self.model.model_validate_json(json.dumps(value), strict=True, by_alias=True, by_name=False)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.lax_or_strict_schema(
            core_schema.no_info_plain_validator_function(self._check),
            core_schema.no_info_plain_validator_function(self._check_strictly),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler.resolve_ref_schema(handler(self.model.__pydantic_core_schema__)) | {OF_KUBERNETES: True}


Quantity = Annotated[str, _Quantity()]
ResourceName = Annotated[str, Text(253, rules.OBJECT_NAME)]
Affinity = Annotated[Any, Core("V1Affinity")]
ConfigMapVolumeSource = Annotated[Any, Core("V1ConfigMapVolumeSource")]
EnvVar = Annotated[Any, Core("V1EnvVar")]
HostPathVolumeSource = Annotated[Any, Core("V1HostPathVolumeSource")]
LocalObjectReference = Annotated[Any, Core("V1LocalObjectReference")]
PersistentVolumeClaimVolumeSource = Annotated[Any, Core("V1PersistentVolumeClaimVolumeSource")]
PodSecurityContext = Annotated[Any, Core("V1PodSecurityContext")]
SecretVolumeSource = Annotated[Any, Core("V1SecretVolumeSource")]
SecurityContext = Annotated[Any, Core("V1SecurityContext")]
Toleration = Annotated[Any, Core("V1Toleration")]
TopologySpreadConstraint = Annotated[Any, Core("V1TopologySpreadConstraint")]
Volume = Annotated[Any, Core("V1Volume")]
VolumeMount = Annotated[Any, Core("V1VolumeMount")]


class Resources(Model):
    """What the job's container asks for and may use at most."""

    requests: dict[str, Quantity] | None = Field(default=None, description="What the scheduler sets aside.")
    limits: dict[str, Quantity] | None = Field(default=None, description="What the container may use at most.")


class PodTemplate(Model):
    """What is particular to the pods of a sync's jobs; what is left out is as the operator sets it."""

    labels: dict[str, str] | None = Field(default=None, description="Labels of the pods, besides the operator's own.")
    annotations: dict[str, str] | None = Field(
        default=None, description="Annotations of the pods, besides the operator's own."
    )
    service_account_name: ResourceName | None = Field(
        default=None,
        description="Service account that the pods run as; its token is not mounted. 'default' where absent.",
    )
    image_pull_secrets: Annotated[list[LocalObjectReference], Field(max_length=MOST_ENTRIES)] | None = Field(
        default=None, description="Secrets in the sync's namespace with which the image is pulled."
    )
    resources: Resources | None = Field(
        default=None, description="Requests and limits of the job's container; in place of the operator's requests."
    )
    node_selector: dict[str, str] | None = Field(default=None, description="Labels that a node must have.")
    tolerations: Annotated[list[Toleration], Field(max_length=MOST_ENTRIES)] | None = Field(
        default=None, description="Taints of nodes that the pods tolerate."
    )
    affinity: Affinity | None = Field(default=None, description="Where the pods are scheduled.")
    topology_spread_constraints: Annotated[list[TopologySpreadConstraint], Field(max_length=MOST_ENTRIES)] | None = (
        Field(default=None, description="How the pods of several workers spread over the cluster.")
    )
    priority_class_name: ResourceName | None = Field(default=None, description="Priority class of the pods.")
    runtime_class_name: ResourceName | None = Field(default=None, description="Runtime class of the pods.")
    security_context: PodSecurityContext | None = Field(
        default=None,
        description="Security context of the pods, merged over the operator's, which keeps to the restricted Pod "
        "Security Standard.",
    )
    container_security_context: SecurityContext | None = Field(
        default=None, description="Security context of the job's container, merged over the operator's."
    )
    env: Annotated[list[EnvVar], Field(max_length=MOST_ENTRIES)] | None = Field(
        default=None, description="Environment variables of the job's container; the operator's own are refused."
    )
    volumes: Annotated[list[Volume], Field(max_length=MOST_ENTRIES)] | None = Field(
        default=None, description="Volumes of the pods, besides the operator's own."
    )
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=MOST_ENTRIES)] | None = Field(
        default=None, description="Where these volumes are mounted in the job's container."
    )


_VOLUME = Core("V1Volume")


class _AnyVolume:
    """Any volume as a pod has it, without its name: {"csi": {…}}, {"nfs": {…}}, {"ephemeral": {…}}."""

    def _check(self, value: dict[str, Any]) -> dict[str, Any]:
        # The API server takes a null for the absence of the field.
        if sum(part is not None for part in value.values()) != 1:
            raise ValueError("must name exactly one kind of volume, as csi, nfs or image")
        found = plain(_VOLUME.model.model_validate(value | {"name": "source"}))
        return {kind: part for kind, part in found.items() if kind != "name"}

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, core_schema.dict_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler.resolve_ref_schema(handler(_VOLUME.model.__pydantic_core_schema__))
        properties = {name: part for name, part in found["properties"].items() if name != "name"}
        return {"type": "object", "properties": properties, "maxProperties": 1, "minProperties": 1}


SOURCES = ("persistentVolumeClaim", "configMap", "secret", "hostPath", "volume")


_GIVEN = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in SOURCES)


class Source(Model):
    """A volume that is mounted, read-only, at the input path; exactly one kind of it."""

    model_config = ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [{"rule": f"{_GIVEN} == 1", "message": rules.ONE_SOURCE}]}
    )

    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = Field(
        default=None,
        description="A claim in the sync's namespace; attached for reading alone, unless its readOnly is false.",
    )
    config_map: ConfigMapVolumeSource | None = Field(
        default=None, description="A ConfigMap in the sync's namespace; each key is a file."
    )
    secret: SecretVolumeSource | None = Field(
        default=None, description="A Secret in the sync's namespace; each key is a file."
    )
    host_path: HostPathVolumeSource | None = Field(
        default=None, description="A directory of the node; only where the operator runs with --allow-host-path."
    )
    volume: Annotated[dict[str, Any], _AnyVolume()] | None = Field(
        default=None, description="Any other volume, as in a pod's spec but without its name: csi, nfs, image, …"
    )
    sub_path: Annotated[str, Text(1024, rules.SUB_PATH)] | None = Field(
        default=None, description="Directory in the volume that is mounted instead of its top level."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in SOURCES if to_camel_field(self, name) is not None]
        if len(given) != 1:
            raise ValueError(rules.ONE_SOURCE)
        return self


def to_camel_field(model: Model, alias: str) -> object:
    """Return the value of a field by its name in YAML."""
    found = next(name for name, field in type(model).model_fields.items() if field.alias == alias)
    return getattr(model, found)
