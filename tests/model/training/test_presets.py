"""The presets: what the literature gives, each fit to build its model for any modalities."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import pytest
import torch

from model.data.batch import Batch
from model.metrics import SCALES
from model.networks import names
from model.registry import build
from model.training import presets
from model.training.presets import Preset, preset
from model.training.settings import TrainSettings
from pipeline.errors import UserError
from pipeline.stage.about import MODALITIES

ALL = [found for name in names() for each in presets.load(name).values() for found in each.values()]
SUBSETS = list(chain.from_iterable(combinations(MODALITIES, n) for n in (1, 2, 3)))
WIDTHS = {"visual": 7, "audio": 6, "text": 5}
STEPS = 4


def ids(found: Preset) -> str:
    return f"{found.model} {found.name} {found.scale}"


def test_every_model_has_a_preset_for_every_scale_that_says_where_it_is_from():
    for found in ALL:
        assert found.source
    assert {(p.model, p.scale) for p in ALL} == {(m, s) for m in names() for s in SCALES}


@pytest.mark.parametrize("found", ALL, ids=ids)
def test_a_preset_builds_its_model_for_every_subset_of_modalities(found: Preset):
    torch.manual_seed(0)
    for given in SUBSETS:
        widths = {m: WIDTHS[m] for m in given}
        model = build(found.model, widths, 1, found.settings.network).eval()
        features = {m: torch.randn(2, STEPS, w) for m, w in widths.items()}
        lengths = {m: torch.tensor([STEPS, 1]) for m in widths}
        assert model(Batch(features, lengths)).shape == (2, 1)


def test_the_papers_preset_is_the_papers():
    for scale in SCALES:
        s = preset("smp", scale, "paper").settings
        assert (s.lr, s.batch, s.epochs, s.patience) == (1e-5, 64, 100, 20)


def test_every_preset_stops_early():
    assert all(found.settings.patience for found in ALL)


EXPECTED: dict[tuple[str, str], dict[str, float]] = {
    ("ef_lstm", "mosi"): {"batch": 32, "lr": 1e-3, "weight_decay": 5e-3},
    ("lf_dnn", "mosi"): {"batch": 128, "lr": 1e-3, "weight_decay": 1e-2},
    ("mfn", "mosi"): {"batch": 128, "lr": 2e-3},
    ("tfn", "mosi"): {"batch": 32, "lr": 1e-3},
    ("mult", "mosi"): {"batch": 16, "lr": 2e-3, "clip_norm": 0.6, "weight_decay": 5e-3},
    ("ef_lstm", "sims"): {"batch": 128, "lr": 5e-4},
    ("lf_dnn", "sims"): {"batch": 128, "lr": 5e-3},
    ("mfn", "sims"): {"batch": 32, "lr": 1e-3},
    ("tfn", "sims"): {"batch": 32, "lr": 5e-4},
    ("mult", "sims"): {"batch": 16, "lr": 2e-3},
}
NETWORKS: dict[tuple[str, str], dict[str, Any]] = {
    ("ef_lstm", "mosi"): {"hidden": 128, "layers": 4, "dropout": 0.5},
    ("lf_dnn", "mosi"): {"fusion": 128, "dropout": 0.2},
    ("mfn", "mosi"): {"memory": 400, "window": 2},
    ("tfn", "mosi"): {"text_out": 32, "fusion": 64, "dropout": 0.3},
    ("mult", "mosi"): {"width": 50, "heads": 10, "levels": 4},
    ("ef_lstm", "sims"): {"hidden": 32, "layers": 3, "dropout": 0.5},
    ("mfn", "sims"): {"memory": 64, "hidden": {"visual": 64, "audio": 16, "text": 64}},
    ("tfn", "sims"): {"text_out": 256, "fusion": 32, "dropout": 0.4},
    ("mult", "sims"): {
        "levels": 2,
        "kernel": {"text": 5, "audio": 1, "visual": 1},
        "residual_dropout": 0.2,
    },
}


@pytest.mark.parametrize("of", EXPECTED, ids=" ".join)
def test_a_baselines_preset_is_the_toolkits(of: tuple[str, str]):
    settings = preset(*of).settings
    used = settings.model_dump()
    assert {key: used[key] for key in EXPECTED[of]} == EXPECTED[of]
    assert settings.patience == 8
    wanted = NETWORKS.get(of, {})
    assert {key: settings.network[key] for key in wanted} == wanted


def test_what_the_user_gives_takes_the_presets_place_and_is_checked():
    found = preset("tfn", "sims")
    used = found.with_options({"epochs": 3})
    assert used == found.settings.model_copy(update={"epochs": 3})
    assert found.told(used) == "preset 'toolkit' for sims, but epochs 3"
    assert found.to_json(used)["instead"] == {"epochs": 3}
    with pytest.raises(UserError, match="setting weight_decay -1"):
        found.with_options({"weight_decay": -1})


def test_a_models_own_settings_are_given_one_by_one_and_checked():
    found = preset("tfn", "sims")
    used = found.with_options({"network": {"hidden": {"audio": 8}, "dropout": 0.5}})
    assert used.network == found.settings.network | {
        "hidden": {"visual": 128, "audio": 8, "text": 128},
        "dropout": 0.5,
    }
    assert found.told(used).endswith("but network.hidden.audio 8, network.dropout 0.5")
    for network, told in (
        ({"fusoin": 3}, "tfn has no setting 'network.fusoin'"),
        ({"fusion": "x"}, "setting network.fusion x"),
    ):
        with pytest.raises(UserError, match=told):
            found.with_options({"network": network})
    with pytest.raises(UserError, match="training has no setting 'epohcs'; see `smp settings"):
        found.with_options({"epohcs": 3})


def test_a_model_without_a_preset_has_the_defaults(monkeypatch):
    monkeypatch.setattr(presets, "load", lambda model: {})
    found = preset("tfn", "mosi")
    assert found.name == "defaults"
    assert found.settings == TrainSettings(model="tfn", patience=presets.PATIENCE)


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(UserError, match="mfn has no preset 'paper'; there are toolkit"):
        preset("mfn", "mosi", "paper")
    with pytest.raises(UserError, match="no model 'nfm'"):
        preset("nfm", "mosi")
