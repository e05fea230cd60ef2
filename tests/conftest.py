"""A dataset of transcripts and a run over it, for tests that need no media."""

# ruff: noqa: E402 — what is imported below reads the environment

from tests.support import shield

shield.clean()

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.runner.extract import Extraction, RunOptions, extract
from pipeline.runner.serial import run_serially
from pipeline.runner.types import Engine, Listener
from tests.support.browser import browser as browser
from tests.support.browser import one_browser as one_browser

SPLITS = ("train", "valid", "test")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--device`, of tests that are marked `gpu`."""
    parser.addoption("--device", default="cuda", help="of tests marked gpu; cpu rehearses them")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is remembered between runs out of the user's home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home")))


class Transcripts:
    """A dataset in the MMSA layout without media, its stages file and its cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "talks"
        self.cache_root = str(folder / "cache")
        self.stages_file = folder / "stages.yaml"
        self.calls = folder / "calls.txt"
        self.stages(letters={"extractor": "tests.support.toys.letters", "calls": str(self.calls)})

    @property
    def cache_url(self) -> str:
        return f"{self.cache_root}/talks"

    def texts(self, texts: Sequence[str], skip: Sequence[int] = ()) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "label.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["video_id", "clip_id", "text", "label", "annotation", "mode"])
            for i, text in enumerate(texts):
                if i not in skip:
                    rows.writerow(["v", f"{i:04d}", text, i / 10, "", SPLITS[i % 3]])

    def stages(self, partition: int = 4, **stages: dict[str, object]) -> None:
        doubled = {"extractor": "tests.support.toys.doubled", "needs": "letters"}
        spec = {"partition": partition, "stages": {**stages, "doubled": doubled}}
        self.stages_file.write_text(json.dumps(spec))  # which is YAML without aliases

    def extract(
        self,
        engine: Engine = run_serially,
        cache_root: str = "",
        listener: Listener | None = None,
        **options: Any,
    ) -> Extraction:
        """A run with such options."""
        where = self.folder, self.stages_file, engine, cache_root or self.cache_root
        return extract(*where, RunOptions(**options), listener)

    def called(self) -> list[list[str]]:
        """The clips of each call to `letters` since the last time this was asked."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [line.split() for line in lines]


@pytest.fixture
def transcripts(tmp_path: Path) -> Transcripts:
    return Transcripts(tmp_path)


@pytest.fixture
def stored_bytes() -> Callable[[str], dict[str, bytes]]:
    """Every file of a cache's stores, by name."""

    def read(cache_url: str) -> dict[str, bytes]:
        files = [p for p in sorted(Path(cache_url).rglob("*")) if p.is_file()]
        stored = [p for p in files if ".zarr" in str(p)]
        return {str(p.relative_to(cache_url)): p.read_bytes() for p in stored}

    return read
