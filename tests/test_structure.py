"""The shape of the code: rooms in order, one direction of imports, versions that mean something."""

import ast
import json
from pathlib import Path

import pytest

from pipeline.dag.stage import built_in, extractor_class
from pipeline.io.source_code import code_digest, imported, modules_of
from tests.support.paths import ROOT

# From the lowest on: a room imports from itself and from those before it, and no other.
ROOMS: dict[str, list[str]] = {
    "pipeline": [
        "errors", "messages", "system", "io", "dataset", "media", "weights", "sample", "html",
        "stage", "testing", "faces", "encoders", "segment", "extractors", "store", "dag", "recipes",
        "inspect", "checks", "formats", "runner", "cli",
    ],
    "model": [
        "metrics", "step", "data", "objectives", "network", "layers", "networks", "registry",
        "finetune", "training", "testing", "runs", "inference", "demo", "exported", "experiments",
        "publish", "search", "robustness", "report", "cli",
    ],
}  # fmt: skip
ONLY: dict[str, str | tuple[str, ...]] = {  # who may import what
    "av": "pipeline.media",
    "dask": "pipeline.runner.dask_engine",
    "distributed": "pipeline.runner.dask_engine",
    "zarr": "pipeline.store",
    "gradio": "model.demo.serve",
    "jinja2": ("pipeline.html", "model.publish.card"),
    "optuna": "model.search.study",
    "click": ("pipeline.cli", "model.cli", "pipeline.__main__"),
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for top in ROOMS
    for path in sorted((ROOT / top).rglob("*.py"))
}
EXTRACTORS = [f"pipeline.extractors.{name}" for name in built_in()]
VERSIONS = ROOT / "tests/extractor_versions.json"
CONTRACT = {  # what every extractor is made with, and computes nothing
    "pipeline.dataset.clip", "pipeline.errors", "pipeline.io.atomic_write",
    "pipeline.io.digest_memory", "pipeline.io.file_digests", "pipeline.io.folder",
    "pipeline.io.hashing", "pipeline.io.user_cache", "pipeline.messages", "pipeline.stage.about",
    "pipeline.stage.extractor", "pipeline.stage.field", "pipeline.stage.result",
    "pipeline.stage.settings", "pipeline.system.device", "pipeline.system.process",
    "pipeline.system.spans", "pipeline.weights.random_weights", "pipeline.weights.registry",
    "pipeline.weights.resolve",
}  # fmt: skip


def is_in(name: str, packages: str | tuple[str, ...]) -> bool:
    places = (packages,) if isinstance(packages, str) else packages
    return any(name == place or name.startswith(f"{place}.") for place in places)


def test_every_file_has_a_room() -> None:
    rooms = {tuple(name.split(".")[:2]) for name in MODULES if "." in name}
    known = {(top, room) for top, rooms in ROOMS.items() for room in rooms}
    assert rooms == known | {("pipeline", "__main__"), ("model", "__main__")}


@pytest.mark.parametrize("module", [name for name in MODULES if name.count(".") > 1])
def test_a_room_imports_from_lower_rooms_alone(module: str) -> None:
    top, room = module.split(".")[:2]
    lower = ROOMS[top][: ROOMS[top].index(room) + 1]
    allowed = [f"{top}.{name}" for name in lower]
    if top == "model":
        allowed.append("pipeline")
    ours = {name for name in imported(module) if is_in(name, ("pipeline", "model"))}
    assert not {name for name in ours - {top} if not is_in(name, tuple(allowed))}


@pytest.mark.parametrize("module", MODULES)
def test_a_library_that_one_room_is_for_is_known_there_alone(module: str) -> None:
    names = imported(module)
    for library, place in ONLY.items():
        assert is_in(module, place) or not {name for name in names if is_in(name, library)}


def test_an_extractor_knows_no_other() -> None:
    for extractor in EXTRACTORS:
        others = {n for n in imported(extractor) if n.startswith("pipeline.extractors.")}
        assert not others


def test_there_is_no_circle_of_imports() -> None:
    graph = {module: _imported_at_once(path) for module, path in MODULES.items()}
    done: set[str] = set()
    while ready := {m for m in graph if m not in done and graph[m] <= done | {m}}:
        done |= ready
    assert done == set(graph)


def _imported_at_once(path: Path) -> set[str]:
    """Our modules that a file imports as it is itself; not those that types alone need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            names |= named or {node.module} & set(MODULES)
    return names


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
