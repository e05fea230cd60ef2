"""Word times, against plain calls of transformers on small checkpoints in the hub's layout."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import open_cache
from pipeline.dataset.clip import Clip
from pipeline.encoders import ctc
from pipeline.encoders.ctc_path import BLANK, best_path
from pipeline.errors import UserError
from pipeline.extractors.alignment import Alignment
from pipeline.media.waveform import RATE_HZ
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.transcript import written
from tests.conftest import Transcripts
from tests.support import ctc_checkpoints
from tests.support.ctc_checkpoints import CHINESE, ENGLISH, SPECIAL
from tests.support.text_encoders import FORMATS

CPU = {"device": "cpu"}


def sound(seconds: float = 2.0) -> np.ndarray:
    return np.random.default_rng(0).integers(-9000, 9000, round(seconds * RATE_HZ), np.int16)


def said(text: str, samples: np.ndarray | None = None, late_s: float = 0.0) -> ClipInputs:
    samples = sound() if samples is None else samples
    return ClipInputs(Clip("a", text=text), {"samples": samples, "late_s": np.float64(late_s)})


def aligned(*batch: ClipInputs, **settings: Any) -> list[ClipResult]:
    made = Alignment.Settings.model_validate({"weights": "random", **CPU, **settings})
    return list(Alignment(made).extract(batch))


def words_of(rows: Mapping[str, np.ndarray]) -> list[str]:
    return rows["words"].tobytes().decode().split("\n")


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ctc_checkpoints.save(tmp_path_factory.mktemp("weights") / "english")


@pytest.mark.parametrize("as_format", FORMATS)
@pytest.mark.parametrize(
    ("kind", "large"),
    [("Wav2Vec2ForCTC", False), ("Wav2Vec2ForCTC", True), ("HubertForCTC", True)],
)
def test_what_is_heard_is_what_transformers_gives(
    tmp_path: Path, kind: str, large: bool, as_format: str
) -> None:
    folder = ctc_checkpoints.save(tmp_path / "net", ENGLISH, as_format, kind, large)
    weights = Alignment(Alignment.Settings(weights=str(folder))).weights()
    [found] = ctc.loaded(weights, "cpu").log_probs([sound(1.0)], RATE_HZ * 60, 1)
    np.testing.assert_allclose(
        found, ctc_checkpoints.plain_log_probs(folder, sound(1.0)), atol=1e-4
    )


def literal(log_probs: np.ndarray, spelled: Sequence[str]) -> list[tuple[float, float]]:
    """Word times by the path of all letters, `|` between words, word by word."""
    letters = "|".join(spelled)
    tokens = [SPECIAL.index("|") if c == "|" else len(SPECIAL) + ENGLISH.index(c) for c in letters]
    path = best_path(log_probs, tokens, 0).tolist()
    frame_s = 2.0 / len(log_probs)
    times, first = [], 0
    for word in spelled:
        own = [t for t, at in enumerate(path) if at != BLANK and first <= at < first + len(word)]
        times.append((own[0] * frame_s, (own[-1] + 1) * frame_s))
        first += len(word) + 1
    return times


def test_words_have_their_letters_times_whatever_their_case_and_marks(english: Path) -> None:
    text = "Well - it wasn’t GOOD, café!"
    [result] = aligned(said(text, late_s=0.25), weights=str(english))
    assert words_of(result.rows) == ["Well", "it", "wasn’t", "GOOD", "café"]
    places = result.rows["word_places"].tolist()
    assert [text[a:b] for a, b in places] == words_of(result.rows)
    log_probs = ctc_checkpoints.plain_log_probs(english, sound())
    expected = np.array(literal(log_probs, ["WELL", "IT", "WASN'T", "GOOD", "CAFE"])) + 0.25
    np.testing.assert_allclose(result.rows["word_times"], expected, atol=1e-9)
    assert (result.rows["confidence"] > 0).all()
    np.testing.assert_allclose(result.rows["score"], result.rows["confidence"].mean(), rtol=1e-6)


def test_a_number_is_no_letters_and_lies_between_its_neighbours(english: Path) -> None:
    [result] = aligned(said("in 2019 it"), weights=str(english))
    before, number, after = result.rows["word_times"].tolist()
    assert before[1] <= number[0] < number[1] <= after[0]
    assert result.rows["confidence"][1] == 0


def test_each_chinese_character_is_a_word(tmp_path: Path) -> None:
    folder = ctc_checkpoints.save(tmp_path / "chinese", CHINESE)
    [result] = aligned(said("我很喜欢, 电影。"), weights=str(folder))
    assert words_of(result.rows) == list("我很喜欢电影")
    assert (np.diff(result.rows["word_times"].reshape(-1)) >= 0).all()


def test_what_a_whisper_heard_is_aligned_where_there_is_no_transcript(english: Path) -> None:
    given = said("")
    heard = ClipInputs(given.clip, {**given.rows, "transcript": written("so it was")})
    [result] = aligned(heard, weights=str(english))
    assert words_of(result.rows) == ["so", "it", "was"]


@pytest.mark.parametrize(
    ("text", "seconds", "state", "reason"),
    [
        ("", 2, "missing", "empty text"),
        ("… !", 2, "missing", "no words in the text"),
        ("电影", 2, "failed", "these weights know no letter of its 2 words"),
        ("word " * 9, 0.5, "failed", "the sound is too short for its text: 24 frames, at least 44"),
    ],
)
def test_what_can_not_be_aligned_is_told(
    english: Path, text: str, seconds: float, state: str, reason: str
) -> None:
    [result] = aligned(said(text, sound(seconds)), weights=str(english))
    assert (result.state, result.length) == (state, 0)
    assert reason in result.reason


def test_a_poor_fit_is_doubtful_by_a_level_that_costs_nothing(english: Path) -> None:
    [poor] = aligned(said("it was"), weights=str(english))
    [good] = aligned(said("it was"), weights=str(english), doubt=0.0)
    assert "the words fit the sound badly: score 0." in poor.doubt
    assert good.doubt == ""
    assert "doubt" in Alignment.Settings.marked("runtime")


def test_sound_longer_than_a_window_is_aligned_as_a_whole(tmp_path: Path) -> None:
    folder = ctc_checkpoints.save(tmp_path / "net", large=True)
    text = "so it was and so it is"
    [whole] = aligned(said(text, sound(4)), weights=str(folder))
    [split] = aligned(said(text, sound(4)), weights=str(folder), window_s=1)
    assert split.rows["word_times"].shape == whole.rows["word_times"].shape == (7, 2)
    assert split.rows["word_times"][-1, 1] <= 4


def test_a_vocabulary_of_another_network_is_refused(tmp_path: Path) -> None:
    folder = ctc_checkpoints.save(tmp_path / "net")
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "a": 1, "b": 99}))
    with pytest.raises(UserError, match=r"vocab\.json, with 2 letters, does not fit a network"):
        aligned(said("a b"), weights=str(folder))


def test_a_folder_without_a_vocabulary_names_what_it_lacks(tmp_path: Path) -> None:
    folder = ctc_checkpoints.save(tmp_path / "net")
    (folder / "vocab.json").unlink()
    with pytest.raises(UserError, match=r"lacks letters \(vocab\.json\)"):
        aligned(said("a"), weights=str(folder))


def test_clips_without_sound_are_missing_with_the_reason_upstream(transcripts: Transcripts) -> None:
    transcripts.texts(["so it was", "no"])
    transcripts.stages(
        letters={"extractor": "tests.support.toys.letters"},
        audio={},
        alignment={"needs": "audio", "weights": "random", **CPU},
    )
    transcripts.extract()
    stage = open_cache(transcripts.cache_url)["alignment"]
    assert stage.states.tolist() == ["missing", "missing"]
    assert stage.reasons == ["audio: no media"] * 2
