"""What all models are made of: a strict frozen base, and strings under rules."""

from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from s3sync_operator import rules


class Model(BaseModel):
    """A frozen value that is written in camelCase and refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


def plain(model: BaseModel) -> dict[str, Any]:
    """Return what a model was given, as plain values under the names of YAML."""
    return model.model_dump(by_alias=True, exclude_none=True, mode="json")


class Text:
    """Annotates a non-empty string of at most `max_length` characters under rules, for model and CRD alike."""

    def __init__(self, max_length: int, *kept: rules.Rule) -> None:
        self._max_length = max_length
        self._rules = kept

    def _check(self, value: str) -> str:
        for rule in self._rules:
            if not rule.accepts(value):
                raise ValueError(rule.message)
        return value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(min_length=1, max_length=self._max_length)
        return core_schema.no_info_after_validator_function(self._check, text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        cel = [{"rule": rule.cel, "message": rule.message} for rule in self._rules]
        return handler(schema) | {"x-kubernetes-validations": cel}
