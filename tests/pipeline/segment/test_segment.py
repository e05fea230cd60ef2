"""From long files to a manifest of utterances, and back from a person's corrections."""

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import dataset, media
from pipeline.encoders.whisper_words import Word, _words
from pipeline.media.waveform import RATE_HZ, resampled
from pipeline.segment.segment import Utterance, segment
from pipeline.segment.turns import Turn, changes_s, speaker_in
from pipeline.segment.utterances import Cutting, utterances
from pipeline.segment.voice import WINDOW_S, voice
from tests.support.browser import Browser
from tests.support.paths import SHARED

TALKING = SHARED / "talking_a.mp4"
needs_real = pytest.mark.skipif(not TALKING.exists(), reason="the real clips are not here")


def certain(*stretches: tuple[float, float], seconds: float = 60.0) -> np.ndarray:
    """A detector that is sure of speech from when to when, in seconds."""
    sure = np.zeros(round(seconds / WINDOW_S), np.float32)
    for start_s, end_s in stretches:
        sure[round(start_s / WINDOW_S) : round(end_s / WINDOW_S)] = 0.9
    return sure


def spans(sure: np.ndarray, *ends_s: float, **cutting: float) -> list[tuple[float, float]]:
    found = utterances(sure, Cutting(**cutting), ends_s)
    return [(round(one.start_s, 1), round(one.end_s, 1)) for one in found]


def test_speech_is_cut_at_pauses_and_keeps_a_margin() -> None:
    sure = certain((1, 3), (3.3, 5), (6, 9), (12, 12.1))  # a short pause, a long one, a click
    assert spans(sure) == [(0.9, 5.1), (5.9, 9.1)]
    assert spans(sure, pause_s=0.2) == [(0.9, 3.1), (3.2, 5.1), (5.9, 9.1)]
    assert utterances(sure, Cutting())[0].voice == pytest.approx(0.9)


def test_speech_that_goes_on_is_cut_where_it_is_least_sure() -> None:
    sure = certain((0, 39.5))
    for time_s in (11, 25):
        sure[round(time_s / WINDOW_S) + np.arange(-3, 4)] = 0.4
    assert spans(sure) == [(0, 11.0), (11.0, 25.0), (25.0, 39.6)]


def test_sentences_end_utterances_but_no_short_ones() -> None:
    assert spans(certain((0, 12)), 4.0, 4.4, 11.5) == [(0, 4.0), (4.0, 12.1)]


def test_a_short_utterance_is_widened_or_joined_and_none_overlaps() -> None:
    assert spans(certain((10, 10.4))) == [(9.7, 10.7)]
    assert spans(certain((10, 10.3), (10.9, 14))) == [(9.6, 10.6), (10.8, 14.1)]
    assert spans(certain((0, 0.4))) == [(0, 1.0)]
    assert spans(certain((0, 0.3), (0.85, 5))) == [(0, 5.1)]
    assert spans(certain((0, 0.3), (0.85, 15.7))) == [(0.8, 15.8)]


@pytest.mark.parametrize("seed", range(5))
def test_every_utterance_is_as_long_as_it_may_be_and_begins_after_the_last(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bounds = np.cumsum(rng.exponential(2.0, 80))
    pairs = [(float(a), float(b)) for a, b in bounds.reshape(-1, 2)]
    sure = certain(*pairs, seconds=float(bounds[-1]) + 1)
    sure *= rng.uniform(0.7, 1.1, len(sure)).astype(np.float32)
    found = utterances(sure, Cutting(), bounds[::7].tolist())
    assert len(found) > 10
    last_s = 0.0
    for one in found:
        assert one.start_s >= last_s - 1e-6
        assert 0.95 <= one.seconds <= 15.05
        last_s = one.end_s


@needs_real
def test_the_detector_is_silero_vads() -> None:
    import torch
    from silero_vad.utils_vad import OnnxWrapper

    from pipeline.segment.voice import FILE, WINDOW

    heard = media.load_audio(str(TALKING))
    samples = resampled(heard.samples.mean(axis=0), heard.rate_hz)[: 100 * WINDOW]
    spec = find_spec("silero_vad")
    assert spec
    assert spec.origin
    theirs = OnnxWrapper(str(Path(spec.origin).parent / "data" / FILE), force_onnx_cpu=True)
    windows = torch.from_numpy(samples).split(WINDOW)
    wanted = [float(theirs(window[None], RATE_HZ)) for window in windows]
    np.testing.assert_allclose(voice(samples), wanted, atol=1e-6)


def test_tokens_become_words_with_their_times() -> None:
    vocabulary = ["", " Good", " mor", "ning", ".", " 你", "好", "\N{REPLACEMENT CHARACTER}"]

    def text_of(ids: np.ndarray) -> list[str]:
        return ["".join(vocabulary[i] for i in row) for row in ids]

    ids, times = np.array([1, 2, 3, 4, 5, 6, 0]), np.array([0, 0.4, 0.7, 0.9, 1.2, 1.5, 1.8])
    found = list(_words(text_of, ids, times, [0.0] * 7, ends_s=1.7))
    assert [(w.text, w.start_s, w.end_s) for w in found] == [
        (" Good", 0, 0.4),
        (" morning.", 0.4, 1.2),
        (" 你", 1.2, 1.5),
        ("好", 1.5, 1.7),
    ]
    assert [word.ends_sentence for word in found] == [False, True, False, False]


@needs_real
def test_words_go_to_the_utterance_that_they_are_in() -> None:
    def hears(sound: np.ndarray) -> list[Word]:
        seconds = len(sound) / RATE_HZ
        cut_s = min(2.5, seconds / 2)
        return [Word(" One.", 0.1, cut_s, 0.25), Word(" Two", cut_s, seconds, 1.0)]

    found = segment(str(TALKING), hears=hears)
    assert [one.text for one in found][:2] == ["One.", "Two"]
    assert [one.sure for one in found][:2] == [0.25, 1.0]
    assert all(1 <= one.end_s - one.start_s <= 15 for one in found)


class Talks:
    """A folder with a long file of real speech, of which a quarter of a minute is silent."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "talks.csv"
        heard = media.load_audio(str(TALKING))
        mono = resampled(heard.samples.mean(axis=0), heard.rate_hz)
        gap = np.zeros(RATE_HZ * 3, np.float32)
        self.file = folder / "evening.wav"
        soundfile.write(self.file, np.concatenate([mono, gap, mono]), RATE_HZ)

    def smp(self, *options: str) -> Result:
        return CliRunner().invoke(
            main, ["segment", str(self.file), "--out", str(self.out), *options]
        )

    def rows(self) -> list[dict[str, str]]:
        with self.out.open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def corrected(self, *lines: str) -> None:
        path = self.folder / "talks.corrections.csv"
        path.write_text("\n".join(["id,keep,start,end,text", *lines]) + "\n", encoding="utf-8")


@pytest.fixture
def talks(tmp_path: Path) -> Talks:
    return Talks(tmp_path)


@needs_real
def test_a_long_file_becomes_a_manifest_of_spans(talks: Talks) -> None:
    done = talks.smp()
    assert done.exit_code == 0, done.output
    clips = dataset.load(talks.out).clips
    assert len(clips) >= 2
    assert {clip.audio for clip in clips} == {str(talks.file)}
    assert all(1 <= c.span.end_s - c.span.start_s <= 15 for c in clips)
    assert not any(8.6 < clip.span.start_s < 10.5 for clip in clips)  # silence
    assert clips[0].id.startswith("evening/0000.")


@needs_real
def test_what_was_looked_at_is_not_looked_at_again(
    talks: Talks, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks.smp()
    before = talks.out.read_bytes()
    calls: list[str] = []

    def looked(path: str, *given: Any) -> list[Utterance]:
        calls.append(path)
        return segment(path, *given)

    monkeypatch.setattr("pipeline.segment.run.segment", looked)
    assert talks.smp().exit_code == 0
    assert not calls
    assert talks.out.read_bytes() == before
    talks.smp("--pause", "0.2")
    assert len(calls) == 1


@needs_real
def test_an_utterance_ends_where_another_begins_to_speak_and_says_who_does(talks: Talks) -> None:
    folder = talks.folder / "turns"
    folder.mkdir()
    missing = talks.smp("--turns", str(folder))
    assert missing.exit_code == 2
    assert "evening.rttm can't be read" in missing.output
    turns = folder / "evening.rttm"
    line = "SPEAKER evening 1 {} {} <NA> <NA> {} <NA> <NA>\n"
    turns.write_text(line.format(0, 2.9, "anna") + "LEXEME x\n" + line.format(3.1, 60, "ben"))
    assert talks.smp("--turns", str(folder)).exit_code == 0
    rows = talks.rows()
    assert (rows[0]["speaker"], rows[0]["end"]) == ("anna", "3.000")
    assert {row["speaker"] for row in rows[1:]} == {"ben"}
    turns.write_text(line.format(0, 60, "anna"))
    talks.smp("--turns", str(folder))  # other turns: it is looked at again
    assert {row["speaker"] for row in talks.rows()} == {"anna"}
    talks.smp()
    assert "speaker" not in talks.rows()[0]
    turns.write_text("\nSPEAKER evening 1 3 -1 <NA> <NA> anna\n")
    bad = talks.smp("--turns", str(folder))
    assert bad.exit_code == 2
    assert "evening.rttm:2: expected SPEAKER, file, channel, start" in bad.output


def test_who_speaks_longest_says_a_span() -> None:
    turns = [Turn(0, 4, "a"), Turn(3, 6, "b"), Turn(8, 9, "a")]
    assert changes_s(turns) == [3.5, 7.0]
    assert [speaker_in(turns, *span) for span in ((0, 4.5), (3, 7), (6, 8), (7, 9))] == [
        "a", "b", "", "a",
    ]  # fmt: skip
    assert speaker_in([], 0, 1) == ""


@needs_real
def test_corrections_are_read_back_and_a_bad_one_is_told_with_its_line(talks: Talks) -> None:
    talks.smp()
    first, second, *rest = talks.rows()
    talks.corrected(
        f'{first["id"]},yes,0.25,2.5,"Well, ""yes""."', f"{second['id']},no,,,", "gone/1,no,,,"
    )
    done = talks.smp()
    assert "1 dropped" in done.output
    assert "1 correction of utterances that no longer exist: gone/1" in done.output
    now = talks.rows()
    assert [row["id"] for row in now] == [first["id"], *(row["id"] for row in rest)]
    assert (now[0]["start"], now[0]["end"], now[0]["text"]) == ("0.25", "2.5", 'Well, "yes".')
    talks.corrected(f"{first['id']},yes,3,2,")
    done = talks.smp()
    assert done.exit_code == 2
    assert "talks.corrections.csv:2: end 2 s is not after start 3 s" in done.output


@needs_real
def test_a_file_without_sound_fails_and_the_others_are_written(talks: Talks) -> None:
    (bad := talks.folder / "bad.mp4").write_bytes(b"nothing")
    done = talks.smp(str(bad))
    assert done.exit_code == 1
    assert f"{bad}: sound can't be opened" in done.output
    assert len(talks.rows()) >= 2


@needs_real
def test_a_transcript_by_random_weights_is_said_to_be_one(talks: Talks) -> None:
    done = talks.smp("--asr", "random")
    assert done.exit_code == 0, done.output
    assert "random weights in --asr" in done.output
    assert all(row["text"] and 0 < float(row["confidence"]) <= 1 for row in talks.rows())


@needs_real
def test_a_person_corrects_a_row_on_the_page_and_saves_it(talks: Talks, browser: Browser) -> None:
    talks.smp()
    browser.open(talks.folder / "talks.html")
    assert browser.console() == []
    assert browser.overflow_px() <= 0
    saved = browser.script(
        """
        const row = document.querySelector(".spans li");
        row.querySelector("textarea").value = 'Well, "yes"';
        row.dispatchEvent(new Event("input"));
        const last = [...document.querySelectorAll(".spans li")].at(-1);
        last.querySelector("[type=checkbox]").click();
        let text = null;
        URL.createObjectURL = (blob) => { window.blob = blob; return "about:blank#"; };
        HTMLAnchorElement.prototype.click = () => {};
        document.getElementById("save").click();
        return document.getElementById("count").textContent;
        """
    )
    assert saved == "2 saved"
    text = browser.driver.execute_async_script("window.blob.text().then(arguments[0])")
    head, first, last = text.splitlines()
    assert head == "id,keep,start,end,text"
    assert first.endswith(',"Well, ""yes"""')
    assert ",no," in last
    (talks.folder / "talks.corrections.csv").write_text(text, encoding="utf-8")
    assert "1 dropped" in talks.smp().output
    assert talks.rows()[0]["text"] == 'Well, "yes"'


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x.wav", np.zeros(100), RATE_HZ)
    files = [str(tmp_path / folder / "x.wav") for folder in ("a", "b")]
    done = CliRunner().invoke(main, ["segment", *files, "--out", str(tmp_path / "o.csv")])
    assert done.exit_code == 2
    assert "have one name" in done.output
