"""Several stages of one kind, each with weights and settings of its own, and defaults that stay."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import open_cache
from pipeline.dag.identity import identify
from pipeline.dag.stage import Stage
from pipeline.extractors.bert import Bert
from pipeline.extractors.wav2vec2 import Wav2vec2
from pipeline.inspect.page import inspect
from pipeline.stage.extractor import Extractor
from tests.conftest import Transcripts
from tests.support.commands import smp
from tests.support.text_encoders import FAMILIES


def test_stages_of_one_kind_stand_side_by_side(transcripts: Transcripts, tmp_path: Path) -> None:
    roberta = FAMILIES["RoBERTa"].save(tmp_path / "roberta")
    transcripts.texts(["this is good", "it is bad", "a film"])
    transcripts.stages(
        letters={"extractor": "tests.support.toys.letters", "calls": str(transcripts.calls)},
        bert={"weights": "random", "device": "cpu"},
        text_middle={"extractor": "bert", "weights": "random", "device": "cpu", "layer": [0, 1]},
        text_roberta={"extractor": "bert", "weights": str(roberta), "device": "cpu"},
    )
    transcripts.extract()
    cache = open_cache(transcripts.cache_url)
    names = ("bert", "text_middle", "text_roberta")
    bert, middle, other = (cache[name].read("features") for name in names)
    assert bert.shape == middle.shape == (3, 32, 128)
    assert other.shape == (3, 32, 32)
    assert not np.allclose(bert, middle)
    shown = smp("status", cache.url).output
    assert all(name in shown for name in ("bert *", "text_middle *", "text_roberta "))
    html = inspect(cache, "v/0000")
    assert "good" in html
    assert all(f"text_{name}" in html for name in ("middle", "roberta"))


def test_a_layer_that_the_configuration_lacks_is_told_before_anything_runs(
    transcripts: Transcripts, tmp_path: Path
) -> None:
    roberta = FAMILIES["RoBERTa"].save(tmp_path / "roberta")
    transcripts.texts(["this is good"])
    letters: dict[str, object] = {
        "extractor": "tests.support.toys.letters", "calls": str(transcripts.calls),
    }  # fmt: skip
    bert: dict[str, object] = {"weights": str(roberta), "device": "cpu", "layer": 3}
    transcripts.stages(letters=letters, bert=bert)
    made = transcripts
    given = made.folder, "--stages", made.stages_file, "--cache", made.cache_root, "--serial"
    told = smp("extract", *given, code=2).stderr
    assert "layer 3: these weights have 2 layers; name one from 0" in told
    assert not transcripts.calls.exists()


@pytest.mark.parametrize(
    ("name", "kind", "reads", "fingerprint"),
    [
        ("bert", Bert, ["text"],
         "3463b43b9f95e36e45bbddad1aef329855ab1cd0b48ca3b26ee843b397ded335"),
        ("wav2vec2", Wav2vec2, [],
         "aefcedade5c2a4c3cef6c3dece101e4aec41d554471a0c926916338e7bf44cde"),
    ],
)  # fmt: skip
def test_with_defaults_a_stage_has_the_fingerprint_of_before_there_were_layers(
    name: str, kind: type[Extractor], reads: list[str], fingerprint: str
) -> None:
    def made(**settings: object) -> str:
        given = kind.Settings.model_validate({"weights": "random", **settings})
        stage = Stage(name, name, (), given, False, 32)
        return identify(stage, 32, reads, {})["fingerprint"]

    assert made() == fingerprint
    assert len({made(), made(layer=1), made(layer=[1, 2])}) == 3
