"""A plan carried out: tasks, engines, dask."""
