"""The page of one clip, put together from what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pipeline.dataset.clip import Clip
from pipeline.html import templates
from pipeline.html.numbers import plain
from pipeline.inspect import action_units, faces, features, sound, tokens, transcript
from pipeline.inspect.provenance import provenance
from pipeline.inspect.stage_result import StageResult, results_of, row_number
from pipeline.stage.result import OK
from pipeline.store.cache import Cache
from pipeline.store.clips_table import Row
from pipeline.weights.random_weights import RANDOM_MARK, random_note

# By extractor; faces and text need more than the stage's own result.
PANELS: Mapping[str, Callable[[StageResult], object]] = {
    "action_units": action_units.panel,
    "audio": sound.panel,
    "mfcc": features.mfcc_panel,
    "asr": transcript.panel,
}
TITLES = {
    "faces": "Faces",
    "resnet18": "Face features",
    "image_encoder": "Face features",
    "face_signals": "Face signals",
    "action_units": "Action units",
    "audio": "Audio",
    "openface": "OpenFace",
    "mfcc": "MFCC",
    "opensmile": "openSMILE",
    "prosody": "Prosody",
    "wav2vec2": "Audio features",
    "asr": "Recognised speech",
    "bert": "Text features",
    "tencent": "Word vectors",
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
    number = row_number(cache.table, id)
    row = cache.table.rows[number]
    found = cache.steadily(lambda: results_of(cache, number, identities))
    sections = [
        StageSection(f, _title(f), _panel(f, found, row, at_s), provenance(f, row)) for f in found
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
            has_notes=any(f.reason or f.doubt or f.stale for f in found),
        )
    )


def _title(result: StageResult) -> str:
    """In plain words for the built-in extractors, unless the stage has a name of its own."""
    is_own = result.stage != result.extractor
    return result.stage if is_own else TITLES.get(result.extractor, result.stage)


def _panel(
    result: StageResult, found: Sequence[StageResult], row: Row, at_s: float | None
) -> object | None:
    if result.state != OK:
        return None
    if result.extractor == "faces":
        heard = next((f for f in found if f.extractor == "audio" and f.state == OK), None)
        return faces.panel(result, row, at_s, sound.panel(heard) if heard else None)
    if result.extractor in ("bert", "tencent"):
        return tokens.panel(result, transcript.text_for(result, found, row.clip))
    if result.extractor in PANELS:
        return PANELS[result.extractor](result)
    return features.panel(result) if result.width and result.length else None


def _facts(clip: Clip) -> list[tuple[str, str]]:
    """What the dataset says about the clip."""
    scores = {"Label": clip.label, **{f"Label {name}": v for name, v in clip.labels.items()}}
    facts = [(name, plain(value)) for name, value in scores.items() if value is not None]
    facts += [("Annotation", clip.annotation), ("Split", clip.split)]
    facts += [("Video", clip.video or ""), ("Audio", clip.audio or "")]
    return [(name, value) for name, value in facts if value]
