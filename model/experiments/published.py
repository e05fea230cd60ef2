"""Numbers that others have printed, for orientation, as rows of a table."""

from __future__ import annotations

from collections.abc import Container
from importlib.resources import files
from typing import Any

from model.experiments.table import PUBLISHED, Row
from pipeline.io.yaml_file import read_yaml

FILE = files("model.experiments") / "published.yaml"


TITLES = {
    "mult": "MulT",
    "self_mm": "Self-MM",
    "tfr_net": "TFR-Net",
    "late_transformer": "late transformer",
}


OWN_VECTORS = {"lf_dnn": "MLF-DNN", "tfn": "MTFN", "lmf": "MLMF"}


def title(model: str, has_own_vectors: bool = False) -> str:
    """What the literature calls a model, and one whose modalities have targets of their own."""
    name = model.rpartition(".")[2]
    if has_own_vectors:
        return OWN_VECTORS.get(name) or f"{title(name)}, own vectors"
    return TITLES.get(name, name.upper().replace("_", "-"))


def published(
    experiment: str, scale: str, chosen: Container[str] | None = None
) -> tuple[list[Row], str]:
    """Rows for `compare`, `fusion`, `toolkit` or `authors` on a scale, and where they are printed.

    chosen: which of them, by default all. No rows and an empty text where there are none.
    """
    content = read_yaml(FILE)
    table = content.get(experiment, {}).get(scale, {"columns": [], "rows": {}})
    rows = [
        _row(name, table["columns"], values)
        for name, values in table["rows"].items()
        if chosen is None or name in chosen
    ]
    if not rows:
        return [], ""
    source = table.get("source", content["source"])
    return rows, f"published: {source}, {table['where']}; its features are not these"


def order() -> list[str]:
    """The models in the order of the paper's tables."""
    content = read_yaml(FILE)
    return list(content["compare"]["mosi"]["rows"])


def _row(name: str, columns: list[str], values: list[Any]) -> Row:
    shares = {key: [v / 100] for key, v in zip(columns, values, strict=True) if v is not None}
    label = name if name.startswith("F_") else title(name)
    return Row(f"published: {label}", shares, PUBLISHED)
