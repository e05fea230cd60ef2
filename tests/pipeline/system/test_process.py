"""What is set for the whole process: only when it is asked for."""

import csv
import gc
import logging
import subprocess
import sys

from pipeline.system.process import LONGEST_FIELD, allow_long_csv_fields, silence, uncollected

IMPORTED = """
import csv, gc, logging, os, warnings
def settings():
    return csv.field_size_limit(), gc.get_freeze_count(), logging.root.level, len(warnings.filters)
before = settings()
import pipeline.cli.group, pipeline.dataset.load, pipeline.system.process
assert settings() == before, (before, settings())
"""


def test_an_import_sets_nothing() -> None:
    subprocess.run([sys.executable, "-c", IMPORTED], check=True)


def test_long_fields_are_read() -> None:
    allow_long_csv_fields()
    assert list(csv.reader(["a" * (LONGEST_FIELD - 1)])) == [["a" * (LONGEST_FIELD - 1)]]


def test_loggers_are_left_with_errors() -> None:
    silence("some.library", "another")
    for name in ("some.library", "another"):
        assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
        assert logging.getLogger(name).isEnabledFor(logging.ERROR)


def test_the_garbage_collector_goes_on_as_before() -> None:
    with uncollected():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
