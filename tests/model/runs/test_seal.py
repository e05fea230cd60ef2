"""Run folders under damage: what was written is read, anything else is one line that names it."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from model import load, load_model
from model.cli.group import main
from model.runs import seal
from model.runs.files import read_json
from model.runs.run import Run, find_run, runs_of
from pipeline.dataset.clip import Clip
from pipeline.errors import DamagedError, UserError
from tests.conftest import Transcripts
from tests.model.conftest import WORDS

FILES = (
    "curve.csv", "metrics.json", "predictions.csv", "provenance.json", "seal.json",
    "settings.json", "weights.safetensors",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on texts alone, which is read only."""
    made = Transcripts(tmp_path_factory.mktemp("trained"))
    made.texts(WORDS)
    made.stages_file.write_text(yaml.safe_dump({"stages": {"bert": {"weights": "random"}}}))
    made.extract()
    where = ["--cache", made.cache_root, "--runs", str(made.folder.parent / "runs")]
    options = ["--model", "lf_dnn", "--epochs", "1", "--json"]
    done = CliRunner().invoke(main, ["train", str(made.folder), *where, *options])
    return Path(json.loads(done.stdout)["run"])


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "runs" / "talks"))


@pytest.fixture
def unsealed(run: Path) -> Path:
    """As an earlier version made it."""
    provenance = read_json(run, "provenance.json")
    del provenance["sealed"]
    (run / "seal.json").unlink()
    (run / "provenance.json").write_text(json.dumps(provenance))
    return run


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def with_weights(run: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    path = run / "weights.safetensors"
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    weights = load_file(path)
    change(weights)
    save_file(weights, path, about)


def predicted(run: Path) -> Any:
    return CliRunner().invoke(main, ["predict", str(run), "v/0000"], catch_exceptions=False)


def everything(run: Path) -> None:
    """Read all of it in each of the ways that there are."""
    find_run("talks", run.parent)
    find_run(run, run.parent)
    Run.read(run)
    load_model(run)
    _ = load(run).validated


def replaced(path: Path, flips: int = 30) -> Iterator[None]:
    """What a file may be replaced by, one after the other."""
    whole, random = path.read_bytes(), Random(path.name)
    for place in random.sample(range(len(whole)), min(len(whole), flips)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << random.randrange(8)
        path.write_bytes(flipped)
        yield
    for kept in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        yield
    path.write_bytes(whole + b"x")
    yield
    for make in (lambda: None, path.mkdir, lambda: path.symlink_to("/dev/zero")):
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        make()
        yield


@pytest.mark.parametrize("name", FILES)
def test_whatever_happens_to_a_file_is_told_by_its_name(name: str, run: Path) -> None:
    everything(run)
    for _ in replaced(run / name):
        with pytest.raises(UserError, match=rf"{name}.*(restore|train again)") as caught:
            everything(run)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in FILES if name != "seal.json"])
def test_a_damaged_run_of_before_seals_is_read_or_refused(name: str, unsealed: Path) -> None:
    for _ in replaced(unsealed / name, flips=5 if name == "provenance.json" else 30):
        with suppress(UserError):
            everything(unsealed)
        runs_of("talks", unsealed.parent)


SHAPES: list[Any] = [[], {"a": 1}, "a", 1e999]


@pytest.mark.parametrize("name", ["metrics.json", "provenance.json", "settings.json"])
def test_records_of_any_shape_are_read_or_refused(name: str, unsealed: Path) -> None:
    path = unsealed / name
    whole = json.loads(path.read_text())

    def told(content: Any) -> None:
        path.write_text(json.dumps(content))
        with suppress(UserError):
            everything(unsealed)
        runs_of("talks", unsealed.parent)

    def shaped(inner: Any, depth: int = 0) -> None:
        """Each value in the record in turn, replaced by each of SHAPES."""
        for key in list(inner):
            was = inner[key]
            for shape in SHAPES:
                inner[key] = shape
                told(whole)
            inner[key] = was
            if isinstance(was, dict) and depth < 1:
                shaped(was, depth + 1)

    for shape in (*SHAPES, None, True, {}):
        told(shape)
    shaped(whole)
    path.write_text("[" * 100_000)
    with pytest.raises(UserError):
        everything(unsealed)


def test_an_unfinished_or_half_copied_run_is_none(run: Path) -> None:
    part = shutil.copytree(run, run.with_name(".talks.0123.partial"))
    other = shutil.copytree(run, run.with_name(".talks.17.part"))
    found, unreadable = runs_of("talks", run.parent)
    assert [one.folder for one in found] == [run]
    assert not unreadable
    (run / "seal.json").unlink()
    with pytest.raises(UserError, match=r"seal\.json is gone; restore the folder"):
        find_run("talks", run.parent)
    shutil.rmtree(run)
    with pytest.raises(UserError, match="has no run of 'talks'$"):
        find_run("talks", run.parent)
    assert part.exists()
    assert other.exists()


def test_a_run_that_is_passed_over_is_told(run: Path) -> None:
    newer, told = Path(shutil.copytree(run, run.with_name("talks-2"))), list[str]()
    (newer / "predictions.csv").write_text("")
    assert find_run("talks", run.parent, told.append) == run
    assert f"{newer}/predictions.csv is damaged" in told[0]


def test_a_run_of_before_seals_is_used_with_a_note(unsealed: Path) -> None:
    done = predicted(unsealed)
    assert done.exit_code == 0
    assert "made before runs were sealed; not checked" in done.stderr
    assert not Run.read(unsealed).is_sealed


def test_damage_ends_the_command_with_one_line(run: Path) -> None:
    assert predicted(run).stderr == ""
    with_weights(run, lambda weights: next(iter(weights.values())).view(-1)[:1].fill_(0.25))
    done = predicted(run)
    assert done.exit_code == 2
    assert "weights.safetensors is damaged: it was changed after training; restore" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "content"), [("predictions.csv", ""), ("metrics.json", "{}")])
def test_a_report_names_a_damaged_run_and_fails(
    name: str, content: str, trained: Path, run: Path
) -> None:
    (run / name).write_text(content)
    page = run.with_name("page.html")
    where = ["--cache", str(trained.parents[1] / "cache"), "--runs", str(run.parent)]
    dataset = str(trained.parents[1] / "talks")
    done = CliRunner().invoke(main, ["report", dataset, *where, "--output", str(page)])
    assert done.exit_code == 1
    assert f"left out: {run}/{name} is damaged" in done.stderr
    assert f"{name} is damaged" in page.read_text()


class TestWeights:
    """Of a run that is not sealed, or sealed by someone else."""

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_no_finite_number_is_refused(self, unsealed: Path, bad: float) -> None:
        with_weights(unsealed, lambda weights: weights["scaler.text_std"][:1].fill_(bad))
        with pytest.raises(DamagedError, match=r"scaler\.text_std holds what is no finite number"):
            load_model(unsealed)

    def test_another_type_is_refused(self, unsealed: Path) -> None:
        with_weights(unsealed, lambda w: w.update({"scaler.text_std": w["scaler.text_std"].half()}))
        with pytest.raises(DamagedError, match=r"scaler\.text_std"):
            load_model(unsealed)

    def test_another_shape_is_refused(self, unsealed: Path) -> None:
        with_weights(unsealed, lambda weights: weights.update({"scaler.text_std": torch.ones(2)}))
        with pytest.raises(UserError, match="another version"):
            load_model(unsealed)

    @pytest.mark.parametrize(
        "claim",
        [
            {"widths": {"text": 10**12}}, {"outputs": 10**12}, {"widths": {"text": -1}},
            {"name": "no"}, {"name": 1}, {"settings": {"hidden": {"text": 10**9}}},
            {"name": "ef_lstm", "settings": {"layers": 10**9}},
        ],
    )  # fmt: skip
    def test_absurd_claims_cost_nothing(self, unsealed: Path, claim: dict[str, Any]) -> None:
        path = unsealed / "weights.safetensors"
        with safe_open(path, framework="pt") as file:
            spec = json.loads(file.metadata()["model"])
        about = {"model": json.dumps({**spec, **claim})}
        save_file(load_file(path), path, about)
        with pytest.raises(UserError):
            load_model(unsealed)


def test_a_prediction_that_is_not_finite_is_an_error_of_its_clip(trained: Path) -> None:
    loaded = load(trained)
    loaded.predictor.get_buffer("scaler.text_std").fill_(1e-38)
    with torch.no_grad():
        for weights in loaded.predictor.network.parameters():
            weights.mul_(1e30)
    [said] = loaded([Clip("a", text="I love it")])
    assert said.error == "the model gives no finite number for it"
    assert (said.score, said.sentiment, said.confidence) == (None, None, None)


def test_predictions_that_are_not_finite_are_no_run(unsealed: Path) -> None:
    table = unsealed / "predictions.csv"
    first, line, *others = table.read_text().splitlines()
    table.write_text("\n".join([first, line.rpartition(",")[0] + ",nan", *others]))
    with pytest.raises(UserError, match="isn't finite"):
        Run.read(unsealed)
    table.write_text(first + "\n")
    with pytest.raises(UserError, match=r"predictions\.csv \(no finite scores of validation"):
        _ = load(unsealed).validated


def test_every_file_of_a_run_is_in_its_seal(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == list(FILES)
    for name in set(FILES) - {"seal.json"}:
        seal.check(run, name)
    with pytest.raises(DamagedError, match=r"seal\.json is damaged"):
        seal.check(run, "notes.txt")
