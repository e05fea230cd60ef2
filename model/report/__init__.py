"""The report on a dataset, one page from its clips to its results: a file and a template a part."""
