"""Transcripts as the three rows that BERT takes: token ids, mask and segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.encoders.huggingface import named
from pipeline.errors import UserError
from pipeline.messages import one_line

MOST_TOKENS = 512


def text_bert(texts: Sequence[str], tokenizer: str, download: bool) -> np.ndarray:
    """Int64 [texts, 3, tokens of the longest], padded at the end.

    tokenizer: of a BERT, a folder or a hub id; download: whether it may be fetched. Raises
    UserError where it is not to be had.
    """
    try:
        loaded = named("AutoTokenizer").from_pretrained(tokenizer, local_files_only=not download)
    except (OSError, ValueError) as error:
        reason = one_line(error)[:200]
        raise UserError(f"no tokenizer {tokenizer!r} to be had: {reason}") from None
    rows = loaded(
        list(texts),
        padding="longest",
        truncation=True,
        max_length=min(MOST_TOKENS, loaded.model_max_length),
        return_token_type_ids=True,
        return_tensors="np",
    )
    parts = [rows[name] for name in ("input_ids", "attention_mask", "token_type_ids")]
    return np.stack(parts, axis=1).astype(np.int64)
