"""One clip's faces as its frames go by: found window by window, aligned and tracked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.errors import ClipError
from pipeline.faces.align import align
from pipeline.faces.detections import Detections
from pipeline.faces.quality import inside
from pipeline.faces.tracker import Face, Tracker
from pipeline.faces.windows import Window
from pipeline.media import Frames
from pipeline.media.limits import SearchLimit
from pipeline.system.spans import span

if TYPE_CHECKING:
    from pipeline.faces.keyframes import Found


class ClipFaces:
    """The window of frames that is looked at, and the aligned faces that came before it."""

    window: Window

    def __init__(
        self, frames: Frames, windows: Iterator[Window], tracker: Tracker, limit: SearchLimit
    ) -> None:
        self.frames = frames
        self.tracker = tracker
        self.limit = limit
        self.with_face = self.without_face = 0
        self.last_seen: Detections | None = None
        self.error: ClipError | None = None
        self._windows = windows

    @span("decode")
    def advance(self) -> bool:
        """Go on to the next window; False at the end, or where something is wrong with the clip."""
        try:
            self.limit.require()
            self.window = next(self._windows)
        except StopIteration:
            return False
        except ClipError as error:
            self.error = error
            return False
        return True

    def follow(self, search: Found) -> None:
        """Take in the faces of each frame of the window."""
        found = search.faces
        self.limit.searched_px += search.searched_px
        self.last_seen = found[-1]
        for i in range(self.window.follows, len(found)):
            time_s, rgb = self.window.frames[i]
            each = zip(found[i].boxes, found[i].landmarks, found[i].probabilities, strict=True)
            faces = [
                Face(time_s, box, at, float(p), align(rgb, at), inside(box, rgb.shape[:2]))
                for box, at, p in each
            ]
            self.tracker.add(time_s, faces, i in self.window.cuts)
            self.with_face += bool(faces)
            self.without_face += not faces
        del self.window  # its frames, before the next ones are read
