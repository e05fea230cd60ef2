"""MMSA's feature files: what most multimodal sentiment models of the field are trained from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.clip import SPLITS, Clip
from pipeline.encoders import huggingface
from pipeline.errors import UserError
from pipeline.formats.bundle import Bundle
from pipeline.formats.format import Format
from pipeline.formats.pickled_split import JOINT, PickledSplit
from pipeline.io import pickle_io

OF_MODALITIES = ("T", "A", "V")
ANNOTATIONS = ("Negative", "Neutral", "Positive")
MOST_TOKENS = 512

# ---- reading -----------------------------------------------------------------------------------


def clips(split: PickledSplit) -> list[Clip]:
    """The clips of a split; a label NaN is no label."""
    columns = zip(
        split.ids,
        split.texts("raw_text"),
        split.numbers("regression_labels"),
        split.texts("annotations"),
        _labels(split),
        strict=True,
    )
    return [
        Clip(id, text=text, label=label, labels=labels, annotation=annotation, split=split.name)
        for id, text, label, annotation, labels in columns
    ]


def _labels(split: PickledSplit) -> list[dict[str, float]]:
    """The scores of single modalities (CH-SIMS), by clip."""
    scores = {
        m: split.numbers(f"regression_labels_{m}")
        for m in OF_MODALITIES
        if f"regression_labels_{m}" in split
    }
    rows = zip(*scores.values(), strict=True) if scores else ((),) * len(split.ids)
    return [{m: x for m, x in zip(scores, row, strict=True) if x is not None} for row in rows]


# ---- writing -----------------------------------------------------------------------------------


class Mmsa(Format):
    """A pickle that MMSA's loader reads."""

    needs_labels = True
    takes_tokenizer = True

    def write(self, bundle: Bundle, path: Path) -> Sequence[str]:
        """All splits of labelled clips, with `text_bert` where a tokenizer is at hand."""
        tokens, notes = _text_bert(bundle)
        write(bundle, path, tokens)
        if bundle.by_word:
            told = "steps are words: this is an aligned file, for `need_data_aligned` of MMSA"
            notes.append(told)
        if not has_all_modalities(bundle.clips):
            told = "some clips have no label_T, label_A or label_V: MMSA can't read them as sims"
            notes.append(told)
        return notes


def _text_bert(bundle: Bundle) -> tuple[np.ndarray | None, list[str]]:
    """The tokens by the tokenizer that was named, else by the text's own if it is here.

    As many as there are steps: MISA takes as many steps of sound and picture as a text has tokens.
    """
    texts = [clip.text for clip in bundle.clips]
    steps = next(x.shape[1] for x in bundle.features.values())
    try:
        if bundle.tokenizer:
            tokens = text_bert(texts, bundle.tokenizer, True, steps)
        elif bundle.own_tokenizers:
            tokens = text_bert(texts, bundle.own_tokenizers[0], False, steps)
        else:
            raise UserError("none of the text's stages has a tokenizer")
    except UserError as error:
        if bundle.tokenizer:
            raise
        return None, [f"no text_bert, which MMSA's BERT models read ({error}); give --tokenizer"]
    full = int(tokens[:, 1].all(axis=1).sum())
    told = f"text_bert holds at most {steps} tokens, as many as there are steps"
    return tokens, [f"{told}; {full} of {len(texts)} texts have so many or are cut"] if full else []


def write(bundle: Bundle, path: Path, text_bert: np.ndarray | None = None) -> None:
    """All splits of labelled clips as MMSA's loader reads them.

    By split: `raw_text`, `id`, `annotations` as lists of str; `vision`, `audio`, `text` float32
    [n, steps, width]; `audio_lengths`, `vision_lengths` as lists of int, at least 1, as its models
    pack sequences by them, and `text_lengths`, which it does not read; `classification_labels`
    int64 [n] (0, 1, 2), `regression_labels` float32 [n], and `regression_labels_T`, `_A`, `_V`
    where every clip has all three. text_bert: int64 [n, 3, tokens]: ids, mask, segments. Where
    steps are words it is one of MMSA's aligned files, which have no lengths.
    """
    for modality in ("visual", "audio", "text"):
        if modality not in bundle.features:
            raise UserError(f"{bundle.name}: has no {modality} features; MMSA reads all three")
    for name in SPLITS:
        if not any(clip.split == name for clip in bundle.clips):
            raise UserError(f"{bundle.name}: no labelled clip is in {name}; MMSA reads all splits")
    content = pickle_io.dumps({name: _fields(bundle, name, text_bert) for name in SPLITS})
    with path.open("wb") as file:
        file.writelines(content)


def _fields(bundle: Bundle, name: str, text_bert: np.ndarray | None) -> dict[str, Any]:
    rows = [number for number, clip in enumerate(bundle.clips) if clip.split == name]
    clips = [bundle.clips[number] for number in rows]
    lengths = {
        f"{field}_lengths": bundle.lengths[modality][rows].clip(min=1).tolist()
        for field, modality in (("audio", "audio"), ("vision", "visual"))
    }
    lengths["text_lengths"] = bundle.lengths["text"][rows].tolist()
    labels = np.array([clip.label for clip in clips], np.float32)
    classes = 1 + np.sign(labels).astype(np.int64)
    # An array comes first: `pickle_io.dumps` counts on it.
    arrays = {
        "vision": bundle.features["visual"][rows],
        "audio": bundle.features["audio"][rows],
        "text": bundle.features["text"][rows],
        **({} if text_bert is None else {"text_bert": text_bert[rows]}),
        "regression_labels": labels,
        "classification_labels": classes,
        **(_of_modalities(clips) if has_all_modalities(bundle.clips) else {}),
    }
    return {
        **arrays,
        "raw_text": [clip.text for clip in clips],
        "id": [JOINT.join(clip.id.rsplit("/", 1)) for clip in clips],
        "annotations": [
            clip.annotation or ANNOTATIONS[k] for clip, k in zip(clips, classes, strict=True)
        ],
        **({} if bundle.by_word else lengths),
    }


def has_all_modalities(clips: Sequence[Clip]) -> bool:
    """Whether every clip has a score for each modality alone."""
    return all(m in clip.labels for clip in clips for m in OF_MODALITIES)


def _of_modalities(clips: Sequence[Clip]) -> dict[str, np.ndarray]:
    return {
        f"regression_labels_{m}": np.array([clip.labels[m] for clip in clips], np.float32)
        for m in OF_MODALITIES
    }


def text_bert(
    texts: Sequence[str], tokenizer: str, download: bool, tokens: int | None = None
) -> np.ndarray:
    """Token ids, mask and segments: int64 [texts, 3, tokens], padded at the end.

    tokenizer: a BERT's, a folder or a hub id; download: whether it may be fetched. tokens: so many
    a text, by default those of the longest. Raises UserError where it can't be loaded.
    """
    own = huggingface.loaded("AutoTokenizer", tokenizer, f"tokenizer {tokenizer!r}", download)
    rows = own(
        list(texts),
        padding="max_length" if tokens else "longest",
        truncation=True,
        max_length=tokens or min(MOST_TOKENS, own.model_max_length),
        return_token_type_ids=True,
        return_tensors="np",
    )
    parts = [rows[name] for name in ("input_ids", "attention_mask", "token_type_ids")]
    return np.stack(parts, axis=1).astype(np.int64)
