"""Every extractor, ours and the tests' own, meets the same contract."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.dag.stage import built_in, extractor_class
from pipeline.dataset.clip import Clip
from pipeline.extractors.action_units import ActionUnits
from pipeline.extractors.alignment import Alignment
from pipeline.extractors.audio import Audio
from pipeline.extractors.face_signals import FaceSignals
from pipeline.extractors.faces import Faces
from pipeline.extractors.frames import Frames
from pipeline.extractors.mfcc import Mfcc
from pipeline.extractors.openface import Openface
from pipeline.extractors.opensmile import Opensmile
from pipeline.extractors.resnet18 import Resnet18
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs
from pipeline.stage.settings import StageSettings
from pipeline.testing import ExtractorContract
from tests.support.aligned_faces import clips_of
from tests.support.bad_media.making import LAUGHS, MAN, filmed, good
from tests.support.openface_program import feature_extraction
from tests.support.toys.doubled import Doubled
from tests.support.toys.echoed import Echoed
from tests.support.toys.letters import Letters
from tests.support.toys.mortal import Mortal
from tests.support.toys.sizes import Sizes

RANDOM = {"weights": "random", "device": "cpu"}


def texts(*texts: str) -> list[ClipInputs]:
    return [ClipInputs(Clip(str(n), text=text)) for n, text in enumerate(texts)]


class OfText(ExtractorContract):
    def clips(self) -> list[ClipInputs]:
        return texts("it was really good", "no", "我很喜欢这个电影", "word " * 60)

    def bad_clips(self) -> list[ClipInputs]:
        return texts("", " ")


class OfSound(ExtractorContract):
    def clips(self) -> list[ClipInputs]:
        rng = np.random.default_rng(0)
        lengths = (100, 16_000, 16_000, 7_777, 40_000)
        sounds = [rng.integers(-9000, 9000, n, np.int16) for n in lengths]
        return [ClipInputs(Clip(str(n)), {"samples": s}) for n, s in enumerate(sounds)]


class OfFaces(ExtractorContract):
    def clips(self) -> list[ClipInputs]:
        return clips_of(1, 4, 2)


class OfFiles(ExtractorContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        rng = np.random.default_rng(0)
        for n, samples in enumerate((16_000, 5000)):
            soundfile.write(tmp_path / f"{n}.wav", rng.normal(0, 0.1, samples), 16_000)

    def bad_clips(self) -> list[ClipInputs]:
        nowhere = str(self.tmp_path / "nowhere.mp4")
        return [ClipInputs(Clip("bad", video=nowhere)), ClipInputs(Clip("none"))]


class TestAudio(OfFiles):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return Audio(Audio.Settings())

    def clips(self) -> list[ClipInputs]:
        files = [str(self.tmp_path / f"{n}.wav") for n in range(2)]
        return [ClipInputs(Clip(file, audio=file)) for file in files]


class TestNoisyAudio(TestAudio):
    def extractor(self) -> Extractor:
        return Audio(Audio.Settings(augment={"snr_db": 5, "noise": "pink"}))


class TestFrames(OfFiles):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return Frames(Frames.Settings())

    def clips(self) -> list[ClipInputs]:
        files = [self.tmp_path / f"{n}.mp4" for n in range(2)]
        for file, cut, n in zip(files, (LAUGHS, MAN), (5, 8), strict=True):
            if not file.exists():
                good(lambda cut=cut, n=n: filmed(cut)[:n])(file)  # type: ignore[misc]
        return [ClipInputs(Clip(file.name, video=str(file))) for file in files]


class TestFaces(TestFrames):
    def extractor(self) -> Extractor:
        return Faces(Faces.Settings(device="cpu"))

    def clips(self) -> list[ClipInputs]:
        return [_streamed(clip) for clip in super().clips()]

    def bad_clips(self) -> list[ClipInputs]:
        return [_streamed(clip) for clip in super().bad_clips()]

    def at_other_speed(self) -> StageSettings:
        # Its meaning says so: with several clips at once faces differ by rounding.
        return super().at_other_speed().model_copy(update={"batch_clips": 1})


class TestWorseFaces(TestFaces):
    def extractor(self) -> Extractor:
        worse = {"blur_px": 2, "occluded": 0.3}
        return Faces(Faces.Settings(device="cpu", augment=worse))


def _streamed(inputs: ClipInputs) -> ClipInputs:
    return ClipInputs(inputs.clip, Frames(Frames.Settings()).stream(inputs))


class TestOpenface(TestFrames):
    def extractor(self) -> Extractor:
        program = feature_extraction(self.tmp_path)
        return Openface(Openface.Settings(binary=str(program)))

    def clips(self) -> list[ClipInputs]:
        return [_streamed(clip) for clip in super().clips()]

    def bad_clips(self) -> list[ClipInputs]:
        return [_streamed(clip) for clip in super().bad_clips()]


class TestResnet18(OfFaces):
    def extractor(self) -> Extractor:
        return Resnet18(Resnet18.Settings(**RANDOM, input_px=64, batch_size=4))


class TestFaceSignals(ExtractorContract):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return FaceSignals(FaceSignals.Settings(groups=("gaze", "affect")))

    def clips(self) -> list[ClipInputs]:
        return [
            ClipInputs(Clip(str(n)), {"gaze": np.full((n, 2), n, np.float32),
                                      "affect": np.zeros((n, 2), np.float32)})
            for n in (1, 3)
        ]  # fmt: skip


@pytest.mark.parametrize("backend", ["multitask", "xgb"], scope="class")
class TestActionUnits(OfFaces):
    @pytest.fixture(autouse=True)
    def made_with(self, backend: str) -> None:
        landmarks = {} if backend == "multitask" else {"landmark_weights": "random"}
        kept = {"signals": ("gaze", "mesh")} if backend == "multitask" else {}
        self.settings = ActionUnits.Settings(**RANDOM, backend=backend, **landmarks, **kept)

    def extractor(self) -> Extractor:
        return ActionUnits(self.settings)


class TestActionUnitsOfWorseFaces(OfFaces):
    def extractor(self) -> Extractor:
        return ActionUnits(ActionUnits.Settings(**RANDOM))

    def clips(self) -> list[ClipInputs]:
        return [_worse(clip) for clip in super().clips()]


def _worse(inputs: ClipInputs) -> ClipInputs:
    """As `faces` hands a clip on that it has blurred and covered."""
    boxes = inputs.rows["boxes"]
    covers = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] * np.float32(0.9)
    blurs = np.ones(len(boxes), np.float32)
    return ClipInputs(inputs.clip, {**inputs.rows, "covers": covers, "blurs": blurs})


class TestOpensmile(OfSound):
    rtol = atol = 0

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("opensmile")

    def extractor(self) -> Extractor:
        return Opensmile(Opensmile.Settings(level="lld"))

    def clips(self) -> list[ClipInputs]:
        return super().clips()[1:]

    def bad_clips(self) -> list[ClipInputs]:
        return super().clips()[:1]  # of 6 ms


class TestAlignment(OfSound):
    def extractor(self) -> Extractor:
        return Alignment(Alignment.Settings(**RANDOM))

    def clips(self) -> list[ClipInputs]:
        said = ("", "so it was", "我很喜欢", "no 1", "it was really good")
        made = zip(said, super().clips(), strict=True)
        return [_saying(text, inputs) for text, inputs in made if text]

    def bad_clips(self) -> list[ClipInputs]:
        short, sound, *_ = super().clips()
        return [_saying("too much", short), _saying("…", sound), _saying("", sound)]


def _saying(text: str, inputs: ClipInputs) -> ClipInputs:
    return ClipInputs(Clip(inputs.clip.id, text=text), {**inputs.rows, "late_s": np.array(0.5)})


class TestMfccByWord(OfSound):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return Mfcc(Mfcc.Settings(sampling="words"))

    def clips(self) -> list[ClipInputs]:
        return _said(super().clips())


class TestResnet18ByWord(TestResnet18):
    def extractor(self) -> Extractor:
        return Resnet18(Resnet18.Settings(**RANDOM, input_px=64, batch_size=4, sampling="words"))

    def clips(self) -> list[ClipInputs]:
        return _said(super().clips())


def _said(batch: list[ClipInputs]) -> list[ClipInputs]:
    """With words: more than steps, one, none of whose time anything is heard."""
    times = [np.stack([np.arange(n), np.arange(n) + 0.5], 1) / 30 for n in (40, 1, 7, 3, 2)]
    return [
        ClipInputs(one.clip, {**one.rows, "word_times": of, "late_s": np.array(0.1)})
        for one, of in zip(batch, times, strict=False)
    ]


class TestLetters(OfText):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return Letters(Letters.Settings())

    def bad_clips(self) -> list[ClipInputs]:
        return texts("", "!fail")


class TestMortal(TestLetters):
    def extractor(self) -> Extractor:
        return Mortal(Mortal.Settings())

    def bad_clips(self) -> list[ClipInputs]:
        return []


class TestDoubled(ExtractorContract):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return Doubled(Doubled.Settings())

    def clips(self) -> list[ClipInputs]:
        letters = Letters(Letters.Settings()).extract(texts("so", "so it was"))
        return [ClipInputs(Clip(str(n)), result.rows) for n, result in enumerate(letters)]


class TestEchoed(TestDoubled):
    def extractor(self) -> Extractor:
        return Echoed(Echoed.Settings())

    def clips(self) -> list[ClipInputs]:
        rows = [{"total": np.array(n), "codes": np.arange(n, dtype=np.int32)} for n in (3, 7)]
        return [ClipInputs(Clip(str(n)), row) for n, row in enumerate(rows)]


class TestSizes(OfFiles):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return Sizes(Sizes.Settings())

    def clips(self) -> list[ClipInputs]:
        return [ClipInputs(Clip(str(n), video=str(self.tmp_path / f"{n}.wav"))) for n in range(2)]

    def bad_clips(self) -> list[ClipInputs]:
        return []  # it raises, as an extractor may: the runner tries the clips one by one


def contract_of(kind: type[Extractor]) -> type[ExtractorContract]:
    """For an extractor of the folder without a class above: by what it takes and can be set."""
    fitting = [inputs for field, inputs in OF.items() if field in {*kind.takes, *kind.reads}]
    assert fitting, f"{kind.__name__} takes what no inputs are known of: write a class for it"
    said = {key: value for key, value in RANDOM.items() if key in kind.Settings.model_fields}

    class OfKind(ExtractorContract):
        if "device" not in said:  # what computes without a network has the same bits
            rtol = atol = 0

        @pytest.fixture(autouse=True)
        def installed(self) -> None:
            for module in kind.requires:
                pytest.importorskip(module)

        def extractor(self) -> Extractor:
            return kind(kind.Settings.model_validate(said))

    made: Any = type(kind.__name__, (OfKind, fitting[0]), {})
    return made


OF = {"images": OfFaces, "samples": OfSound, "text": OfText}
for name in built_in():
    kind = extractor_class(name, name)
    if f"Test{kind.__name__}" not in globals():
        globals()[f"Test{kind.__name__}"] = contract_of(kind)


def test_every_extractor_of_the_folder_is_tested() -> None:
    kinds = [extractor_class(name, name).__name__ for name in built_in()]
    assert all(issubclass(globals()[f"Test{name}"], ExtractorContract) for name in kinds)
