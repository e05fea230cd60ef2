"""Every extractor, ours and the tests' own, meets the same contract."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.dag.stage import built_in
from pipeline.dataset.clip import Clip
from pipeline.extractors.action_units import ActionUnits
from pipeline.extractors.asr import Asr
from pipeline.extractors.audio import Audio
from pipeline.extractors.bert import Bert
from pipeline.extractors.face_signals import FaceSignals
from pipeline.extractors.faces import Faces
from pipeline.extractors.frames import Frames
from pipeline.extractors.image_encoder import ImageEncoder
from pipeline.extractors.mfcc import Mfcc
from pipeline.extractors.openface import Openface
from pipeline.extractors.opensmile import Opensmile
from pipeline.extractors.prosody import Prosody
from pipeline.extractors.resnet18 import Resnet18
from pipeline.extractors.tencent import Tencent
from pipeline.extractors.wav2vec2 import Wav2vec2
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs
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


class TestImageEncoder(OfFaces):
    def extractor(self) -> Extractor:
        return ImageEncoder(ImageEncoder.Settings(**RANDOM))


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


class TestMfcc(OfSound):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return Mfcc(Mfcc.Settings())


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


class TestProsody(OfSound):
    rtol = atol = 0

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("librosa")

    def extractor(self) -> Extractor:
        return Prosody(Prosody.Settings())


class TestWav2vec2(OfSound):
    def extractor(self) -> Extractor:
        return Wav2vec2(Wav2vec2.Settings(**RANDOM))


class TestAsr(OfSound):
    def extractor(self) -> Extractor:
        return Asr(Asr.Settings(**RANDOM))


class TestBert(OfText):
    def extractor(self) -> Extractor:
        return Bert(Bert.Settings(**RANDOM))


class TestTencent(OfText):
    rtol = atol = 0

    def extractor(self) -> Extractor:
        return Tencent(Tencent.Settings(weights="random"))


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


def test_no_extractor_is_left_out() -> None:
    tested = {name.removeprefix("Test").lower() for name in globals() if name.startswith("Test")}
    assert {name.replace("_", "") for name in built_in()} <= tested
