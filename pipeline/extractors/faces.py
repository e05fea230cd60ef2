"""One person's face through a clip: found, followed, aligned and sampled to the common steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field as PydanticField
from pydantic import model_validator

from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, UserError
from pipeline.faces.align import SIZE_PX
from pipeline.faces.augment import Augment
from pipeline.faces.clip_faces import ClipFaces
from pipeline.faces.people import COLUMNS, choose
from pipeline.faces.quality import Levels, Quality
from pipeline.faces.scene_cuts import SceneCuts
from pipeline.faces.speech import Level, speech_of
from pipeline.faces.tracker import Track, Tracker
from pipeline.faces.windows import windows
from pipeline.media.limits import SEARCH_LIMIT_GPX, SearchLimit
from pipeline.stage.about import About
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, runtime, unless_default
from pipeline.stage.steps import sample_indices
from pipeline.system.device import Device, device_of
from pipeline.system.spans import span
from pipeline.system.threads import spread
from pipeline.weights import registry, resolve

if TYPE_CHECKING:
    from pipeline.faces.keyframes import KeyFrameDetector

WEIGHTS_ID = "facenet-pytorch/mtcnn"
FILES = ("?net.pt",)
SPEECH = {"speech": Field(("track",), "float64", unit="distances of the eyes", ragged=True)}
TOGETHER = (1, 32)  # clips, on a CPU and elsewhere, where fewer than 3 kernels a frame are left


class Faces(Extractor):
    """MTCNN; the largest continuous track, aligned by five landmarks to 112×112.

    The whole of MTCNN looks at key frames, and wherever faces come or go; its last network follows
    them in between. Detections are linked over frames by their overlap where they look alike; a
    cut, or a longer gap, ends a track. The one with the largest box area summed over its frames is
    followed (with `relink` the person whose tracks have the largest), and `steps` of its faces are
    sampled. Frames without a face are dropped. Source: Zhu and Yu, section IV-A; MTCNN: Zhang et
    al. 2016, with the weights of facenet-pytorch.

    `track_table` has a row a track (see `people.COLUMNS`); `runner_up` is the next person's area
    as a share of what is followed. A clip whose faces lie below the levels of `doubt` is doubtful.

    With `follow: speaker` both are by speech instead of area: how far the mouth moves while there
    is sound (see `faces.speech`), which `speech` has of each track, NaN where the largest is
    followed since nothing is heard.
    """

    version = 3
    about = About("Faces", panel="faces", licences={"facenet-pytorch/mtcnn": "MIT"})
    takes = {"frames": Field(("frame", "height", "width", 3), "uint8", ragged=True)}

    class Settings(StageSettings):
        detect_every: int = PydanticField(16, ge=1)
        """Frames from one key frame, which all of MTCNN sees, to the next; 1: every frame."""

        min_face_px: int = PydanticField(40, ge=12)
        """Smallest face to detect, in pixels of the video."""

        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
        """Detection thresholds of P-Net, R-Net and O-Net, 0..1."""

        factor: float = PydanticField(0.709, gt=0, lt=1)
        """Scale factor from one level of the image pyramid to the next."""

        min_iou: float = PydanticField(0.3, gt=0, lt=1)
        """Boxes in consecutive frames with at least this IoU are one person."""

        max_gap_s: float = PydanticField(0.5, ge=0)
        """How long a person may be out of sight, in seconds."""

        cut_ratio: float = PydanticField(2.5, gt=1)
        """A change of the picture this many times as large as those around it is a cut."""

        follow: Literal["largest", "speaker"] = unless_default("largest")
        """`speaker`: whose mouth moves furthest while there is sound, not whose face is largest;
        keeps the faces of all tracks in memory. Without sound the largest is followed."""

        relink: bool = False
        """Follow a person across cuts by appearance; keeps the faces of all tracks in memory."""

        augment: Augment = unless_default(Augment())
        """`{blur_px: 4}`: a Gaussian blur of that standard deviation, in pixels of the aligned face
        of 112. `{occluded: 0.3}`: a grey square over that share of the aligned face, its place
        drawn by the clip's id, the same in all steps. For experiments: `action_units` sees the same
        done to the frames; faces are found and followed in clean ones, and the quality that is
        stored is that of the worse faces."""

        doubt: Levels = runtime(Levels())
        """Levels beyond which a clip is doubtful; checked when it is extracted, not later."""

        search_limit_gpx: float = runtime(SEARCH_LIMIT_GPX, gt=0)
        """Most that all of MTCNN looks at in one clip, its image pyramids included, in gigapixels;
        what needs more fails."""

        batch_frames: int = runtime(16, ge=1)
        """Frames of a clip that are decoded and processed together."""

        batch_clips: int = runtime(0, ge=0)
        """Clips processed together; 0: one on a CPU, 32 elsewhere. Above 1, a clip's neighbours may
        change its faces by rounding errors."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

        @model_validator(mode="before")
        @classmethod
        def _renamed(cls, given: Any) -> Any:
            if isinstance(given, dict) and "cut_level" in given:
                raise ValueError("cut_level is gone: leave it out, or set cut_ratio")
            return given

    settings: Settings

    def __init__(self, settings: StageSettings, steps: int = 32) -> None:
        super().__init__(settings, steps)
        self._by_speech = self.settings.follow == "speaker"
        if self._by_speech:
            self.reads = frozenset({"video", "audio"})

    def writes(self) -> dict[str, Field]:
        return {
            "images": Field(("step", SIZE_PX, SIZE_PX, 3), "uint8"),
            "boxes": Field(("step", 4), "float32", unit="px"),
            "landmarks": Field(("step", 5, 2), "float32", unit="px"),
            "probabilities": Field(("step",), "float32"),
            "times": Field(("step",), "float64", unit="s"),
            "begins_s": Field((), "float64", unit="s"),
            "frames_with_face": Field((), "int32"),
            "frames_without_face": Field((), "int32"),
            "tracks": Field((), "int32"),
            "track_frames": Field((), "int32"),
            "track_span": Field((2,), "float64", unit="s"),
            "track_table": Field(("track", len(COLUMNS)), "float64", ragged=True),
            "cuts": Field((), "int32"),
            "cut_times": Field(("cut",), "float64", unit="s", ragged=True),
            **Quality.fields(),
            **(SPEECH if self._by_speech else {}),
            **self.settings.augment.fields(),
        }

    def portion(self) -> int:
        return self.settings.batch_clips or TOGETHER[device_of(self.settings.device) != "cpu"]

    def models(self) -> list[resolve.Source]:
        return [resolve.Source(WEIGHTS_ID, FILES, path=_weights_folder())]

    def weights(self) -> resolve.Weights:
        return replace(resolve.find(str(_weights_folder()), FILES), id=WEIGHTS_ID)

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        detector, together = self._detector(), self.portion()
        for i in range(0, len(batch), together):
            clips = [self._clip(inputs) for inputs in batch[i : i + together]]
            while live := list(compress(clips, spread(ClipFaces.advance, clips))):
                with span("detect"):
                    found = detector.detect([c.window for c in live], [c.last_seen for c in live])
                spread(lambda pair: pair[0].follow(pair[1]), [*zip(live, found, strict=True)])
            yield from map(self._result, clips, batch[i : i + together])

    def _detector(self) -> KeyFrameDetector:
        # torch and the networks are loaded where faces are made, not where a run is planned.
        from pipeline.faces.keyframes import KeyFrameDetector
        from pipeline.faces.mtcnn import Detector
        from pipeline.faces.mtcnn_networks import Networks

        device = device_of(self.settings.device)
        networks = registry.load_once((WEIGHTS_ID, device), lambda: Networks.load(device))
        settings = self.settings
        cascade = Detector(networks, settings.min_face_px, settings.thresholds, settings.factor)
        return KeyFrameDetector(cascade, settings.min_iou)

    def _clip(self, inputs: ClipInputs) -> ClipFaces:
        settings, frames = self.settings, inputs.rows["frames"]
        cuts = SceneCuts(settings.cut_ratio)
        return ClipFaces(
            frames,
            windows(frames, settings.detect_every, settings.batch_frames, cuts),
            Tracker(settings.min_iou, settings.max_gap_s, settings.relink or self._by_speech),
            SearchLimit(settings.search_limit_gpx, inputs.clip.video or ""),
        )

    def _speech(self, clip: Clip, tracks: Sequence[Track]) -> tuple[list[float] | None, str]:
        """That of each track, and where there is none, why."""
        if not self._by_speech:
            return None, ""
        try:
            speech, why = speech_of(tracks, Level.of(clip)), "nothing is heard, or nothing moves"
        except ClipError as error:
            speech, why = None, str(error)
        return speech, "" if speech else f"the largest face is followed: {why}"

    def _result(self, clip: ClipFaces, inputs: ClipInputs) -> ClipResult:
        if clip.error is not None:
            return ClipResult.of(clip.error)
        if not clip.tracker.tracks:
            return ClipResult.missing(f"no face in {clip.without_face} frames")
        speech, unheard = self._speech(inputs.clip, clip.tracker.tracks)
        choice = choose(clip.tracker.tracks, self.settings.relink, speech)
        seen = choice.faces
        sampled = [seen[i] for i in sample_indices(len(seen), self.steps)]
        faces, augmented = self.settings.augment.of(sampled, inputs.clip.id)
        quality = Quality.of(
            faces,
            mean_probability=float(np.mean([face.probability for face in seen])),
            coverage=len(seen) / (clip.with_face + clip.without_face),
            runner_up=choice.runner_up,
            damaged=clip.frames.damaged,
        )
        rows = {
            "images": [face.image for face in faces],
            "boxes": [face.box for face in faces],
            "landmarks": [face.landmarks for face in faces],
            "probabilities": [face.probability for face in faces],
            "times": [face.time_s for face in faces],
            "begins_s": clip.frames.begins_s,
            "frames_with_face": clip.with_face,
            "frames_without_face": clip.without_face,
            "tracks": len(choice.tracks),
            "track_frames": len(seen),
            "track_span": (seen[0].time_s, seen[-1].time_s),
            "track_table": choice.summary(),
            "cuts": len(clip.tracker.cuts_s),
            "cut_times": clip.tracker.cuts_s,
            "speech": np.full(len(choice.tracks), np.nan) if speech is None else speech,
            **vars(quality),
            **augmented,
        }
        typed = {name: np.array(rows[name], field.dtype) for name, field in self.writes().items()}
        doubt = quality.doubt(self.settings.doubt, speech is not None)
        note = "; ".join(filter(None, (clip.frames.note, unheard)))
        return ClipResult.ok(typed, len(faces), note, doubt)


def _weights_folder() -> Path:
    """Where facenet-pytorch's own weights are, without importing it."""
    spec = find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise UserError("facenet-pytorch is not installed: `pip install facenet-pytorch==2.5.3`")
    return Path(spec.origin).parent / "data"
