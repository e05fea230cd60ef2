"""A stage of one's own on top of the built-in ones: how bright the face is at each step.

    $ python examples/own_extractor.py [data/sample]

It adds one line to a copy of the dataset's stages file; what is extracted already is not again.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from pipeline import ClipInputs, ClipResult, Extractor, Field, StageSettings, open_cache

ROOT = Path(__file__).parents[1]
STAGES_FILE = Path("brightness.yaml")


class Brightness(Extractor):
    """Mean of the aligned face's pixels, 0 (black) to 1 (white)."""

    version = 1  # raise it whenever results change
    takes = {"images": Field(("step", 112, 112, 3), "uint8")}  # what `faces` writes

    class Settings(StageSettings):
        border_px: int = 0
        """How many pixels to leave out at each edge."""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {"features": Field(("step", 1), "float32", "1")}

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        for clip in batch:
            edge = self.settings.border_px
            images = clip.rows["images"][:, edge : 112 - edge, edge : 112 - edge] / 255
            rows = images.mean(axis=(1, 2, 3)).astype("float32")[:, None]
            yield ClipResult.ok({"features": rows}, len(rows))


def main(dataset: str) -> None:
    spec = yaml.safe_load(Path(dataset, "stages.yaml").read_text(encoding="utf-8"))
    spec["stages"]["brightness"] = {"extractor": "examples.own_extractor", "needs": "faces"}
    STAGES_FILE.write_text(yaml.safe_dump(spec), encoding="utf-8")
    here = {**os.environ, "PYTHONPATH": str(ROOT)}  # where `examples.own_extractor` is found
    command = ["smp", "extract", dataset, "--stages", str(STAGES_FILE)]
    subprocess.run(command, env=here, check=False)  # exit code 1: a clip failed, others are there

    view = open_cache(f"cache/{Path(dataset).name}")["brightness"]
    means = view.read()[:, :, 0].sum(axis=1) / view.lengths.clip(min=1)
    print(f"brightness of {(view.lengths > 0).sum()} clips: {means[view.lengths > 0].mean():.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["data/sample"])
