"""A dataset as a report finds it: hostile names, a cache with problems, planted channels, runs."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from model.cli.group import main
from pipeline.dataset.clip import Clip
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_text
from pipeline.stage.field import Field
from pipeline.stage.result import ClipResult
from pipeline.store.clip_rows import Row
from pipeline.store.clips_table import ClipsTable
from pipeline.store.current import set_current
from pipeline.store.layout import store_url
from pipeline.store.store import Store

NAME = "talks <i>"
HOSTILE = "<script>document.title = 'broken'</script>"
SAID = "</script><img src=x onerror=\"document.title = 'broken'\"> & <!-- it"
REASON = "no face in <b>3</b> frames"
SPLITS = ("train", "valid", "test", "train", "test")
CLIPS, PARTITION, STEPS = 30, 8, 4
CONSTANT, NAN, EXPLODING = 1, 2, 4  # channels of `planted`
NO_FACE, NO_TEXT = 3, 5  # clips


class Reported:
    """A dataset's folder, its cache and its runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache_root, self.runs = (
            folder / NAME,
            folder / "cache",
            folder / "runs",
        )
        self.clips = [_clip(i) for i in range(CLIPS)]
        self._write_table()

    def smp(self, command: str, *arguments: str, exit_code: int = 0) -> str:
        """What a command prints; it must end with `exit_code`."""
        where = ["--cache", str(self.cache_root), "--runs", str(self.runs)]
        words = [command, str(self.folder), *arguments, *where]
        done = CliRunner().invoke(main, words, catch_exceptions=False)
        assert done.exit_code == exit_code, done.output
        return done.output

    def report(self, exit_code: int = 0) -> Path:
        """Make the page."""
        self.smp("report", exit_code=exit_code)
        return self.runs / f"{NAME}-report.html"

    def extract(self, partitions: Iterable[int] = range(4)) -> None:
        """Write the stores of three stages, so far as `partitions` go."""
        url = str(self.cache_root / NAME)
        rows = tuple(Row(clip, {"text": of_text(clip.text)}) for clip in self.clips)
        ClipsTable(NAME, "en", str(self.folder), rows).write(Folder(url))
        stages = {
            "faces": (Field(("step", 112, 112, 3), "uint8"), _faces),
            "bert": (Field(("step", 6), "float32"), _words),
            "planted": (Field(("step", 5), "float32"), _planted),
        }
        set_current(
            Folder(url),
            {
                name: {
                    "extractor": name,
                    "fingerprint": f"{name}0123",
                    "reads": ["text"],
                    "weights_id": "random",
                }
                for name in stages
            },
        )
        for name, (field, make) in stages.items():
            store = Store.create(
                store_url(url, name, f"{name}0123"),
                {"images" if name == "faces" else "features": field},
                STEPS,
                PARTITION,
                CLIPS,
                {"weights": {"id": "random", "digest": "random"}},
            )
            for number in partitions:
                mine = range(number * PARTITION, min(CLIPS, (number + 1) * PARTITION))
                keys = [rows[i].key(["text"]) for i in mine]
                store.write(number, keys, [make(i) for i in mine])

    def _write_table(self) -> None:
        self.folder.mkdir()
        with (self.folder / "label.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["video_id", "clip_id", "text", "label", "annotation", "mode"])
            for clip in self.clips:
                rows.writerow([*clip.id.split("/"), clip.text, clip.label, "", clip.split])


def _clip(i: int) -> Clip:
    id = HOSTILE if i == NO_FACE else f"v/{i:02d}"
    return Clip(id, text=SAID, label=(i % 7 - 3) / 3, split=SPLITS[i % len(SPLITS)])


def _faces(i: int) -> ClipResult:
    if i == NO_FACE:
        return ClipResult.missing(REASON)
    return ClipResult.ok({"images": np.full((STEPS, 112, 112, 3), 8 * i, np.uint8)}, STEPS)


def _words(i: int) -> ClipResult:
    if i == NO_TEXT:
        return ClipResult.failed("broken text")
    random = np.random.default_rng(i)
    score = (i % 7 - 3) / 3
    features = random.normal(score, 0.1, (1 + i % STEPS, 6)).astype(np.float32)
    return ClipResult.ok({"features": features}, len(features), "cut" if i == 0 else "")


def _planted(i: int) -> ClipResult:
    features = np.random.default_rng(i).normal(0, 1, (STEPS - 1, 5)).astype(np.float32)
    features[:, CONSTANT] = 2.5
    features[-1, NAN] = np.nan if i == 6 else 0.5
    features[0, EXPLODING] *= 1e5 if i == 7 else 1
    return ClipResult.ok({"features": features}, len(features))
