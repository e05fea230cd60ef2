"""A stage, a model and a format from outside the package, through the commands that meet them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model import load_model
from model.training.presets import load as load_presets
from pipeline import open_cache
from pipeline.dag.stage import about, default_channels
from pipeline.errors import UserError
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
MODEL = '''
"""The mean of each modality's steps, to scores."""

import torch
from torch import nn

from model.network import Network, NetworkSettings


class Means(Network):
    class Settings(NetworkSettings):
        is_biased: bool = True
        """Whether a constant is added."""

    def __init__(self, widths, outputs, settings):
        super().__init__(widths, outputs, settings)
        self.layer = nn.Linear(sum(self.widths.values()), outputs, settings.is_biased)

    def forward(self, batch):
        return self.layer(torch.cat([batch.features[m].mean(dim=1) for m in self.widths], dim=-1))
'''
PRESETS = """
quick:
  source: a guess
  mosi: {epochs: 2, lr: 0.25, network: {is_biased: false}}
  sims: {epochs: 2, lr: 0.5}
"""
FORMAT = '''
"""Clips and the first value of each."""

import numpy as np

from pipeline import Clip
from pipeline.formats.feature_set import Feature, FeatureSet
from pipeline.formats.format import Format


class Lines(Format):
    """A line a clip."""

    def write(self, bundle, path):
        rows = zip(bundle.clips, bundle.features["text"], strict=True)
        path.write_text("".join(f"{clip.id} {x[0, 0]}\\n" for clip, x in rows))
        return ["of each clip one value is left"]

    def read(self, path, given, language):
        rows = [line.split() for line in path.read_text().splitlines()]
        clips = tuple(Clip(id, text="", label=0.1, split="train") for id, _ in rows)
        text = Feature("text", 1, lambda i: np.array([[rows[i][1]]], np.float32))
        return FeatureSet(path, "lines", "0" * 64, clips, {"text": text})
'''
QUICK = ("--epochs", 1, "--set", "network.width=8", "--set", "network.heads=2")


@pytest.fixture
def talks(
    transcripts: Transcripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Transcripts]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/lengths.py").write_text(STAGE)
    (tmp_path / "outside/lines.py").write_text(FORMAT)
    (tmp_path / "outside/means.py").write_text(MODEL)
    (tmp_path / "outside/means.yaml").write_text(PRESETS)
    transcripts.texts([f"{'word ' * (1 + i % 5)}{'x' * i}" for i in range(1, 31)])
    transcripts.stages_file.write_text("stages:\n  lengths: {extractor: outside.lengths}\n")
    yield transcripts
    for name in [name for name in sys.modules if name.partition(".")[0] == "outside"]:
        del sys.modules[name]
    load_presets.cache_clear()


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
    assert "text: lengths, 2 wide" in smp("export", *where, "out", "--format", "safetensors").output
    smp("report", *where, "--output", "report.html")
    assert "lengths" in Path("report.html").read_text(encoding="utf-8")


def test_a_model_from_outside_is_trained_and_compared_by_its_presets(talks: Transcripts) -> None:
    talks.extract()
    where = (talks.folder, "--cache", talks.cache_root)
    told = json.loads(smp("train", *where, "--model", "outside.means", "--json").output)
    assert told["preset"] == "quick"
    settings = json.loads(Path(told["run"], "settings.json").read_text())["train"]
    assert (settings["lr"], settings["network"]) == (0.25, {"is_biased": False})
    compared = smp("compare", *where, "--models", "outside.means", "--seeds", 1)
    assert " MEANS " in compared.output
    smp("report", *where, "--output", "report.html")
    assert "outside.means" in Path("report.html").read_text(encoding="utf-8")
    assert "`is_biased`" in smp("settings", "outside.means").output
    assert "No settings." in smp("settings", "outside.lengths").output
    smp("train", *where, "--model", "outside.nothing", code=2)


def test_a_run_imports_no_model_from_outside_unless_it_is_trusted(
    talks: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks.extract()
    smp("train", talks.folder, "--cache", talks.cache_root, "--model", "outside.means")
    run = Path("runs/talks-outside.means-seed0")
    del sys.modules["outside.means"]
    load_presets.cache_clear()
    with pytest.raises(UserError, match=r"its model is outside\.means; add --trust"):
        load_model(run)
    assert "add --trust" in smp("predict", run, talks.folder, code=2).output
    assert "outside.means" not in sys.modules
    assert load_model(run, trust=True).network.widths == {"text": 2}
    monkeypatch.setenv("SMP_TRUST", str(run))
    assert load_model(run).network.widths == {"text": 2}


def test_a_format_from_outside_is_written_and_read(talks: Transcripts) -> None:
    talks.extract()
    where = (talks.folder, "--cache", talks.cache_root)
    told = smp("export", *where, "out.txt", "--format", "outside.lines").output
    assert "note: of each clip one value is left" in told
    assert Path("out.txt").read_text().startswith("v/0000 4.0\n")
    smp("import", "out.txt", "--format", "outside.lines", "--name", "back")
    view = open_cache("cache/back")["text"]
    assert (view.shape[-1], view.read()[0, 0, 0]) == (1, 4)
    told = smp("export", *where, "x", "--format", "lines", code=2).output
    assert "no format 'lines'; there are merbench, mmsa, parquet, safetensors" in told
    told = smp("import", "out.txt", "--format", "parquet", code=2).output
    assert "no format 'parquet'; there are feature_pickle, merbench" in told


def test_help_names_the_formats_with_what_they_are() -> None:
    told = " ".join(smp("export", "--help").output.split())
    assert "mmsa: a pickle that MMSA's loader reads;" in told


@pytest.mark.usefixtures("talks")
def test_a_fault_in_a_presets_file_is_told_with_its_name() -> None:
    for content, told in {
        "quick: {source: a guess, mosi: {}}": "means.yaml: expected presets",
        "quick: {source: a guess, mosi: {lr: fast}, sims: {}}": "means.yaml: setting lr fast: ",
        "quick: {source: a guess, mosi: null, sims: {}}": "means.yaml: expected presets",
        "quick: 3": "means.yaml: expected presets by name, each with source, mosi and sims",
        "[quick]": "means.yaml: expected presets",
    }.items():
        Path("outside/means.yaml").write_text(content)
        load_presets.cache_clear()
        with pytest.raises(UserError, match=told):
            load_presets("outside.means")


def test_a_cache_imports_nothing_that_it_names(talks: Transcripts) -> None:
    talks.extract()
    Path("outside/lengths.py").write_text("raise AssertionError('it was imported')")
    del sys.modules["outside.lengths"]
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
