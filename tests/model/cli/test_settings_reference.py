"""The reference of settings: complete, and what docs/settings.md holds."""

from typing import Literal

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from model.cli.commands.settings import document
from model.cli.group import main
from model.networks import names
from model.registry import find
from model.training.presets import load
from model.training.settings import TrainSettings
from pipeline.cli.settings_table import described, meaning
from pipeline.dag.stage import built_in, extractor_class
from pipeline.stage.settings import StageSettings, runtime
from tests.support.paths import ROOT

PAGE = ROOT / "docs/settings.md"
CLASSES: dict[str, type[BaseModel]] = {
    **{name: extractor_class(name, name).Settings for name in built_in()},
    **{name: find(name).Settings for name in names()},
    "training": TrainSettings,
}


def section(name: str) -> str:
    done = CliRunner().invoke(main, ["settings", name])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_page_is_what_the_classes_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == document() + "\n", "run `make docs`"


@pytest.mark.parametrize("name", CLASSES)
def test_every_setting_says_what_it_means(name: str) -> None:
    silent = [s for s in CLASSES[name].model_fields if not meaning(CLASSES[name], s)]
    assert not silent, f"write below each what it means: {', '.join(silent)}"


@pytest.mark.parametrize("name", CLASSES)
def test_each_section_has_a_row_for_every_setting(name: str) -> None:
    rows = [line for line in section(name).splitlines() if line.startswith("| `")]
    named = {row.split("`")[1] for row in rows}
    assert named >= CLASSES[name].model_fields.keys()


def test_the_page_tells_what_counts_for_the_fingerprint() -> None:
    rows = {line.split("`")[1]: line for line in section("resnet18").splitlines() if "`" in line}
    assert rows["input_px"].endswith("| yes |")
    assert rows["weights"].endswith("| by content |")
    assert rows["batch_size"].endswith("| no |")


def test_every_preset_is_shown_with_its_values() -> None:
    shown = section("mult")
    for preset, by_scale in load("mult").items():
        assert f"{preset} mosi" in shown
        for entry in by_scale.values():
            assert f"`{entry.settings.lr}`" in shown


def test_types_limits_and_defaults_are_read_from_the_class() -> None:
    class Settings(StageSettings):
        kind: Literal["a", "b"] = "a"
        """Which | one."""

        sizes: tuple[int, int] | None = None
        rate: float = runtime(0.5, gt=0, le=1, description="How often.")

    assert described(Settings) == [
        ["`kind`", "`a`, `b`", "`a`", "Which | one."],
        ["`sizes`", "2 of whole number or null", "`null`", ""],
        ["`rate`", "number, > 0, ≤ 1", "`0.5`", "How often."],
    ]


def test_a_module_of_the_users_own_is_described_too() -> None:
    assert "| `pause_s` |" in section("tests.support.toys.letters")


def test_a_name_that_is_not_there_is_one_line() -> None:
    done = CliRunner().invoke(main, ["settings", "nothere"])
    assert done.exit_code == 2
    assert "nothere" in done.stderr
    assert "mfcc" in done.stderr
