"""The page of one clip, put together from what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pipeline.dag.stage import built_in
from pipeline.dataset.clip import Clip
from pipeline.dataset.region import told
from pipeline.dataset.span import WHOLE
from pipeline.errors import UserError
from pipeline.html import templates
from pipeline.html.numbers import plain
from pipeline.inspect import (
    action_units,
    alignment,
    faces,
    features,
    sound,
    tokens,
    transcript,
)
from pipeline.inspect.provenance import provenance
from pipeline.inspect.stage_result import StageResult, results_of, row_number
from pipeline.stage.result import OK
from pipeline.store.cache import Cache
from pipeline.store.clip_rows import Row
from pipeline.weights.random_weights import RANDOM_MARK, random_note


@dataclass(frozen=True)
class Beside:
    """What a panel may need besides its stage's result: all results of the clip, and the clip."""

    found: Sequence[StageResult]
    row: Row
    at_s: float | None

    def of_panel(self, name: str) -> StageResult | None:
        """The first result that is drawn by that panel and has something to draw."""
        return next((f for f in self.found if f.about.panel == name and f.state == OK), None)

    def heard(self) -> sound.SoundPanel | None:
        """The clip's sound, drawn."""
        heard = self.of_panel("sound")
        return sound.panel(heard) if heard else None

    def text(self, result: StageResult) -> str:
        """What the stage was given to read."""
        return transcript.text_for(result, self.found, self.row.clip)


# By what an extractor's class calls it.
PANELS: Mapping[str, Callable[[StageResult, Beside], object]] = {
    "alignment": lambda result, beside: alignment.panel(result, beside.heard()),
    "differences": lambda result, _: features.differences_panel(result),
    "faces": lambda result, beside: faces.panel(result, beside.row, beside.at_s, beside.heard()),
    "sound": lambda result, _: sound.panel(result),
    "tokens": lambda result, beside: tokens.panel(result, beside.text(result)),
    "transcript": lambda result, _: transcript.panel(result),
    "units": lambda result, _: action_units.panel(result),
    "words": lambda result, beside: tokens.panel(result, beside.text(result)),
}


@dataclass(frozen=True)
class StageSection:
    """One stage on the page. panel: what to show of it, None where there is nothing."""

    result: StageResult
    title: str
    panel: object | None
    provenance: Iterable[tuple[str, str]]


def inspect(
    cache: Cache,
    id: str,
    at_s: float | None = None,
    identities: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The clip's page as HTML, self-contained.

    at_s: when the face is that is shown in its frame. identities: of the stages to look at, by
    default those that were extracted last. Raises UserError where the cache has no such clip.
    """
    row, sections = sections_of(cache, id, at_s, identities)
    found = [section.result for section in sections]
    return (
        templates(files("pipeline.inspect"))
        .get_template("inspect.html")
        .render(
            dataset=cache.name,
            command=cache.table.imported or f"smp extract {cache.name}",
            clip=row.clip,
            said=transcript.of_clip(row.clip, found),
            facts=_facts(row.clip),
            sections=sections,
            mark=RANDOM_MARK,
            random_note=random_note,
            random_stages=[n for f in found if f.state == OK for n in f.random_weights],
            has_notes=any(f.reason or f.doubt or f.stale for f in found),
        )
    )


def sections_of(
    cache: Cache,
    id: str,
    at_s: float | None = None,
    identities: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Row, list[StageSection]]:
    """The clip as the cache has it, and a section for each stage; arguments as in `inspect`."""
    number = row_number(cache.table, id)
    row = cache.table.rows[number]
    found = cache.steadily(lambda: results_of(cache, number, identities))
    beside = Beside(found, row, at_s)
    return row, [StageSection(f, _title(f), _panel(f, beside), provenance(f, row)) for f in found]


def _title(result: StageResult) -> str:
    """As the extractor's class says, unless the stage has a name of its own."""
    is_own = result.stage != result.extractor.rpartition(".")[2]
    return result.stage if is_own else result.about.title or result.stage


def _panel(result: StageResult, beside: Beside) -> object | None:
    if result.state != OK:
        return None
    drawn = PANELS.get(result.about.panel)
    if drawn is None:
        return features.panel(result) if result.width and result.length else None
    try:
        return drawn(result, beside)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if result.extractor in built_in():
            raise
        raise UserError(
            f"stage {result.stage!r}: what it wrote can't be drawn as {result.about.panel!r}, the "
            f"panel that {result.extractor} names ({error!r}); name another"
        ) from error


def _facts(clip: Clip) -> list[tuple[str, str]]:
    """What the dataset says about the clip."""
    scores = {"Label": clip.label, **{f"Label {name}": v for name, v in clip.labels.items()}}
    facts = [(name, plain(value)) for name, value in scores.items() if value is not None]
    facts += [("Annotation", clip.annotation), ("Split", clip.split)]
    facts += [("Video", clip.video or ""), ("Audio", clip.audio or "")]
    facts += [("Span", "" if clip.span == WHOLE else str(clip.span))]
    facts += [("Region", told(clip.region))]
    return [(name, value) for name, value in facts if value]
