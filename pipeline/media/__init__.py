"""The one place where media is decoded and encoded."""

from pipeline.media.audio import SoundReader, load_audio
from pipeline.media.bounds import BeyondEndError
from pipeline.media.left_off import LeftOff
from pipeline.media.limits import PixelLimits, SoundLimits
from pipeline.media.sound import Audio
from pipeline.media.video import Frame, Frames, frames
from pipeline.media.video_span import first_picture_s, video_span

__all__ = [
    "Audio",
    "BeyondEndError",
    "Frame",
    "Frames",
    "LeftOff",
    "PixelLimits",
    "SoundLimits",
    "SoundReader",
    "first_picture_s",
    "frames",
    "load_audio",
    "video_span",
]
