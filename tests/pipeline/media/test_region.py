"""A part of the picture: exactly those columns of it, for whatever looks at a clip."""

from pathlib import Path

import numpy as np

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.dataset.span import Span
from pipeline.extractors.frames import Frames
from pipeline.stage.result import ClipInputs
from tests.support.bad_media.making import filmed, good, scaled


def test_a_part_is_those_columns_of_every_picture(tmp_path: Path) -> None:
    path = tmp_path / "two.mp4"
    good(lambda: scaled(filmed(seconds=1.0), 96, 54))(path)
    span = Span(0.2, 0.6)
    whole = [picture for _, picture in media.frames(str(path), span=span)]
    for region, columns in (((0.0, 0.5), slice(0, 48)), ((0.25, 1.0), slice(24, 96))):
        part = [p for _, p in media.frames(str(path), span=span, region=region)]
        assert len(part) == len(whole) > 2
        for theirs, ours in zip(whole, part, strict=True):
            np.testing.assert_array_equal(ours, theirs[:, columns])
            assert ours.flags.c_contiguous


def test_stages_of_pictures_look_at_the_part_alone(tmp_path: Path) -> None:
    path = tmp_path / "two.mp4"
    good(lambda: scaled(filmed(seconds=0.5), 96, 54))(path)
    shown = {}
    for half in ((0.0, 0.5), (0.5, 1.0)):
        inputs = ClipInputs(Clip("a", video=str(path), region=half), {})
        frames = Frames(Frames.Settings()).stream(inputs)["frames"]
        shown[half] = np.stack([picture for _, picture in frames])
    left, right = shown.values()
    assert left.shape == right.shape == (len(left), 54, 48, 3)
    assert not np.array_equal(left, right)
