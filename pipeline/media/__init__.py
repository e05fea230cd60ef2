"""The one place where media is decoded and encoded."""

from pipeline.media.audio import Audio, load_audio
from pipeline.media.limits import PixelLimits, SoundLimits
from pipeline.media.video import Frame, Frames, frames
from pipeline.media.video_span import video_span

__all__ = [
    "Audio",
    "Frame",
    "Frames",
    "PixelLimits",
    "SoundLimits",
    "frames",
    "load_audio",
    "video_span",
]
