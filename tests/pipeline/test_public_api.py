"""What `pipeline` offers by itself."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pipeline

OFFERED = {
    "About", "Cache", "Clip", "ClipError", "ClipInputs", "ClipResult", "Extractor", "Field",
    "MissingModalityError", "StageSettings", "UserError", "by_content", "open_cache", "runtime",
}  # fmt: skip


def test_all_that_is_offered_is_there_and_is_what_type_checkers_are_told():
    assert set(pipeline.__all__) == OFFERED <= set(dir(pipeline))
    tree = ast.parse(Path(pipeline.__file__).read_text(encoding="utf-8"))
    told = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pipeline."):
            module = import_module(str(node.module))
            for alias in node.names:
                assert getattr(pipeline, alias.name) is getattr(module, alias.name)
                told.add(alias.name)
    assert told == OFFERED


def test_what_is_not_offered_is_an_error():
    with pytest.raises(AttributeError, match="'pipeline' has no attribute 'paint'"):
        pipeline.paint  # noqa: B018


def test_nothing_is_loaded_before_it_is_asked_for():
    code = "import sys, pipeline; print(*(n for n in sys.modules if n.startswith('pipeline')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pipeline"]
