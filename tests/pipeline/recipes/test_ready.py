"""Recipes load as stages files, and say of themselves what their extractors' classes say."""

from pathlib import Path

import pytest
import yaml

from pipeline.dag.spec import DEFAULT_FILE, Stages, StagesFile
from pipeline.errors import UserError
from pipeline.recipes.ready import Feature, names, read
from tests.support.commands import smp

PUBLISHED = {  # thuiar/MMSA's config_regression.json; of sims2 the files' own shapes
    "mosi": ((768, 5, 20), (50, 50, 50)),
    "mosei": ((768, 74, 35), (50, 50, 50)),
    "sims": ((768, 33, 709), (39, 400, 55)),
    "sims2": ((768, 25, 177), (50, 925, 232)),
}
HIDDEN_SIZES = {  # by the config.json of each on the hub
    "bert-base-uncased": 768,
    "bert-base-chinese": 768,
    "FacebookAI/roberta-large": 1024,
    "hfl/chinese-roberta-wwm-ext-large": 1024,
    "microsoft/wavlm-large": 1024,
    "TencentGameMate/chinese-hubert-large": 1024,
    "openai/clip-vit-large-patch14": 1024,
    "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim": 1024,
}


def of_modality(name: str, modality: str) -> Feature:
    return read(name).facts.features[modality]


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_stage_is_as_wide_as_is_said(name: str, language: str, tmp_path: Path) -> None:
    file = tmp_path / "stages.yaml"
    file.write_text(read(name).content, encoding="utf-8")
    stages = Stages.load(StagesFile(file), language)
    for modality, feature in read(name).facts.features.items():
        assert feature.here
        for stage, width in feature.here.items():
            assert stages[stage].kind.about.modality == modality
            weights = getattr(stages[stage].settings, "weights", None)
            if weights in HIDDEN_SIZES:
                assert width == HIDDEN_SIZES[weights]
            else:
                assert width == stages[stage].make().writes()["features"].width
    kept = {stage.name for stage in stages if stage.kind.about.modality}
    said = {stage for feature in read(name).facts.features.values() for stage in feature.here}
    assert kept == said, "all that can be trained on is told"


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_was_published_is_told_as_it_is(name: str) -> None:
    order = [of_modality(name, modality) for modality in ("text", "audio", "visual")]
    assert tuple(feature.width for feature in order) == PUBLISHED[name][0]
    assert tuple(feature.steps for feature in order) == PUBLISHED[name][1]
    assert all(feature.made_by and feature.differs for feature in order)
    assert "MMSA" in " ".join(read(name).facts.sources)


@pytest.mark.parametrize("name", ["sims", "sims2"])
def test_chinese_sets_come_at_the_published_widths(name: str) -> None:
    for feature in read(name).facts.features.values():
        assert sum(feature.here.values()) == feature.width


@pytest.mark.parametrize("name", ["mosi", "mosei"])
def test_steps_of_the_aligned_sets_are_words(name: str) -> None:
    stages = read(name).stages()
    for feature in read(name).facts.features.values():
        for stage in feature.here:
            made_from = stages["action_units" if stage == "face_signals" else stage]
            assert made_from.settings.model_dump()["sampling"] == "words"
            assert "alignment" in made_from.needs


def test_the_papers_recipe_is_the_packages_own_file() -> None:
    assert read("paper").content == DEFAULT_FILE.read_text(encoding="utf-8")


def test_a_recipe_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UserError, match="no recipe 'mosie'; did you mean 'mos"):
        read("mosie")


def test_the_command_lists_shows_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = smp("recipe").stdout
    assert all(f"{name} " in listed for name in names())
    shown = smp("recipe", "show", "sims").stdout
    for told in ("709 × 55", "33 × 400", "librosa", "--visual openface --audio prosody"):
        assert told in shown
    smp("recipe", "write", "sims")
    written = yaml.safe_load(Path("sims.yaml").read_text(encoding="utf-8"))
    assert written["stages"]["prosody"]["groups"] == ["zero_crossings", "mfcc", "chroma"]
    again = smp("recipe", "write", "sims", code=2)
    assert "sims.yaml is there already" in again.stderr
    smp("recipe", "write", "sims", "other.yaml")
    assert "name a recipe: best, " in smp("recipe", "show", code=2).stderr
