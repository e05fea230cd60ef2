"""When each word of a clip's transcript is said, by aligning its letters to the sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field as PydanticField

from pipeline.encoders import ctc
from pipeline.encoders.ctc_path import word_spans
from pipeline.encoders.segment import spoken
from pipeline.errors import ClipError, MissingModalityError
from pipeline.media.waveform import RATE_HZ
from pipeline.stage.about import About
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import SAMPLES, Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime
from pipeline.stage.transcript import TRANSCRIPT, text_of, whole_characters, written
from pipeline.stage.words import OF_SOUND, WORD_PLACES, WORD_TIMES
from pipeline.system.device import Device, device_of
from pipeline.weights.repository import SPEECH_TO_LETTERS
from pipeline.weights.resolve import Weights, find


class Alignment(Extractor):
    """Forced alignment: the most probable way of a text's letters through what a network hears.

    It has a CTC head: a Wav2Vec2 that was trained to write down speech, or one of its kin. Rows:
    `words`, one a line; `word_times`, start and end in s, zero being the first picture shown;
    `word_places`, where in the text; `confidence`, the mean probability of a word's letters in
    their frames, which are 20 ms apart; `score`, the mean of those over the clip. A word lasts from
    the first frame of its first letter through the last one of its last.

    Words are letters and digits, with apostrophes and hyphens within; a Chinese character is a word
    of its own; marks are none. Case and accents are adapted to the weights' letters; numbers are
    not spelled out. What has no known letter lasts as long as its neighbours leave it, with a
    confidence of 0. Source: Graves et al. 2006; Kürzinger et al. 2020.
    """

    version = 1
    about = About(
        "Words over time",
        panel="alignment",
        licences={
            "facebook/wav2vec2-base-960h": "Apache 2.0",
            "jonatasgrosman/wav2vec2-large-xlsr-53-chinese-zh-cn": "Apache 2.0",
        },
    )
    reads = frozenset({"text"})
    takes = {"samples": SAMPLES, "late_s": OF_SOUND["late_s"]}
    may_take = {"transcript": TRANSCRIPT}
    uses_steps = False
    files = SPEECH_TO_LETTERS

    class Settings(StageSettings):
        weights: str = by_content("facebook/wav2vec2-base-960h")
        """A hub id or a folder in the hub's layout of a Wav2Vec2, HuBERT, WavLM … with a CTC head
        and vocab.json, or `random`."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        window_s: float = PydanticField(60.0, ge=1.0)
        """Longer audio is processed in windows of this many seconds, so that memory stays
        bounded; attention does not look beyond a window."""

        doubt: float = runtime(0.4, ge=0, le=1)
        """A clip with a lower `score` is doubtful; checked when it is extracted, not later."""

        batch_size: int = runtime(16, ge=1)
        """Batch size in clips, on a GPU; a CPU takes them one by one."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {
            "words": Field(("byte",), "uint8", "UTF-8, a word a line", ragged=True),
            "word_times": WORD_TIMES,
            "word_places": WORD_PLACES,
            "confidence": Field(("word",), "float32", "probability", ragged=True),
            "score": Field((), "float32", "probability"),
        }

    def weights(self) -> Weights:
        return find(self.settings.weights, self.files, self.settings.revision)

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """Clips of similar length go through the network together; those without words do not."""
        settings = self.settings
        network = ctc.loaded(self.weights(), device_of(settings.device))
        texts = [whole_characters(text_of(inputs)) for inputs in batch]
        places = [spoken(text) for text in texts]
        sounds = [inputs.rows["samples"] for inputs, p in zip(batch, places, strict=True) if p]
        window = round(settings.window_s * RATE_HZ)
        heard = iter(network.log_probs(sounds, window, settings.batch_size))
        for inputs, text, of_words in zip(batch, texts, places, strict=True):
            try:
                if not of_words:
                    raise MissingModalityError(
                        "no words in the text" if text.strip() else "empty text"
                    )
                yield self._aligned(inputs, text, of_words, next(heard), network.alphabet)
            except ClipError as error:
                yield ClipResult.of(error)

    def _aligned(
        self,
        inputs: ClipInputs,
        text: str,
        places: Sequence[tuple[int, int]],
        log_probs: np.ndarray,
        alphabet: ctc.Alphabet,
    ) -> ClipResult:
        words = [text[start:stop] for start, stop in places]
        letters = [alphabet.letters(word) for word in words]
        if not any(letters):
            raise ClipError(
                f"these weights know no letter of its {len(words)} words; name weights for this "
                "language"
            )
        ends = [0, *(stop for _, stop in places)]
        between = [text[end:start] for end, (start, _) in zip(ends, places, strict=False)]
        gaps = [alphabet.gap if any(map(str.isspace, part)) else None for part in between]
        spans, confidence = word_spans(log_probs, letters, [None, *gaps[1:]], alphabet.blank)
        frame_s = len(inputs.rows["samples"]) / RATE_HZ / len(log_probs)
        score, least = confidence.mean(), self.settings.doubt
        rows = {
            "words": written("\n".join(words)),
            "word_times": spans * frame_s + inputs.rows["late_s"],
            "word_places": np.array(places, np.int32),
            "confidence": confidence,
            "score": score,
        }
        doubt = f"the words fit the sound badly: score {score:.2f}, at least {least}"
        return ClipResult.ok(rows, 1, doubt=doubt if score < least else "")
