"""The one room that knows dask: the tasks of a plan on threads, processes or a cluster."""

from pipeline.runner.dask_engine.engine import DaskEngine

__all__ = ["DaskEngine"]
