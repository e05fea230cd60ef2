"""Datasets: the layouts they come in, as ordered tables of clips."""

from pipeline.dataset.load import (
    LABELS,
    Dataset,
    Row,
    entries,
    load,
    name_of,
    rows,
    safe_id,
    table_of,
)

__all__ = ["LABELS", "Dataset", "Row", "entries", "load", "name_of", "rows", "safe_id", "table_of"]
