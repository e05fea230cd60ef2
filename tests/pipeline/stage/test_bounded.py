"""Whole numbers in settings have limits, whoever wrote the settings class."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from model.data.by_modality import ByModality
from model.network import NetworkSettings
from model.networks import names
from model.registry import find
from model.training.presets import preset
from model.training.settings import TrainSettings
from pipeline.dag.stage import built_in, extractor_class
from pipeline.errors import UserError
from pipeline.stage.bounded import Bounded
from pipeline.stage.settings import StageSettings
from tests.support.commands import smp

HUGE = 10**14
KINDS = [
    TrainSettings,
    *(extractor_class(name, name).Settings for name in built_in()),
    *(find(name).Settings for name in names()),
]


class Own(StageSettings):
    rate_hz: int = 44_100
    sizes: tuple[int, ...] = ()
    by: ByModality[int] = ByModality(visual=1, audio=1, text=1)


@pytest.mark.parametrize(
    "value",
    [
        {"rate_hz": HUGE},
        {"rate_hz": -HUGE},
        {"sizes": (1, HUGE)},
        {"by": {"visual": 1, "audio": HUGE, "text": 1}},
    ],
    ids=str,
)
def test_an_absurd_number_is_refused_wherever_it_stands(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="at most 1,000,000 here") as told:
        Own(**value)
    assert told.value.errors()[0]["loc"][0] in value


def test_numbers_of_use_are_taken() -> None:
    assert Own(rate_hz=192_000, sizes=(1_000_000,)).rate_hz == 192_000
    assert TrainSettings(seed=2**40).seed == 2**40  # its own limit is another


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__qualname__ + kind.__module__)
def test_no_setting_of_a_stage_training_or_model_takes_one(kind: type[Bounded]) -> None:
    for name, field in kind.model_fields.items():
        if field.annotation in (int, int | None):
            with pytest.raises(ValidationError) as told:
                kind(**{name: 2**63})
            assert name in [error["loc"][0] for error in told.value.errors()]


def test_a_layer_of_a_model_has_a_smaller_limit() -> None:
    assert NetworkSettings.most == 10_000
    with pytest.raises(ValidationError, match="at most 10,000 here"):
        find("smp").Settings.model_validate({"width": 20_000})


@pytest.mark.parametrize(
    "words",
    [
        ["extract", "data", "--workers", "1000000000"],
        ["compare", "data", "--seeds", "1000000000"],
        ["sample", "data", "--clips", "100000000000"],
    ],
    ids=lambda words: words[0],
)
def test_options_have_limits_too(words: list[str]) -> None:
    assert f"Invalid value for '{words[2]}'" in smp(*words, code=2).stderr


def test_a_setting_within_a_training_is_named_whole() -> None:
    with pytest.raises(UserError, match=r"setting network\.width .*at most 10,000 here"):
        preset("smp", "mosi").with_options({"network": {"width": HUGE}})


def test_the_command_names_the_setting(tmp_path: Path) -> None:
    table = "video_id,clip_id,text,label,annotation,mode\nv,1,a,1,,train"
    (tmp_path / "label.csv").write_text(table)
    (tmp_path / "Raw").mkdir()
    for settings, told in {
        "mfcc: {needs: audio, filters: 100000000000000}, audio: {}": "stage 'mfcc': filters: ",
        "bert: {batch_size: 100000000000000}": "stage 'bert': batch_size: ",
    }.items():
        (file := tmp_path / "s.yaml").write_text(f"stages: {{{settings}}}")
        words = "--plan", "--stages", file, "--cache", tmp_path / "cache"
        assert told in smp("extract", tmp_path, *words, code=2).stderr
