"""The contract of extractors notices what breaks it."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.dag.stage import extractor_class
from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, UserError
from pipeline.media import Frames
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime
from pipeline.system.device import Device
from pipeline.testing import ExtractorContract

FILM = Field(("frame", "height", "width", 3), "uint8", ragged=True)


class Sums(Extractor):
    """The sum of each row, from `values`; breaks what `breach` names."""

    version = 1
    takes = {"values": Field(("step", 2), "float32"), "frames": FILM}

    class Settings(StageSettings):
        breach: str = ""
        weights: str = by_content("random")
        device: Device = runtime("cpu")
        chunk: int = runtime(4)

    settings: Settings
    calls = 0  # of all objects

    def writes(self) -> dict[str, Field]:
        return {"features": Field(("step", 1), "float32"), "frames": Field((), "int32")}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        breach = self.settings.breach
        if self.settings.weights != "random" and breach != "weights":
            raise UserError("no weights")
        if self.settings.device != "cpu" and breach != "device":
            raise RuntimeError("Torch not compiled with CUDA enabled")
        Sums.calls += 1
        for inputs in batch:
            try:
                yield self._one(inputs, breach, len(batch))
            except ClipError as error:
                if breach == "film":
                    raise
                yield ClipResult.of(error)

    def _one(self, inputs: ClipInputs, breach: str, among: int) -> ClipResult:
        if self.settings.device != "cpu":
            return ClipResult.failed("CUDA is not there")
        values = inputs.rows["values"]
        if breach == "padding" and values.base is not None:
            values = values.base
        rows = values.sum(axis=1, keepdims=True)
        rows += {"neighbours": among, "random": Sums.calls, "speed": self.settings.chunk}.get(
            breach, 0
        )
        if breach == "steps":
            rows = np.resize(rows, (8, 1))
        found = {"features": rows, "frames": np.int32(len(list(inputs.rows["frames"])))}
        if breach == "field":
            found["other"] = rows
        return ClipResult.ok(found, len(rows))


class Contract(ExtractorContract):
    def __init__(self, breach: str) -> None:
        self.breach = breach

    def extractor(self) -> Extractor:
        return Sums(Sums.Settings(breach=self.breach, weights="random"), steps=8)

    def clips(self) -> list[ClipInputs]:
        frames = Frames.of([(0.0, np.zeros((8, 8, 3), np.uint8))])
        return [
            ClipInputs(Clip(str(n)), {"values": np.full((n, 2), n, np.float32), "frames": frames})
            for n in (2, 5)
        ]


TESTS = {
    "field": "test_all_declared_fields_are_written_and_no_others",
    "steps": "test_all_declared_fields_are_written_and_no_others",
    "random": "test_the_same_input_gives_the_same_bits",
    "neighbours": "test_results_do_not_depend_on_the_batch",
    "padding": "test_what_lies_behind_a_clips_rows_is_not_read",
    "film": "test_a_film_that_is_damaged_costs_its_own_clip_alone",
    "speed": "test_settings_that_change_speed_change_no_result",
    "device": "test_a_device_that_is_not_there_is_no_clips_fault",
    "weights": "test_weights_that_are_none_are_no_clips_fault",
}


def run(contract: ExtractorContract, test: str, folder: Path) -> None:
    given = (folder,) if "weights" in test else ()
    getattr(contract, test)(*given)


@pytest.mark.parametrize(("breach", "test"), TESTS.items())
def test_each_breach_is_noticed(breach: str, test: str, tmp_path: Path) -> None:
    run(Contract(""), test, tmp_path)
    (tmp_path / "again").mkdir()
    with pytest.raises((AssertionError, ClipError)):
        run(Contract(breach), test, tmp_path / "again")


def test_a_source_that_changed_alone_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded at first; a comment is no change; a raised version is recorded too."""
    monkeypatch.syspath_prepend(str(tmp_path))
    # A compiled file is known by its source's size and second, which are the same here.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    class Recorded(ExtractorContract):
        versions = tmp_path / "versions.json"

        def extractor(self) -> Extractor:
            return extractor_class("loud", "mine_of_these_tests.loud")(StageSettings())

        def clips(self) -> list[ClipInputs]:
            raise NotImplementedError

    def now(version: int, formula: str) -> None:
        folder = tmp_path / "mine_of_these_tests"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "formula.py").write_text(f"def f(x):\n    return {formula}\n")
        (folder / "loud.py").write_text(
            "from mine_of_these_tests.formula import f\n"
            "from pipeline.stage.extractor import Extractor\n"
            f"class Loud(Extractor):\n    version = {version}\n"
            "    def writes(self): return {}\n    def extract(self, batch): return f(batch)\n"
        )
        for name in [n for n in sys.modules if n.startswith("mine_of_these_tests")]:
            monkeypatch.delitem(sys.modules, name)
        Recorded().test_a_changed_source_has_a_raised_version()

    now(1, "x")
    now(1, "x  # as ever")
    with pytest.raises(AssertionError, match="raise `version`"):
        now(1, "x + 1")
    now(2, "x + 1")
    now(2, "x + 1")
    with pytest.raises(AssertionError, match="raise `version`"):
        now(2, "x")
