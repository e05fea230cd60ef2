"""`sampling: words`: a step is the mean of what belongs to a word, by plain numpy, up to MMSA."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from model.data.samples import load_samples
from pipeline import open_cache
from pipeline.dag.spec import Stages
from pipeline.dataset.clip import Clip
from pipeline.encoders.segment import spoken as spoken_words
from pipeline.errors import UserError
from pipeline.extractors.action_units import ActionUnits
from pipeline.extractors.bert import Bert
from pipeline.extractors.image_encoder import ImageEncoder
from pipeline.extractors.mfcc import Mfcc
from pipeline.extractors.openface import Openface
from pipeline.extractors.opensmile import Opensmile
from pipeline.extractors.prosody import Prosody
from pipeline.extractors.resnet18 import Resnet18
from pipeline.extractors.tencent import Tencent
from pipeline.extractors.wav2vec2 import Wav2vec2
from pipeline.media import Frames
from pipeline.media.waveform import RATE_HZ
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs
from pipeline.stage.steps import sample_indices
from tests.conftest import Transcripts
from tests.support import text_encoders
from tests.support.aligned_faces import clips_of
from tests.support.bad_media.making import LAUGHS, MAN, filmed, good
from tests.support.commands import smp
from tests.support.openface_program import feature_extraction

RANDOM = {"weights": "random", "device": "cpu"}
TEXT = "It wasn’t unbelievably good, was it?"
TIMES = np.array([[0.1, 0.32], [0.32, 0.5], [0.5, 1.4], [1.4, 1.405], [1.41, 1.6], [1.7, 1.95]])
LATE_S = 0.25
EVERY = 10_000  # steps: more than there are rows


def inputs(**rows: Any) -> ClipInputs:
    samples = np.random.default_rng(0).integers(-9000, 9000, 2 * RATE_HZ, np.int16)
    places = np.array(spoken_words(TEXT), np.int32)
    given = {
        "samples": samples, "late_s": np.float64(LATE_S),
        "word_times": TIMES, "word_places": places, **rows,
    }  # fmt: skip
    return ClipInputs(Clip("a", text=TEXT), given)


def features(kind: type[Extractor], given: ClipInputs, steps: int, **settings: Any) -> np.ndarray:
    extractor = kind(kind.Settings.model_validate(settings), steps)
    [result] = extractor.extract([given])
    assert result.state == "ok"
    return np.asarray(result.rows["features"])


def literal(rows: np.ndarray, at_s: np.ndarray, words: np.ndarray = TIMES) -> np.ndarray:
    """The mean of the rows within each word, or the row nearest to its middle."""
    found = []
    for start, end in words:
        own = [row for row, at in zip(rows, at_s, strict=True) if start <= at < end]
        nearest = rows[np.argmin(np.abs(at_s - (start + end) / 2))]
        found.append(np.mean(own, axis=0, dtype=np.float64) if own else nearest)
    return np.array(found)


def of_sound(every: np.ndarray, kind: type[Extractor]) -> np.ndarray:
    if kind is Mfcc:
        return np.arange(len(every)) * 0.01 + 0.0125 + LATE_S
    if kind is Prosody:
        return np.arange(len(every)) * 512 / 22_050 + LATE_S
    return (np.arange(len(every)) + 0.5) * 2.0 / len(every) + LATE_S


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Mfcc, {}),
        (Wav2vec2, RANDOM),
        pytest.param(Prosody, {"groups": ["mfcc"]}, marks=pytest.mark.slow),
        (Opensmile, {"level": "lld"}),
    ],
)
def test_sound_is_averaged_over_the_rows_whose_middle_is_in_the_word(
    kind: type[Extractor], settings: Mapping[str, Any]
) -> None:
    for module in kind.requires:
        pytest.importorskip(module)
    every = features(kind, inputs(), EVERY, **settings)
    assert len(every) > 80
    found = features(kind, inputs(), 32, sampling="words", **settings)
    expected = literal(every, of_sound(every, kind))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Resnet18, {**RANDOM, "input_px": 64}),
        (ImageEncoder, RANDOM),
        pytest.param(ActionUnits, {**RANDOM, "backend": "multitask"}, marks=pytest.mark.slow),
    ],
)
def test_pictures_are_averaged_over_the_faces_seen_in_the_word(
    kind: type[Extractor], settings: Mapping[str, Any]
) -> None:
    given = clips_of(9)[0]
    times = np.linspace(0.0, 1.6, 9)  # none of the fourth word
    if kind is not ActionUnits:
        given = replace(given, rows={**given.rows, "times": times})
    else:  # which looks for its frames by their times
        times = given.rows["times"]
    words = TIMES * times[-1] / 1.6
    by_word = replace(given, rows={**given.rows, "word_times": words})
    every = features(kind, given, 32, **settings)
    found = features(kind, by_word, 32, sampling="words", **settings)
    np.testing.assert_allclose(found, literal(every, times, words), rtol=1e-5, atol=1e-6)


def test_openface_is_averaged_over_the_frames_seen_in_the_word(tmp_path: Path) -> None:
    reds = range(10, 210, 10)
    pictures = [(n / 10, np.full((8, 8, 3), red, np.uint8)) for n, red in enumerate(reds)]
    given = ClipInputs(Clip("a"), {"frames": Frames.of(pictures), "word_times": TIMES})
    settings = {"binary": str(feature_extraction(tmp_path)), "groups": ["pose"]}
    every = features(Openface, given, EVERY, **settings)
    found = features(Openface, given, 32, sampling="words", **settings)
    np.testing.assert_allclose(found, literal(every, np.arange(20) / 10), rtol=1e-5)


def test_functionals_are_no_rows_to_average() -> None:
    with pytest.raises(ValueError, match="`sampling: words` needs level lld"):
        Opensmile.Settings.model_validate({"sampling": "words"})


def small_bert(tmp_path: Path) -> dict[str, Any]:
    return {"weights": str(text_encoders.FAMILIES["BERT"].save(tmp_path / "bert")), "device": "cpu"}


def small_roberta(tmp_path: Path) -> dict[str, Any]:
    folder = text_encoders.FAMILIES["RoBERTa"].save(tmp_path / "roberta")
    return {"weights": str(folder), "device": "cpu"}


@pytest.mark.parametrize("weights", [small_bert, small_roberta])
def test_text_is_averaged_over_the_words_own_tokens(
    tmp_path: Path, weights: Callable[[Path], dict[str, Any]]
) -> None:
    from transformers import AutoTokenizer

    settings = weights(tmp_path)
    every = features(Bert, inputs(), EVERY, **settings)
    tokenizer = AutoTokenizer.from_pretrained(settings["weights"])
    offsets = tokenizer(TEXT, return_offsets_mapping=True)["offset_mapping"]
    assert len(offsets) == len(every)
    expected = []
    for start, stop in spoken_words(TEXT):
        own = [i for i, (a, b) in enumerate(offsets) if a < b and a < stop and b > start]
        assert own
        expected.append(every[own].mean(axis=0, dtype=np.float64))
    found = features(Bert, inputs(), 32, sampling="words", **settings)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_words_beyond_what_the_network_reads_are_zero(tmp_path: Path) -> None:
    text = "good " * 70  # of 64 tokens at most
    places = np.array(spoken_words(text), np.int32)
    given = replace(inputs(word_places=places), clip=Clip("a", text=text))
    found = features(Bert, given, 70, sampling="words", **small_bert(tmp_path))
    assert found.shape[0] == 70
    assert found[:62].any(axis=1).all()
    assert not found[62:].any()


def test_random_weights_hash_the_words_own_letters_wherever_they_stand() -> None:
    """Their splitting changes the text; its places are those in the text as it was."""
    text = "Très  BON,我喜欢"
    places = np.array(spoken_words(text), np.int32)
    given = replace(inputs(word_places=places), clip=Clip("a", text=text))
    every = features(Bert, given, EVERY, **RANDOM)  # [CLS] tres bon , 我 喜 欢 [SEP]
    found = features(Bert, given, 32, sampling="words", **RANDOM)
    np.testing.assert_allclose(found, every[[1, 2, 4, 5, 6]], rtol=1e-6)


def test_static_vectors_are_those_of_the_aligned_words() -> None:
    found = features(Tencent, inputs(), 32, sampling="words", weights="random")
    words = [TEXT[start:stop] for start, stop in spoken_words(TEXT)]
    for row, word in zip(found, words, strict=True):
        alone = replace(inputs(), clip=Clip("a", text=word))
        np.testing.assert_array_equal(row, features(Tencent, alone, 32, weights="random")[0])


def test_of_more_words_than_steps_evenly_spaced_ones_stay() -> None:
    many = np.stack([np.arange(40) * 0.05, np.arange(1, 41) * 0.05], axis=1)
    every = features(Mfcc, inputs(word_times=many), EVERY, sampling="words")
    some = features(Mfcc, inputs(word_times=many), 32, sampling="words")
    assert (len(every), len(some)) == (40, 32)
    np.testing.assert_array_equal(some, every[sample_indices(40, 32)])


def test_a_stage_of_words_without_the_alignment_is_told_before_anything_runs() -> None:
    stages = {"audio": {}, "mfcc": {"needs": "audio", "sampling": "words"}}
    with pytest.raises(UserError, match="'mfcc' takes 'word_times', which none of the stages"):
        Stages({"stages": stages})


TEXTS = ("It was unbelievably good", "no", "I liked this film, really")
WORDS = {"train": 4, "valid": 1, "test": 5}
BY_WORD = {"sampling": "words"}


@pytest.fixture
def talks(transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch) -> Transcripts:
    """Three real clips through stages whose steps are words, and an MFCC whose are not."""
    monkeypatch.chdir(transcripts.folder.parent)
    transcripts.texts(TEXTS)
    for number in range(3):
        path = transcripts.folder / f"Raw/v/{number:04d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        good(lambda cut=(LAUGHS, MAN)[number % 2]: filmed(cut)[:25])(path)  # type: ignore[misc]
    stages: dict[str, dict[str, Any]] = {
        "frames": {},
        "faces": {"needs": "frames", "device": "cpu"},
        "audio": {},
        "alignment": {"needs": "audio", **RANDOM},
        "resnet18": {"needs": ["faces", "alignment"], "input_px": 32, **RANDOM, **BY_WORD},
        "mfcc": {"needs": ["audio", "alignment"], **BY_WORD},
        "wav2vec2": {"needs": ["audio", "alignment"], **RANDOM, **BY_WORD},
        "bert": {"needs": "alignment", **RANDOM, **BY_WORD},
        "mfcc_even": {"extractor": "mfcc", "needs": "audio"},
    }
    transcripts.stages_file.write_text(yaml.safe_dump({"steps": 50, "stages": stages}))
    smp("extract", "talks", "--stages", transcripts.stages_file, "--serial")
    return transcripts


@pytest.mark.slow
def test_clips_go_to_mmsas_aligned_files_and_come_back(talks: Transcripts) -> None:
    cache = open_cache(talks.cache_url)
    stages = ("resnet18", "mfcc", "wav2vec2", "bert")
    assert {tuple(cache[name].lengths) for name in stages} == {(4, 1, 5)}
    done = smp("export", "talks", "out.pkl", "--format", "mmsa", "--visual", "resnet18")
    assert "steps are words" in done.output
    content = pickle.loads(Path("out.pkl").read_bytes())
    for name, split in content.items():
        assert {split[m].shape[:2] for m in ("vision", "audio", "text")} == {(1, 50)}
        assert not {"audio_lengths", "vision_lengths"} & split.keys()
        real = [np.flatnonzero(split[m][0].any(axis=1)) for m in ("vision", "audio", "text")]
        assert all(rows.tolist() == list(range(WORDS[name])) for rows in real)
    smp("import", "out.pkl", "--name", "back")
    back = open_cache("cache/back")
    for field, stage in (("vision", "resnet18"), ("text", "bert")):
        was, now = cache[stage], back[field]
        assert now.lengths.tolist() == was.lengths.tolist()
        np.testing.assert_array_equal(now.read()[:, :5], was.read()[:, :5])

    even = {"text": ["bert"], "visual": [], "audio": ["mfcc_even", "mfcc"]}
    with pytest.raises(UserError, match="'mfcc' are words, those of 'mfcc_even' not"):
        load_samples(cache, chosen=even)

    smp("inspect", "talks", "v/0002", "--output", "page.html")
    html = Path("page.html").read_text()
    assert "Words over time" in html
    assert html.count("<title>really</title>") == 1
