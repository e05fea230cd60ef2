"""What every extractor has to meet, as tests to inherit."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ValidationError

from pipeline.errors import ClipError, UserError
from pipeline.io.source_code import code_digest, modules_of
from pipeline.media import Frame, Frames
from pipeline.stage.result import FAILED, OK
from pipeline.stage.steps import pad
from pipeline.system.device import is_broken

if TYPE_CHECKING:
    from pipeline.stage.extractor import Extractor
    from pipeline.stage.result import ClipInputs, ClipResult
    from pipeline.stage.settings import StageSettings

NO_DEVICE = "cuda:99"
FEW = 3  # steps
DAMAGED = "the film is damaged"
NO_WEIGHTS = b"no weights"


class ExtractorContract(ABC):
    """Inherit it in a test file and say what to extract from what; pytest finds the tests.

    >>> class TestLetters(ExtractorContract):
    ...     def extractor(self):
    ...         return Letters(Letters.Settings())
    ...
    ...     def clips(self):
    ...         return [ClipInputs(Clip("a", text="so")), ClipInputs(Clip("b", text="so it was"))]

    rtol, atol: how far a clip's numbers may be from those that it has without its neighbours; 0
    for the same bits. Integers are the same always.
    versions: a file in which the extractor's source is recorded with its version, for a test that
    fails where one changed without the other; None for no such test.
    """

    rtol: float = 1e-4
    atol: float = 1e-5
    versions: Path | None = None

    @abstractmethod
    def extractor(self) -> Extractor:
        """A new extractor, the same each time."""

    @abstractmethod
    def clips(self) -> list[ClipInputs]:
        """New inputs of two or more clips of different lengths which come out ok."""

    def bad_clips(self) -> list[ClipInputs]:
        """New inputs of clips that fail or are missing, where there can be any."""
        return []

    def test_all_declared_fields_are_written_and_no_others(self) -> None:
        extractor = self.extractor()
        for steps in (extractor.steps, FEW):
            of_steps = type(extractor)(extractor.settings, steps)
            for result in _extracted(of_steps, [_cut(of_steps, clip) for clip in self.clips()]):
                assert result.state == OK, result.reason
                _assert_declared(of_steps, result)

    def test_the_same_input_gives_the_same_bits(self) -> None:
        once, again = self._extracted(self.clips()), self._extracted(self.clips())
        _assert_same(once, again)

    def test_results_do_not_depend_on_the_batch(self) -> None:
        alone = [result for clip in self.clips() for result in self._extracted([clip])]
        _assert_same(self._extracted(self.clips()), alone, self.rtol, self.atol)
        backwards = self._extracted(self.clips()[::-1])
        _assert_same(backwards[::-1], alone, self.rtol, self.atol)

    def test_a_bad_clip_does_not_cost_its_neighbours(self) -> None:
        bad, good = self.bad_clips(), self.clips()
        mixed = self._extracted([*bad, *good])
        assert all(result.state != OK and result.reason for result in mixed[: len(bad)])
        _assert_same(mixed[len(bad) :], self._extracted(self.clips()), self.rtol, self.atol)

    def test_what_lies_behind_a_clips_rows_is_not_read(self) -> None:
        amid = [replace(clip, rows=_amid_rubbish(clip.rows)) for clip in self.clips()]
        _assert_same(self._extracted(amid), self._extracted(self.clips()))

    def test_a_film_that_is_damaged_costs_its_own_clip_alone(self) -> None:
        clips, takes = self.clips(), self.extractor().takes
        films = {n: Frames(_damaged) for n, r in clips[0].rows.items() if isinstance(r, Frames)}
        if films.keys() & takes.keys():
            damaged = replace(clips[0], rows={**clips[0].rows, **films})
            first, *others = self._extracted([damaged, *clips[1:]])
            assert (first.state, first.reason) == (FAILED, DAMAGED)
            _assert_same(others, self._extracted(self.clips())[1:], self.rtol, self.atol)

    def at_other_speed(self) -> StageSettings:
        """The settings with every runtime one changed that may change no number at all.

        The device is left out, which computes with other last bits.
        """
        return _at_other_speed(self.extractor().settings)

    def test_settings_that_change_speed_change_no_result(self) -> None:
        extractor, settings = self.extractor(), self.at_other_speed()
        assert settings.affecting_results() == extractor.settings.affecting_results()
        other = _extracted(type(extractor)(settings, extractor.steps), self.clips())
        _assert_same(other, self._extracted(self.clips()), self.rtol, self.atol)

    def test_a_device_that_is_not_there_is_no_clips_fault(self) -> None:
        extractor = self.extractor()
        if not hasattr(extractor.settings, "device"):
            return
        try:
            found = _extracted(_with(extractor, device=NO_DEVICE), self.clips())
        except Exception as error:
            if not (isinstance(error, UserError) or is_broken(error)):
                raise
        else:
            assert all(result.state == OK for result in found)

    def test_weights_that_are_none_are_no_clips_fault(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(NO_WEIGHTS)
        (tmp_path / "folder").mkdir()
        for name in ("config.json", "preprocessor_config.json", "tokenizer.json"):
            (tmp_path / "folder" / name).write_bytes(NO_WEIGHTS)
        (tmp_path / "folder/model.safetensors").write_bytes(NO_WEIGHTS)
        extractor = self.extractor()
        names = [n for n in extractor.settings.marked("by_content") if n.endswith("weights")]
        for name in names:
            for place in ("file", "folder", "nowhere"):
                try:
                    wrong = _with(extractor, **{name: str(tmp_path / place)})
                    wrong.weights(), wrong.writes(), _extracted(wrong, self.clips())
                except (UserError, ValidationError):
                    continue
                raise AssertionError(f"{name}: a {place} that holds no weights goes unnoticed")

    def test_a_changed_source_has_a_raised_version(self) -> None:
        """It records what is new, and what has a higher version, itself."""
        kind = type(self.extractor())
        assert kind.version >= 1
        if self.versions is None:
            return
        read = json.loads(self.versions.read_text()) if self.versions.exists() else {}
        version, digest = read.get(kind.__module__, (0, ""))
        top = kind.__module__.partition(".")[0]
        own = modules_of([kind.__module__], lambda name: name.partition(".")[0] == top)
        now = code_digest(own)
        assert kind.version > version or (kind.version, now) == (version, digest), (
            f"the source of {kind.__module__} is another than that of version {version}: raise "
            f"`version`, or, where no result differs, take its entry out of {self.versions}"
        )
        record = {**read, kind.__module__: [kind.version, now]}
        if record != read:
            self.versions.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def test_settings_go_through_json(self) -> None:
        settings = self.extractor().settings
        text = settings.model_dump_json(exclude_unset=True)
        assert type(settings).model_validate_json(text) == settings

    def _extracted(self, clips: Sequence[ClipInputs]) -> list[ClipResult]:
        return _extracted(self.extractor(), clips)


def _extracted(extractor: Extractor, clips: Sequence[ClipInputs]) -> list[ClipResult]:
    results = list(extractor.extract(clips))
    assert len(results) == len(clips), "one result a clip"
    return results


def _assert_declared(extractor: Extractor, result: ClipResult) -> None:
    """That an ok clip has all fields, as they were declared and of numbers that are some."""
    fields = extractor.writes()
    assert result.rows.keys() == fields.keys()
    assert 0 <= result.length <= extractor.steps or not extractor.uses_steps
    for name, field in fields.items():
        row = np.asarray(result.rows[name])
        if "step" in field.axes and not field.ragged:
            assert len(row) == result.length, name
            row = pad(row, extractor.steps)
        field.check(name, row, extractor.steps)
        assert row.dtype.kind != "f" or np.isfinite(row).all(), name


def _with(extractor: Extractor, **changed: Any) -> Extractor:
    """The extractor with other settings."""
    given = extractor.settings.model_dump(exclude_unset=True)
    settings = type(extractor.settings).model_validate({**given, **changed})
    return type(extractor)(settings, extractor.steps)


def _at_other_speed(settings: StageSettings) -> StageSettings:
    changed: dict[str, Any] = {}
    for name in settings.marked("runtime"):
        value: Any = getattr(settings, name)
        if name.startswith("batch_"):
            changed[name] = 1 if value > 1 else 2
        elif isinstance(value, BaseModel):
            changed[name] = {key: of / 2 for key, of in value.model_dump().items()}
        elif not isinstance(value, str):
            changed[name] = not value if isinstance(value, bool) else 2 * value
    given = settings.model_dump(exclude_unset=True)
    return type(settings).model_validate({**given, **changed})


def _cut(extractor: Extractor, clip: ClipInputs) -> ClipInputs:
    """The clip as stages of as few steps would hand it on."""
    by_step = {name for name, field in extractor.takes.items() if "step" in field.axes[:1]}
    rows = {n: r[: extractor.steps] if n in by_step else r for n, r in clip.rows.items()}
    return replace(clip, rows=rows)


def _damaged(*_: object) -> Iterator[Frame]:
    raise ClipError(DAMAGED)


def _assert_same(
    results: Sequence[ClipResult], others: Sequence[ClipResult], rtol: float = 0, atol: float = 0
) -> None:
    for one, other in zip(results, others, strict=True):
        assert (one.state, one.length, one.reason) == (other.state, other.length, other.reason)
        assert one.rows.keys() == other.rows.keys()
        for name, row in one.rows.items():
            if np.asarray(row).dtype.kind == "f":
                np.testing.assert_allclose(row, other.rows[name], rtol, atol, err_msg=name)
            else:
                np.testing.assert_array_equal(row, other.rows[name], err_msg=name)


def _amid_rubbish(rows: Any) -> dict[str, Any]:
    """The same rows, each array part of a longer one that is full of NaN or the largest number."""
    return {n: _part(r) if isinstance(r, np.ndarray) and r.ndim else r for n, r in rows.items()}


def _part(row: np.ndarray) -> np.ndarray:
    rubbish = np.nan if row.dtype.kind == "f" else np.iinfo(row.dtype).max
    longer = np.full((2 * len(row) + 2, *row.shape[1:]), rubbish, row.dtype)
    longer[: len(row)] = row
    return longer[: len(row)]
