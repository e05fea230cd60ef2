"""The shape of the code: one direction of imports, versions that mean something."""

import ast
import json
from pathlib import Path

import pytest

from pipeline.source_code import code_digest, modules_of
from pipeline.stages import built_in, extractor_class

ROOT = Path(__file__).parent.parent
MODULES = sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "model").rglob("*.py")])
EXTRACTORS = [f"pipeline.extractors.{name}" for name in built_in()]
VERSIONS = Path(__file__).parent / "extractor_versions.json"
CONTRACT = {  # what every extractor is made with, and computes nothing
    f"pipeline.{name}"
    for name in ("clip", "device", "digest", "errors", "extractor", "field", "trace", "weights")
}


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def under(names: set[str], package: str) -> set[str]:
    return {name for name in names if name == package or name.startswith(f"{package}.")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    names = imported(path)
    if path.is_relative_to(ROOT / "pipeline"):
        assert not under(names, "model")
        if path.stem != "cluster":
            assert not under(names, "dask")
            assert not under(names, "distributed")
        if path.stem not in ("store", "chunks"):
            assert not under(names, "zarr")
        if path.parent.stem != "media" and path.stem not in ("sample", "codecs"):
            assert not under(names, "av")
    if path.is_relative_to(ROOT / "pipeline/extractors"):
        assert not under(names, "pipeline.store")
        assert not under(names, "pipeline.run")
        others = under(names, "pipeline.extractors") - {"pipeline.extractors"}
        assert not others, "an extractor knows no other"
    is_command = path.stem == "cli" or path.parent.name == "commands"
    if path.is_relative_to(ROOT / "model") and not is_command:
        allowed = {
            "cache",
            "device",
            "errors",
            "digest",
            "files",
            "machine",
            "prose",
            "recipe",
            "settings_table",
            "source_code",
            "threads",
            "weights",
        }
        if path.parent.stem == "report":  # which tells of the clips and of the extraction too
            allowed |= {"clip", "extractor", "grouped", "page", "status", "steps"}
        if path.stem in ("options", "console"):
            allowed |= {"cli", "console"}
        if path.stem == "predict":
            allowed |= {"clip", "extract", "extractor", "new_clips"}
        modules = {".".join(name.split(".")[:2]) for name in under(names, "pipeline")}
        assert modules <= {"pipeline", *(f"pipeline.{name}" for name in allowed)}


def test_there_is_no_circle_of_imports() -> None:
    def name(path: Path) -> str:
        parts = path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    modules = {name(p): imported(p, top_level_only=True) for p in MODULES}
    graph = {m: {n for n in names if n in modules and n != m} for m, names in modules.items()}
    for package in ("pipeline", "model"):  # a package's __init__ only offers names
        for needs in graph.values():
            needs.discard(package)
    done: set[str] = set()
    while ready := {m for m in graph if m not in done and graph[m] <= done}:
        done |= ready
    assert done == set(graph)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_a_changed_extractor_has_a_raised_version(extractor: str) -> None:
    """A changed source needs a raised version, or a word that results are the same.

    After a change: raise `version` where results may differ, then run
    `python -m tests.test_structure` to record the new sources.
    """
    recorded = json.loads(VERSIONS.read_text())
    assert recorded[extractor] == versioned_source(extractor)


def test_a_digest_is_recorded_for_every_extractor_and_no_other() -> None:
    assert sorted(json.loads(VERSIONS.read_text())) == EXTRACTORS


def versioned_source(extractor: str) -> list[object]:
    """The extractor's version and a digest of its code, that of what it computes with included."""

    def counts(module: str) -> bool:
        return module.startswith("pipeline.") and module not in CONTRACT

    version = extractor_class(extractor, extractor).version
    return [version, code_digest(modules_of([extractor], counts))[:16]]


if __name__ == "__main__":
    record = {extractor: versioned_source(extractor) for extractor in EXTRACTORS}
    VERSIONS.write_text(json.dumps(record, indent=1) + "\n")
