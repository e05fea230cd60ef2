"""Where a text's words begin and end."""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from typing import Any

from pipeline.dataset.language import HAN
from pipeline.errors import UserError
from pipeline.io.user_cache import user_cache
from pipeline.system.process import silence
from pipeline.weights.registry import load_once

WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")  # marks stand alone: they carry sentiment

_LETTER = rf"(?:(?!{HAN.pattern})\w)"
SPOKEN = re.compile(rf"{HAN.pattern}|{_LETTER}+(?:['’-]{_LETTER}+)*")


def spoken(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end that are heard: of no marks.

    A Chinese character, which is a syllable, is a word of its own.
    """
    return [found.span() for found in SPOKEN.finditer(text)]


def words(text: str) -> list[str]:
    """The words and marks of a text; Chinese, which has no spaces, is segmented by jieba.

    Raises UserError where that is not installed.
    """
    if not HAN.search(text):
        return WORD.findall(text)
    found = load_once(("jieba",), _jieba).cut(text)
    return [word for word in found if word.strip()]


def _jieba() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own code
            import jieba
    except ImportError as error:
        raise UserError(
            'Chinese words are found with jieba: pip install "smp-sentiment[chinese]"'
        ) from error
    silence("jieba")
    tokenizer = jieba.Tokenizer()
    # It keeps its dictionary where it finds it again; by default where everyone can write.
    folder = user_cache("jieba")
    with suppress(OSError):  # a read-only home: nothing is kept
        folder.mkdir(parents=True, exist_ok=True)
    tokenizer.tmp_dir = str(folder)
    tokenizer.initialize()
    return tokenizer
