"""Datasets: the layouts they come in, as ordered tables of clips."""

from pipeline.dataset.load import Dataset, load

__all__ = ["Dataset", "load"]
