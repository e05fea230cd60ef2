"""IEMOCAP: two actors a session, each turn with an emotion, as `IEMOCAP_full_release` unpacks.

Busso et al. 2008, "IEMOCAP: Interactive emotional dyadic motion capture database". Names of files
and turns: README.txt of the release. Which half of the picture is whose: the actor with the
markers, whom a recording is named after, is on the left (MERTools,
MERBench/toolkit/preprocess/iemocap.py, `func_find_tgt_pos`). The six classes have 7,380 turns;
papers that train on the features of bc-LSTM and DialogueRNN have 7,433, since these call 53 turns
happy on which the annotators did not agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pipeline.dataset.adapter import Adapter, Published
from pipeline.dataset.clip import SPLITS
from pipeline.dataset.tables import TableRow, read_text
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from pipeline.messages import quoted

SESSIONS = ("1", "2", "3", "4", "5")
TURNS = (1819, 1811, 2136, 2103, 2170)  # by session, as all counts here
SIX = {
    "hap": (135, 117, 135, 65, 143), "sad": (194, 197, 305, 143, 245),
    "neu": (384, 362, 320, 258, 384), "ang": (229, 137, 240, 327, 170),
    "exc": (143, 210, 151, 238, 299), "fru": (280, 325, 382, 481, 381),
}  # fmt: skip
MERGED = {"hap": "hap", "exc": "hap", "sad": "sad", "neu": "neu", "ang": "ang"}
DIMENSIONS = ("valence", "activation", "dominance")  # in the order of the files, each 1 to 5
VALUE = r"(-?[\d.]+)"
TURN = re.compile(rf"\[{VALUE} - {VALUE}\]\t(\S+)\t(\w+)\t\[{VALUE}, {VALUE}, {VALUE}\]\s*")
SAID = re.compile(r"(Ses\S+) \[[^]]*\]:(.*)")


class Iemocap(Adapter):
    """`Session1/` to `Session5/`, in each of which is `dialog/EmoEvaluation/<recording>.txt`,
    `dialog/transcriptions/<recording>.txt`, `dialog/avi/DivX/<recording>.avi` and
    `dialog/wav/<recording>.wav`; where there are no films, `sentences/wav/<recording>/<turn>.wav`.

    A turn as `Ses01F_impro01_M000` is of session 1, where the woman wears the markers, and spoken
    by the man. Its clip is a span of the recording, and `region` the speaker's half of the
    picture. `emotion4` has the four classes that most papers compare, with excitement as
    happiness; `emotion6` keeps it apart and has frustration. A turn of no such class, as those
    without agreement (`xxx`), has the three dimensions alone. One session is the test split, the
    one before it the validation split, so that no actor is in two.
    """

    title = "IEMOCAP"
    targets = (
        Target(name="emotion4", kind="classes", classes=("hap", "sad", "neu", "ang")),
        Target(name="emotion6", kind="classes", classes=tuple(SIX)),
        *(Target(name=name, range=(1, 5)) for name in DIMENSIONS),
    )
    tests = SESSIONS

    @classmethod
    def at(cls, folder: Path) -> Self | None:
        """The dataset in `folder` or its `IEMOCAP_full_release/`; session 5 is the test split."""
        for root in (folder, folder / "IEMOCAP_full_release"):
            if any((root / f"Session{n}/dialog/EmoEvaluation").is_dir() for n in SESSIONS):
                return cls(root, SESSIONS[-1])
        return None

    @property
    def published(self) -> Published:
        """Turns by session and class, of which the splits are made."""
        four = {name: [0] * len(SESSIONS) for name in self.targets[0].classes}
        for emotion, merged in MERGED.items():
            four[merged] = [a + b for a, b in zip(four[merged], SIX[emotion], strict=True)]
        return Published(
            dict(zip(SPLITS, self._by_split(TURNS), strict=True)),
            {
                "class_emotion4": {name: self._by_split(n) for name, n in four.items()},
                "class_emotion6": {name: self._by_split(n) for name, n in SIX.items()},
            },
        )

    def rows(self) -> Iterator[TableRow]:
        """Every turn that was judged, by session and recording, in the order of the files."""
        for session in SESSIONS:
            folder = self.root / f"Session{session}"
            for path in sorted((folder / "dialog/EmoEvaluation").glob("Ses*.txt")):
                texts = _texts(folder / "dialog/transcriptions" / path.name)
                for where, turn, emotion, span, values in _turns(path):
                    row = {
                        "id": turn,
                        **_media(folder, path.stem, turn, span),
                        **values,
                        "text": texts.get(turn, ""),
                        "class_emotion4": MERGED.get(emotion, ""),
                        "class_emotion6": emotion if emotion in SIX else "",
                        "split": self._split(session),
                    }
                    yield where, row

    def _split(self, session: str) -> str:
        if session == self.test:
            return "test"
        return "valid" if int(session) % len(SESSIONS) + 1 == int(self.test) else "train"

    def _by_split(self, counts: tuple[int, ...] | list[int]) -> list[int]:
        of = dict.fromkeys(SPLITS, 0)
        for session, n in zip(SESSIONS, counts, strict=True):
            of[self._split(session)] += n
        return list(of.values())


def _turns(path: Path) -> Iterator[tuple[str, str, str, dict[str, str], dict[str, str]]]:
    """Where each turn is, its name, its emotion, and the columns of its span and dimensions."""
    for number, line in enumerate(read_text(path, legacy=True).split("\n"), 1):
        if not line.startswith("["):  # what each annotator said, and the heading
            continue
        where = f"{path}:{number}"
        if not (found := TURN.fullmatch(line)):
            wanted = "[start - end], turn, emotion and [V, A, D]"
            raise UserError(f"{where}: expected {wanted}, got {quoted(line)}")
        start, end, turn, emotion, *dimensions = found.groups()
        values = {f"label_{n}": v for n, v in zip(DIMENSIONS, dimensions, strict=True)}
        yield where, turn, emotion, {"start": start, "end": end}, values


def _texts(path: Path) -> dict[str, str]:
    """What was said, by turn."""
    text = read_text(path, legacy=True) if path.is_file() else ""
    found = filter(None, map(SAID.match, text.split("\n")))
    return {one[1]: one[2].strip() for one in found}


def _media(session: Path, recording: str, turn: str, span: dict[str, str]) -> dict[str, str]:
    films, sounds = session / "dialog/avi/DivX", session / "dialog/wav"
    if films.is_dir():
        wears, speaks = recording[5:6], turn.removeprefix(f"{recording}_")[:1]
        own = {"audio": str(sounds / f"{recording}.wav")} if sounds.is_dir() else {}
        side = "left" if wears == speaks else "right"
        return {"video": str(films / f"{recording}.avi"), **own, **span, "region": side}
    cut = session / "sentences/wav"
    return {"audio": str(cut / recording / f"{turn}.wav")} if cut.is_dir() else {}
