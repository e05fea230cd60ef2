"""What TensorBoard is given, read back with TensorBoard's own reader."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from model.cli.group import main
from model.training.settings import TrainSettings
from model.training.tensorboard import Events
from tests.conftest import Transcripts

EPOCHS = 3
Train = Callable[..., Result]


@pytest.fixture
def train(lettered_talks: Transcripts, tmp_path: Path) -> Train:
    """`smp train` on features of transcripts alone."""

    def run(*options: object) -> Result:
        where = ["--cache", lettered_talks.cache_root, "--runs", tmp_path / "runs"]
        command = ["train", lettered_talks.folder, *where, "--epochs", EPOCHS, "--json", *options]
        return CliRunner().invoke(main, [str(part) for part in command], catch_exceptions=False)

    return run


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def curve(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in events.Scalars(tag)]


def session(events: EventAccumulator) -> dict[str, object]:
    """The hyper-parameters as TensorBoard's own plugin holds them."""
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    info = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    return {name: getattr(v, v.WhichOneof("kind")) for name, v in info.hparams.items()}


def test_a_run_folder_holds_curves_settings_and_metrics(train: Train) -> None:
    told = json.loads(train("--tensorboard", "--lr", "0.004").stdout)
    events = read(Path(told["run"]))
    for tag in ("loss/train", "loss/valid", "valid/mae", "valid/corr", "valid/acc2"):
        assert [epoch for epoch, _ in curve(events, tag)] == [1, 2, 3], tag
    assert [rate for _, rate in curve(events, "learning_rate")] == pytest.approx(3 * [0.004])
    with (Path(told["run"]) / "curve.csv").open() as file:
        last = file.readlines()[-1].split(",")
    assert curve(events, "loss/valid")[-1] == (3, pytest.approx(float(last[2]), rel=1e-6))


def test_the_metrics_of_test_stand_at_the_epoch_that_was_chosen(train: Train) -> None:
    told = json.loads(train("--tensorboard").stdout)
    events = read(Path(told["run"]))
    for name in ("mae", "acc2", "f1"):
        expected = (told["best_epoch"], pytest.approx(told["test"][name], rel=1e-6))
        assert curve(events, f"test/{name}") == [expected]


def test_hyperparameters_are_those_of_the_training_and_the_network(train: Train) -> None:
    told = json.loads(train("--tensorboard", "--model", "tfn", "--seed", "7").stdout)
    found = session(read(Path(told["run"])))
    assert found["model"] == "tfn"
    assert found["seed"] == 7.0
    assert found["network.hidden.audio"] == 32.0
    assert found["network.fusion_dropout"] == pytest.approx(0.5)


def test_a_folder_has_a_run_for_each_seed_and_each_time(train: Train, tmp_path: Path) -> None:
    for seed in (1, 1, 2):
        done = train("--tensorboard", tmp_path / "board", "--seed", seed)
        run = Path(json.loads(done.stdout)["run"])
        assert not list(run.glob("events.*"))
    names = sorted(path.name for path in (tmp_path / "board").iterdir())
    assert names == ["talks-smp-seed1", "talks-smp-seed1-2", "talks-smp-seed2"]
    for name in names:
        events = read(tmp_path / "board" / name)
        assert len(curve(events, "loss/train")) == EPOCHS
        assert session(events)["seed"] == float(name.split("seed")[1][0])


def test_an_epoch_can_be_seen_as_soon_as_it_ends(tmp_path: Path) -> None:
    with Events.in_new_folder(tmp_path / "run", TrainSettings()) as events:
        events.epoch({"epoch": 1, "train_loss": 0.5, "valid_loss": 0.25})
        assert curve(read(tmp_path / "run"), "loss/valid") == [(1, 0.25)]


def test_without_the_option_there_are_no_events(train: Train) -> None:
    told = json.loads(train().stdout)
    assert not list(Path(told["run"]).rglob("events.*"))


def test_without_tensorboard_one_line_says_how_to_get_it(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    done = train("--tensorboard")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "smp-sentiment[tensorboard]"' in done.stderr
    assert not (tmp_path / "runs").exists()
