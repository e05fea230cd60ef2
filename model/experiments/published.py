"""The paper's own numbers, for orientation, as rows of a table."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from model.experiments.table import PUBLISHED, Row
from pipeline.io.yaml_file import read_yaml

FILE = files("model.experiments") / "published.yaml"


def title(model: str) -> str:
    """What the literature calls a model."""
    name = model.rpartition(".")[2]
    return {"mult": "MulT"}.get(name, name.upper().replace("_", "-"))


def published(experiment: str, scale: str) -> tuple[list[Row], str]:
    """The paper's rows for `compare` or `fusion` on a scale, and where they are printed.

    No rows and an empty text where the paper has none.
    """
    content = read_yaml(FILE)
    table = content.get(experiment, {}).get(scale)
    if not table:
        return [], ""
    where = f"published: {content['source']}, {table['where']}; its features are not these"
    return [_row(name, table["columns"], values) for name, values in table["rows"].items()], where


def order() -> list[str]:
    """The models in the order of the paper's tables."""
    content = read_yaml(FILE)
    return list(content["compare"]["mosi"]["rows"])


def _row(name: str, columns: list[str], values: list[Any]) -> Row:
    shares = {key: [v / 100] for key, v in zip(columns, values, strict=True) if v is not None}
    label = name if name.startswith("F_") else title(name)
    return Row(f"published: {label}", shares, PUBLISHED)
