"""The one place where media is decoded and encoded."""

from pipeline.media.audio import SoundReader, is_audio_file, load_audio
from pipeline.media.bounds import BeyondEndError
from pipeline.media.left_off import LeftOff
from pipeline.media.limits import PixelLimits, SoundLimits
from pipeline.media.sound import Audio
from pipeline.media.video import Frame, Frames, frames
from pipeline.media.video_span import Shown, video_span

__all__ = [
    "Audio",
    "BeyondEndError",
    "Frame",
    "Frames",
    "LeftOff",
    "PixelLimits",
    "Shown",
    "SoundLimits",
    "SoundReader",
    "frames",
    "is_audio_file",
    "load_audio",
    "video_span",
]
