"""What a Whisper hears, against plain calls, on a small checkpoint in exactly the hub's layout."""

import json
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from pipeline import open_cache
from pipeline.dataset.clip import Clip
from pipeline.encoders import whisper
from pipeline.encoders.whisper import SEARCHED, windows
from pipeline.encoders.whisper_words import words
from pipeline.errors import UserError
from pipeline.extractors.asr import Asr
from pipeline.extractors.bert import Bert
from pipeline.media.waveform import RATE_HZ
from pipeline.runner.extract import Extraction, extract
from pipeline.runner.serial import run_serially
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.transcript import read, text_of, written
from pipeline.store.cache import Cache
from pipeline.weights.repository import SPEECH_TO_TEXT
from pipeline.weights.resolve import find
from tests.support.bad_media.making import spoken

SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|translate|>",
    "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip
BYTES = sorted(ByteLevel.alphabet())
ID = {token: number for number, token in enumerate([*BYTES, *SPECIAL])}
LETTERS = {*string.ascii_lowercase, "Ġ"}  # what it may say: "Ġ" is how a space is written


def checkpoint(folder: Path, multilingual: bool = True) -> Path:
    """A small Whisper with the files that openai/whisper-small has."""
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    sizes = {"encoder_layers": 2, "decoder_layers": 2, "d_model": 32, "init_std": 0.4}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    widths = {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_target_positions": 24}
    ends = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), ID["<|endoftext|>"])
    start = {"decoder_start_token_id": ID["<|startoftranscript|>"]}
    shape = WhisperConfig(vocab_size=len(ID), **sizes, **heads, **widths, **ends, **start)
    model = WhisperForConditionalGeneration(shape)
    model.config.architectures = ["WhisperForConditionalGeneration"]
    model.config.save_pretrained(folder)
    tensors = {k: v.contiguous() for k, v in model.state_dict().items() if k != "proj_out.weight"}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    languages = {"lang_to_id": {token: ID[token] for token in ("<|en|>", "<|zh|>")}}
    tasks = {"task_to_id": {name: ID[f"<|{name}|>"] for name in ("transcribe", "translate")}}
    generation = GenerationConfig(
        max_length=448,
        is_multilingual=multilingual,
        no_timestamps_token_id=ID["<|notimestamps|>"],
        prev_sot_token_id=ID["<|startofprev|>"],
        return_timestamps=False,
        suppress_tokens=[n for token, n in ID.items() if token not in {*LETTERS, SPECIAL[0]}],
        begin_suppress_tokens=[ID["Ġ"], ID["<|endoftext|>"]],
        **ends, **start, **(languages | tasks if multilingual else {}),
    )  # fmt: skip
    generation.save_pretrained(folder)
    vocabulary = {token: ID[token] for token in [*BYTES, "<|endoftext|>"]}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[1:]})
    assert {t: tokenizer.convert_tokens_to_ids(t) for t in ID} == ID
    tokenizer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    WhisperFeatureExtractor().save_pretrained(folder)
    assert (folder / "preprocessor_config.json").exists()
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("weights") / "small-whisper")


def sounds() -> list[np.ndarray]:
    """A voice, noise, a tone and a short noise, int16."""
    rng = np.random.default_rng(0)
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    made = [
        spoken(2.0) * 0.7, rng.normal(0, 0.1, 2 * RATE_HZ), np.sin(2760 * time_s),
        rng.normal(0, 0.3, RATE_HZ // 4),
    ]  # fmt: skip
    return [(np.clip(sound, -1, 1) * 32_000).astype(np.int16) for sound in made]


def results(*batch: ClipInputs, **settings: Any) -> list[ClipResult]:
    return list(Asr(Asr.Settings(**settings)).extract(batch))


def heard(samples: list[np.ndarray], **settings: Any) -> list[str]:
    batch = [ClipInputs(Clip(str(i)), {"samples": s}) for i, s in enumerate(samples)]
    return [read(result.rows["transcript"]) for result in results(*batch, **settings)]


def plain(folder: Path, samples: np.ndarray, **task: Any) -> str:
    """As the library's own documentation calls it."""
    processor = WhisperProcessor.from_pretrained(folder)
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    given = processor(samples / np.float32(32_768), sampling_rate=RATE_HZ, return_tensors="pt")
    ids = model.generate(given.input_features, do_sample=False, max_length=24, **task)
    return str(processor.batch_decode(ids, skip_special_tokens=True)[0]).strip()


@pytest.mark.parametrize("language", ["en", "zh", None])
def test_words_are_those_of_a_plain_call(small: Path, language: str | None) -> None:
    task = {"language": language, "task": "transcribe"}
    expected = [plain(small, samples, **task) for samples in sounds()]
    assert heard(sounds(), weights=str(small), language=language) == expected
    assert all(expected)
    assert len(set(expected)) > 1, "it does listen"


@pytest.mark.parametrize("language", ["en", "zh", None])
def test_words_with_times_are_those_without_and_follow_each_other(
    small: Path, tmp_path: Path, language: str | None
) -> None:
    timed = shutil.copytree(small, tmp_path / "timed")
    told = json.loads((timed / "generation_config.json").read_text())
    (timed / "generation_config.json").write_text(
        json.dumps({**told, "alignment_heads": [[1, 0], [1, 1]]})
    )
    network = whisper.loaded(find(str(timed), SPEECH_TO_TEXT), "cpu")
    for sound, text in zip(sounds(), network.heard(sounds(), language, 1), strict=True):
        found = words(network, sound, language)
        assert "".join(word.text for word in found).strip() == text
        times = [time_s for word in found for time_s in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= len(sound) / RATE_HZ
        assert all(0 < word.sure <= 1 for word in found)


def test_a_checkpoint_that_tells_no_times_is_refused_with_the_reason(small: Path) -> None:
    network = whisper.loaded(find(str(small), SPEECH_TO_TEXT), "cpu")
    with pytest.raises(UserError, match="no `alignment_heads`"):
        words(network, sounds()[0], None)


def test_the_language_is_passed_on(small: Path) -> None:
    english, chinese = (heard(sounds(), weights=str(small), language=c) for c in ("en", "zh"))
    assert english != chinese


def test_a_checkpoint_for_english_alone_is_read(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "english", multilingual=False)
    assert heard(sounds()[:1], weights=str(folder)) == [plain(folder, sounds()[0])]
    assert heard(sounds()[:1], weights=str(folder), language="en") == [plain(folder, sounds()[0])]
    with pytest.raises(UserError, match=r"do not know the language 'zh' \(known: en\)"):
        heard(sounds()[:1], weights=str(folder), language="zh")


def test_a_language_that_the_checkpoint_lacks_is_refused(small: Path) -> None:
    with pytest.raises(UserError, match=r"language 'xx' \(known: en, zh\); set `language`"):
        heard(sounds()[:1], weights=str(small), language="xx")


@pytest.mark.parametrize("on_accelerator", [False, True])
def test_a_clip_does_not_depend_on_its_batch(
    small: Path, on_accelerator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_accelerator:
        monkeypatch.setattr(whisper, "batch_size", lambda setting, device: setting)
    for weights in (str(small), "random"):
        together = heard(sounds(), weights=weights, batch_size=3)
        assert together == [heard([sound], weights=weights)[0] for sound in sounds()]
        assert together == heard(sounds(), weights=weights), "the same every time"


def test_a_transcript_is_kept_and_costs_nothing(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pipeline.encoders.whisper.loaded", lambda *_: pytest.fail("loaded for nothing")
    )
    texts = ["我 said so", "lone \ud83d"]
    kept = results(*(ClipInputs(Clip("a", text=text)) for text in texts), weights=str(small))
    assert [read(result.rows["transcript"]) for result in kept] == texts
    assert Asr(Asr.Settings()).does_without(Clip("a", text="so"))
    assert not Asr(Asr.Settings()).does_without(Clip("a", text=" \n"))


def test_silence_says_nothing(small: Path) -> None:
    silence = ClipInputs(Clip("a"), {"samples": np.zeros(RATE_HZ, np.int16)})
    (result,) = results(silence, weights=str(small))
    assert (result.state, result.reason) == ("missing", "no words were heard")


def test_long_sound_is_cut_where_it_is_quiet_and_all_of_it_is_heard(small: Path) -> None:
    longest = 30 * RATE_HZ
    sound = np.tile(sounds()[1], 35)  # 70 s
    quiet_at = longest - 2 * RATE_HZ
    sound[quiet_at : quiet_at + RATE_HZ // 2] = 3
    parts = windows(sound, longest)
    assert quiet_at < len(parts[0]) < quiet_at + RATE_HZ // 2
    assert all(longest - SEARCHED <= len(part) <= longest for part in parts[:-1])
    np.testing.assert_array_equal(np.concatenate(parts), sound)
    (text,) = heard([sound], weights=str(small), language="en")
    assert text == " ".join(heard(parts, weights=str(small), language="en"))
    assert len(windows(sound[:longest], longest)) == 1


def test_a_checkpoint_of_another_kind_or_without_all_tensors_is_refused(
    small: Path, tmp_path: Path
) -> None:
    config = json.loads((small / "config.json").read_text())
    other = checkpoint(tmp_path / "other")
    (other / "config.json").write_text(json.dumps({**config, "model_type": "wav2vec2"}))
    with pytest.raises(UserError, match="are of a 'wav2vec2' model; this stage takes whisper"):
        heard(sounds()[:1], weights=str(other))
    holed = checkpoint(tmp_path / "holed")
    tensors = load_file(holed / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "decoder.layers.1" not in name}
    save_file(kept, holed / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"missing \d+ tensors of WhisperForConditionalGeneration"):
        heard(sounds()[:1], weights=str(holed))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["vocab.json", "tokenizer.json"], "lacks a vocabulary"),
        (["preprocessor_config.json"], "lacks a feature extractor"),
    ],
)
def test_a_checkpoint_without_its_words_or_spectra_is_refused(
    names: list[str], told: str, tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "part")
    for name in names:
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(UserError, match=told):
        heard(sounds()[:1], weights=str(folder))


def test_nothing_is_printed(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    heard(sounds()[:1], weights="random")
    heard(sounds()[:1], weights=str(small), language="zh")
    assert capfd.readouterr() == ("", "")


def test_a_transcript_survives_the_field_and_ones_own_comes_first() -> None:
    for text in ("", "你好 😀", "lone \ud83d"):
        assert read(written(text)) == text
    rows = {"transcript": written("heard")}
    assert text_of(ClipInputs(Clip("a", text="own"), rows)) == "own"
    assert text_of(ClipInputs(Clip("a", text=" "), rows)) == "heard"
    assert text_of(ClipInputs(Clip("a", text=" "))) == " "


# --- in the pipeline --------------------------------------------------------------------------


class Talks:
    """Four clips: with a transcript, without, without sound but with a transcript, with nothing."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder = folder
        self.weights = str(weights)
        for number in (0, 1):
            soundfile.write(folder / f"{number}.wav", sounds()[number], RATE_HZ)
        self.write(texts=["it was good", "", "it was bad", ""])
        self.stages()

    def write(self, texts: list[str]) -> None:
        audio = ["0.wav", "1.wav", "", ""]
        rows = [f"{i},{audio[i]},{text},0.5,train" for i, text in enumerate(texts)]
        (self.folder / "talks.csv").write_text("\n".join(["id,audio,text,label,split", *rows]))

    def stages(self, **asr: Any) -> None:
        heard = {"needs": "audio", "weights": self.weights, "language": "en", **asr}
        words = {"needs": "asr", "weights": "random"}
        boxes = {"audio": None, "asr": heard, "bert": words, "tencent": dict(words)}
        (self.folder / "stages.yaml").write_text(yaml.safe_dump({"stages": boxes}))

    def extract(self) -> tuple[Cache, Extraction]:
        place = str(self.folder / "cache")
        stages = self.folder / "stages.yaml"
        done = extract(self.folder / "talks.csv", stages, run_serially, place)
        assert [outcome.error for outcome in done.outcomes] == [""] * len(done.outcomes)
        return open_cache(done.cache_url), done


@pytest.fixture
def talks(tmp_path: Path, small: Path) -> Talks:
    return Talks(tmp_path, small)


def bert_of(text: str) -> np.ndarray:
    (result,) = Bert(Bert.Settings(weights="random")).extract([ClipInputs(Clip("a", text=text))])
    return np.asarray(result.rows["features"])


def test_what_is_heard_is_the_text_of_clips_that_have_none(talks: Talks) -> None:
    cache, _ = talks.extract()
    said = [read(r.rows["transcript"]) for r in cache["asr"].store.rows(0) if r.state == "ok"]
    assert said[::2] == ["it was good", "it was bad"]
    assert cache["asr"].states.tolist() == ["ok", "ok", "ok", "missing"]
    assert cache["asr"].reasons[3] == "audio: no media"
    assert cache["audio"].states[2] == "missing", "which its transcript does not suffer from"
    for stage in ("bert", "tencent"):
        assert cache[stage].states.tolist() == ["ok", "ok", "ok", "missing"]
        assert cache[stage].reasons[3] == "asr: audio: no media"
    for row, text in enumerate(said):
        expected = bert_of(text)
        np.testing.assert_array_equal(cache["bert"].read()[row, : len(expected)], expected)
    assert cache["tencent"].lengths.tolist()[:3] == [3, len(said[1].split()), 3]
    _, again = talks.extract()
    assert again.outcomes == ()


def test_a_text_that_a_random_network_heard_is_named_random(talks: Talks) -> None:
    from model.data.samples import load_samples
    from tests.pipeline.extractors.test_bert import checkpoint as bert_checkpoint

    bert = bert_checkpoint(talks.folder / "bert")
    boxes = yaml.safe_load((talks.folder / "stages.yaml").read_text())["stages"]
    for weights, named in ((talks.weights, []), ("random", ["asr"])):
        boxes["asr"] = {**boxes["asr"], "weights": weights}
        boxes["bert"] = {**boxes["bert"], "weights": str(bert)}
        (talks.folder / "stages.yaml").write_text(yaml.safe_dump({"stages": boxes}))
        cache, _ = talks.extract()
        assert load_samples(cache).random_stages == named


def test_a_transcript_that_comes_later_takes_the_place_of_what_was_heard(talks: Talks) -> None:
    talks.extract()
    talks.write(["it was good", "", "it was bad", "here it is"])
    cache, _ = talks.extract()
    assert cache["asr"].states.tolist() == ["ok"] * 4
    np.testing.assert_array_equal(cache["bert"].read()[3, :5], bert_of("here it is"))


def test_switched_off_nothing_is_heard_and_the_text_is_ones_own(talks: Talks) -> None:
    talks.stages(enabled=False)
    cache, done = talks.extract()
    assert done.stages == ["audio", "bert", "tencent"]
    assert cache["bert"].states.tolist() == ["ok", "missing", "ok", "missing"]
    assert cache["bert"].reasons[1] == "empty text"


def test_where_all_have_transcripts_no_sound_is_read_and_no_network_loaded(
    talks: Talks, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.runner import inputs

    handed: list[str] = []
    real: Callable[..., Any] = inputs._handed_on

    def noted(giver: Any, taker: Any, task: Any) -> Any:
        handed.append(f"{giver.name} to {taker.name}")
        return real(giver, taker, task)

    monkeypatch.setattr(inputs, "_handed_on", noted)
    monkeypatch.setattr(
        "pipeline.encoders.whisper.loaded", lambda *_: pytest.fail("loaded for nothing")
    )
    talks.write(["a", "b", "c", "d"])
    cache, _ = talks.extract()
    assert cache["bert"].states.tolist() == ["ok"] * 4
    assert "audio to asr" not in handed
    assert "asr to bert" in handed
