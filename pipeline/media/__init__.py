"""The one place where media is decoded and encoded."""

from pipeline.media.audio import Sound, sound
from pipeline.media.picture_span import picture_span
from pipeline.media.video import Frame, Pictures, frames

__all__ = ["Frame", "Pictures", "Sound", "frames", "picture_span", "sound"]
