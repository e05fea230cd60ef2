"""The page of one clip, put together from what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pipeline.dataset.clip import Clip
from pipeline.html import templates
from pipeline.html.numbers import plain
from pipeline.inspect import action_units, faces, features, sound, tokens, transcript
from pipeline.inspect.finding import Finding, findings, number_of
from pipeline.inspect.provenance import provenance
from pipeline.stage.result import OK
from pipeline.store.cache import Cache
from pipeline.store.clips_table import Row
from pipeline.weights.random_weights import RANDOM_MARK, random_note

# By extractor, what makes its panel from the finding and the clip's text as the stage was given it.
PANELS: Mapping[str, Callable[[Finding, str], object]] = {
    "action_units": lambda finding, text: action_units.panel(finding),
    "audio": lambda finding, text: sound.panel(finding),
    "mfcc": lambda finding, text: features.mfcc_panel(finding),
    "asr": lambda finding, text: transcript.panel(finding),
    "bert": tokens.panel,
    "tencent": tokens.panel,
}
TITLES = {
    "faces": "Faces",
    "resnet18": "Features of the faces",
    "action_units": "Action units",
    "audio": "Sound",
    "mfcc": "MFCC",
    "wav2vec2": "Features of the sound",
    "asr": "Words that were heard",
    "bert": "Tokens and their features",
    "tencent": "Words and their vectors",
}


@dataclass(frozen=True)
class Section:
    """One stage on the page. panel: what to show of it, None where there is nothing."""

    finding: Finding
    title: str
    panel: object | None
    provenance: Sequence[tuple[str, str]]


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
    number = number_of(cache.table, id)
    row = cache.table.rows[number]
    found = findings(cache, number, identities)
    sections = [
        Section(f, _title(f), _panel(f, found, row, at_s), provenance(f, row)) for f in found
    ]
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
            has_notes=any(s.finding.reason or s.finding.doubt for s in sections),
        )
    )


def _title(finding: Finding) -> str:
    """In plain words for the built-in extractors, unless the stage has a name of its own."""
    is_own = finding.stage != finding.extractor
    return finding.stage if is_own else TITLES.get(finding.extractor, finding.stage)


def _panel(
    finding: Finding, found: Sequence[Finding], row: Row, at_s: float | None
) -> object | None:
    if finding.state != OK:
        return None
    if finding.extractor == "faces":
        heard = next((f for f in found if f.extractor == "audio" and f.state == OK), None)
        return faces.panel(finding, row, at_s, sound.panel(heard) if heard else None)
    if finding.extractor in PANELS:
        text = transcript.text_for(finding, found, row.clip)
        return PANELS[finding.extractor](finding, text)
    return features.panel(finding) if finding.width and finding.length else None


def _facts(clip: Clip) -> list[tuple[str, str]]:
    """What the dataset says about the clip."""
    scores = {"Label": clip.label, **{f"Label {name}": v for name, v in clip.labels.items()}}
    facts = [(name, plain(value)) for name, value in scores.items() if value is not None]
    facts += [("Annotation", clip.annotation), ("Split", clip.split)]
    facts += [("Video", clip.video or ""), ("Audio", clip.audio or "")]
    return [(name, value) for name, value in facts if value]
