"""One clip on a page: what the model says of it, its faces, its words and when they are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from tempfile import TemporaryDirectory

from model.inference.predict import TrainedModel
from model.objectives.prediction import Prediction
from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError
from pipeline.html import templates
from pipeline.html.numbers import plain
from pipeline.inspect import transcript
from pipeline.inspect.page import StageSection, sections_of
from pipeline.store.cache import open_cache
from pipeline.weights.random_weights import RANDOM_MARK, random_note

# What a person sees or hears, by what an extractor's class calls its panel.
TITLES = {
    "faces": "Faces",
    "sound": "Audio",
    "alignment": "Words over time",
    "tokens": "Words",
    "words": "Words",
}
PARTS = {"faces": "people_and_faces", "text": "tokens"}  # of panels that hold more than is shown


def clip_page(model: TrainedModel, clip: Clip) -> str:
    """The page as HTML, self-contained; the features are gone when it is returned.

    Raises ClipError where nothing is said of the clip, UserError as the model does.
    """
    with TemporaryDirectory(prefix="smp-demo-") as cache:
        [said] = model([clip], cache)
        if said.error:
            raise ClipError(said.error)
        _, sections = sections_of(open_cache(cache), clip.id)
    return (
        templates(files("model.demo"), files("pipeline.inspect"))
        .get_template("clip.html")
        .render(
            run=model.run.name,
            clip=clip,
            said=said,
            figures=_figures(said),
            facts=_facts(said),
            transcript=transcript.of_clip(clip, [section.result for section in sections]),
            sections=[(TITLES[one.result.about.panel], one) for one in _shown(sections)],
            parts_of=PARTS,
            mark=RANDOM_MARK if model.random_stages else "",
            note=random_note(model.random_stages),
        )
    )


def _figures(said: Prediction) -> list[tuple[str, str]]:
    score = "" if said.score is None else f"{said.score:+.2f}".replace("-", "−")
    sure = "" if said.confidence is None else plain(said.confidence)
    return [(value, name) for value, name in ((score, "Score"), (sure, "Confidence")) if value]


def _facts(said: Prediction) -> list[tuple[str, str]]:
    """How likely each class is, and what a model of several targets says of the others."""
    shares = [(name, plain(share)) for name, share in said.probabilities.items()]
    return shares + [(name, one.told) for name, one in said.others.items()]


def _shown(sections: Sequence[StageSection]) -> list[StageSection]:
    """Those that are seen or heard; the sound but once, as the timeline of faces has it."""
    shown = [one for one in sections if one.result.about.panel in TITLES]
    has_times = any(getattr(one.panel, "timeline", None) for one in shown)
    return [one for one in shown if not (has_times and one.result.about.panel == "sound")]
