"""What every extractor has to meet, as tests to inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.stage.result import OK
from pipeline.stage.steps import pad

if TYPE_CHECKING:
    from pipeline.stage.extractor import Extractor
    from pipeline.stage.result import ClipInputs, ClipResult


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
    """

    rtol: float = 1e-4
    atol: float = 1e-5

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
        fields = extractor.writes()
        for result in self._extracted(self.clips()):
            assert result.state == OK, result.reason
            assert result.rows.keys() == fields.keys()
            assert 0 <= result.length <= extractor.steps or not extractor.uses_steps
            for name, field in fields.items():
                row = np.asarray(result.rows[name])
                if "step" in field.axes and not field.ragged:
                    assert len(row) == result.length, name
                    row = pad(row, extractor.steps)
                field.check(name, row, extractor.steps)
                assert row.dtype.kind != "f" or np.isfinite(row).all(), name

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

    def test_settings_go_through_json(self) -> None:
        settings = self.extractor().settings
        text = settings.model_dump_json(exclude_unset=True)
        assert type(settings).model_validate_json(text) == settings

    def _extracted(self, clips: Sequence[ClipInputs]) -> list[ClipResult]:
        results = list(self.extractor().extract(clips))
        assert len(results) == len(clips), "one result a clip"
        return results


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
