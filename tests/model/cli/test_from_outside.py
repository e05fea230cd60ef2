"""A stage that is not in the package, through every command that meets it."""

import json
from pathlib import Path

import pytest

from pipeline import open_cache
from pipeline.dag.stage import about, default_channels
from pipeline.stage.about import About
from tests.conftest import Transcripts
from tests.support.commands import smp

STAGE = '''
"""How long the words are."""

import numpy as np

from pipeline import About, ClipResult, Extractor, Field


class Lengths(Extractor):
    version = 1
    about = About("Lengths of words", modality="text", terms="for toys only")
    reads = frozenset({"text"})

    def writes(self):
        return {"features": Field(("step", 2), "float32")}

    def extract(self, batch):
        for inputs in batch:
            sizes = [[len(word), 1] for word in inputs.clip.text.split()][: self.steps]
            yield ClipResult.ok({"features": np.array(sizes, np.float32)}, len(sizes))
'''
QUICK = ("--epochs", 1, "--set", "network.width=8", "--set", "network.heads=2")


@pytest.fixture
def talks(transcripts: Transcripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Transcripts:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/lengths.py").write_text(STAGE)
    transcripts.texts([f"{'word ' * (1 + i % 5)}{'x' * i}" for i in range(1, 31)])
    transcripts.stages_file.write_text("stages:\n  lengths: {extractor: outside.lengths}\n")
    return transcripts


def test_a_stage_from_outside_is_seen_by_every_command(talks: Transcripts) -> None:
    where = (talks.folder, "--cache", talks.cache_root)
    stages = ("--stages", talks.stages_file)
    assert "lengths: 1 partition, 30 clips" in smp("extract", *where, *stages, "--plan").output
    smp("extract", *where, *stages, "--serial")
    assert "stage lengths: for toys only" in smp("models", "list", *stages).output
    listed = json.loads(smp("models", "list", *stages, "--json").output)
    assert listed["terms"] == {"lengths": "for toys only"}
    smp("inspect", talks.folder, "v/0001", "--cache", talks.cache_root, "--output", "page.html")
    assert "Lengths of words</h2>" in Path("page.html").read_text(encoding="utf-8")
    trained = smp("train", *where, *QUICK).output
    assert "text: the cache has no bert" in trained, "then its text is what else there is of it"
    named = json.loads(smp("train", *where, *QUICK, "--text", "lengths", "--json").output)
    settings = json.loads(Path(named["run"], "settings.json").read_text())
    assert settings["data"]["channels"] == {"text": ["lengths"]}
    smp("compare", *where, "--models", "tfn", "--seeds", 1, "--epochs", 1)
    assert "text: lengths, 2 wide" in smp("export", *where, "out", "--format", "safetensors").output
    smp("report", *where, "--output", "report.html")
    assert "lengths" in Path("report.html").read_text(encoding="utf-8")


def test_a_cache_imports_nothing_that_it_names(
    talks: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks.extract()
    Path("outside/lengths.py").write_text("raise AssertionError('it was imported')")
    monkeypatch.delitem(__import__("sys").modules, "outside.lengths")
    view = open_cache(talks.cache_url)["lengths"]
    assert about(view) == About("Lengths of words", modality="text")
    smp("inspect", talks.folder, "v/0001", "--cache", talks.cache_root, "--output", "page.html")


def test_the_default_channels_are_the_papers() -> None:
    assert default_channels() == {
        "visual": ("resnet18", "action_units"),
        "audio": ("mfcc", "wav2vec2"),
        "text": ("bert",),
    }


def test_help_names_the_default_channels() -> None:
    told = " ".join(smp("train", "--help").output.split())
    assert "Audio features: stages, or none. [default: mfcc,wav2vec2]" in told


def test_a_record_of_anything_else_says_nothing() -> None:
    assert About.recorded({"title": 3, "modality": "smell", "panel": []}) == About()
    assert About.recorded(["text"]) == About.recorded(None) == About()
    with pytest.raises(ValueError, match="'smell' is none of visual, audio, text"):
        About(modality="smell")
