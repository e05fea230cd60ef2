"""What can be set in a settings class, as a table in Markdown."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from inspect import getsource
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import BaseModel

WORDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "object": "settings",
}
LIMITS = {
    "minimum": "≥ {:g}",
    "exclusiveMinimum": "> {:g}",
    "maximum": "≤ {:g}",
    "exclusiveMaximum": "< {:g}",
    "multipleOf": "a multiple of {:g}",
    "pattern": "as `{}`",
}


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |" for r in lines)


def described(settings: type[BaseModel]) -> list[list[str]]:
    """Name, type, default and meaning of each setting of a class."""
    schema = settings.model_json_schema()
    return [
        [f"`{name}`", _type(field, schema), as_yaml(field.get("default")), meaning(settings, name)]
        for name, field in schema["properties"].items()
    ]


def meaning(settings: type[BaseModel], name: str) -> str:
    """What is said below a setting, in its class or where it is inherited from; "" if nothing."""
    given = settings.model_fields[name].description
    said = given or next((s[name] for s in map(_said, settings.__mro__) if name in s), "")
    return " ".join(said.split())


@lru_cache
def _said(kind: type) -> Mapping[str, str]:
    """By name, what stands below each field in the source of a settings class.

    Not by pydantic's `use_attribute_docstrings`: it reads every source when that is imported.
    """
    if not issubclass(kind, BaseModel) or kind is BaseModel:
        return {}
    [made] = ast.parse(dedent(getsource(kind))).body
    return {
        field.target.id: str(text.value.value)
        for field, text in pairwise(getattr(made, "body", ()))
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def as_yaml(value: Any) -> str:
    """A value as it is written in a stages file."""
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`".replace('"', "")


def _type(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The type and the limits of a field of a JSON schema, in words."""
    if "anyOf" in field:
        return " or ".join(_type(kind, schema) for kind in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum") or [field["const"]])
    if "$ref" in field:
        parts = schema["$defs"][field["$ref"].rpartition("/")[2]]["properties"]
        kinds = {f"`{name}`": _type(part, schema) for name, part in parts.items()}
        if len(set(kinds.values())) == 1:
            return f"{next(iter(kinds.values()))} each for {', '.join(kinds)}"
        return "; ".join(f"{name}: {kind}" for name, kind in kinds.items())
    if field.get("type") == "array":
        items = field.get("prefixItems") or [field.get("items", {})]
        count = f"{len(items)} of " if "prefixItems" in field else "list of "
        return count + _type(items[0], schema)
    limits = [text.format(field[key]) for key, text in LIMITS.items() if key in field]
    kind = field.get("type", "anything")
    return ", ".join([WORDS.get(kind, kind), *limits])
