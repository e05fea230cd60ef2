"""CMU-MOSEI: sentences of monologues with a sentiment and six emotions, with the SDK's labels.

Zadeh et al. 2018, "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable
Dynamic Fusion Graph". The order and ranges of the labels: github.com/CMU-MultiComp-Lab/
CMU-MultimodalSDK, mmsdk/mmdatasdk/dataset/standard_datasets/CMU_MOSEI/README.md; layout of the raw
archive: MERTools, MERBench/toolkit/preprocess/cmumosei.py; sizes and classes by the SDK's folds:
s3prl, s3prl/downstream/mosei/utility/README.md (MMSA's own table has 16,326, 1,871 and 4,659).
Starts below 0 and 66 labelled videos that are in no fold: issues 198 and 256 of the SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from pipeline.dataset import folds
from pipeline.dataset.adapter import Adapter, Published, first
from pipeline.dataset.csd import Span, spans
from pipeline.dataset.tables import TableRow, read_text
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from pipeline.messages import quoted

LABELS = "CMU_MOSEI_Labels.csd"
EMOTIONS = tuple(f"label_{n}" for n in ("happy", "sad", "anger", "surprise", "disgust", "fear"))
COLUMNS = ("label", *EMOTIONS)  # of the SDK's features, in their order
OWN, FULL = Path("Videos/Segmented/Combined"), Path("Videos/Full/Combined")
SOUND = Path("Audio/Full/WAV_16000")
TRANSCRIPTS = Path("Transcript/Segmented/Combined")
DELIMITER = "___"
ALIKE = 0.5  # of the time that a label and a sentence span together, how much they share


class Sentence(NamedTuple):
    """A line of a transcript: `<video>___<number>___<start>___<end>___<text>`."""

    number: str
    start: float
    end: float
    text: str

    def shared(self, span: Span) -> float:
        """How much of the time of either is that of both, 0..1."""
        both = min(self.end, span.end) - max(self.start, span.start)
        either = max(self.end, span.end) - min(self.start, span.start)
        return max(both, 0.0) / either if either > 0 else 0.0


class CmuMosei(Adapter):
    """`CMU_MOSEI_Labels.csd`, beside or in `Raw/`, with `Videos/`, `Audio/` and `Transcript/`.

    A clip is what has labels, in the order of time; its sentence is the one of
    `Transcript/Segmented/Combined/<video>.txt` at that time, whose number it is called after. Its
    video is `Videos/Segmented/Combined/<video>_<number>.mp4` where there is one, or else a span of
    `Videos/Full/Combined/<video>.mp4`, or of the sound in `Audio/Full/WAV_16000/<video>.wav`.
    """

    title = "CMU-MOSEI"
    targets = (
        Target(name="label", range=(-3, 3)),
        Target(name="emotions", kind="labels", columns=EMOTIONS, range=(0, 3)),
    )
    folds = "cmu_mosei_std_folds.py"

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """The dataset in `folder`, or the one whose `Raw/` it is."""
        found = cls(folder)._found(LABELS)
        return cls(folder) if found else None

    @property
    def published(self) -> Published:
        """Labelled segments; those of no fold are in no split."""
        return Published({"train": 16327, "valid": 1871, "test": 4662, "": 399})

    def rows(self) -> Iterator[TableRow]:
        """Every labelled segment, by video and time."""
        labels = self._found(LABELS)
        split_of = folds.splits(self._places(self.folds))
        sentences: dict[str, list[Sentence]] = {}
        taken: set[str] = set()
        for span in spans(labels, len(COLUMNS)) if labels else ():
            if span.video not in sentences:
                sentences[span.video] = self._sentences(span.video)
            said = max(sentences[span.video], key=lambda s: s.shared(span), default=None)
            number, text = f"{span.start:.3f}", ""
            if said and said.shared(span) >= ALIKE and f"{span.video}/{said.number}" not in taken:
                number, text = said.number, said.text
            taken.add(f"{span.video}/{number}")
            row = {
                "id": f"{span.video}/{number}",
                **self._media(span, number),
                "text": text,
                **{c: f"{value:.7g}" for c, value in zip(COLUMNS, span.values, strict=True)},
                "split": split_of.get(span.video, ""),
            }
            yield f"{labels}: {span.video}/{number}", row

    def _places(self, name: str) -> tuple[Path, ...]:
        root = self.root.parent if self.root.name == "Raw" else self.root
        return root / name, root / "Raw" / name, root / "Labels" / name

    def _found(self, name: str) -> Path | None:
        return next(filter(Path.is_file, self._places(name)), None)

    def _folder(self, part: Path) -> Path | None:
        return first((self.root / "Raw" / part, self.root / part))

    def _sentences(self, video: str) -> list[Sentence]:
        folder = self._folder(TRANSCRIPTS)
        path = folder / f"{video}.txt" if folder else None
        if path is None or not path.is_file():
            return []
        lines = enumerate(read_text(path, legacy=True).split("\n"), 1)
        return [_sentence(f"{path}:{number}", line) for number, line in lines if line.strip()]

    def _media(self, span: Span, number: str) -> dict[str, str]:
        time = {"start": f"{span.start:.6f}", "end": f"{span.end:.6f}"}
        own, full, sound = map(self._folder, (OWN, FULL, SOUND))
        if own and (path := own / f"{span.video}_{number}.mp4").is_file():
            return {"video": str(path)}
        if full:
            return {"video": str(full / f"{span.video}.mp4"), **time}
        if own:
            return {"video": str(own / f"{span.video}_{number}.mp4")}
        return {"audio": str(sound / f"{span.video}.wav"), **time} if sound else {}


def _sentence(where: str, line: str) -> Sentence:
    try:
        _, number, start, end, text = line.split(DELIMITER, 4)
        return Sentence(number, float(start), float(end), text.strip())
    except ValueError as error:
        wanted = DELIMITER.join(("video", "number", "start", "end", "text"))
        raise UserError(f"{where}: expected {wanted}, got {quoted(line)}") from error
