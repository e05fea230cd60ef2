"""Where a text's words begin and end."""

from __future__ import annotations

import re
import warnings
from typing import Any

from pipeline.dataset.language import HAN
from pipeline.errors import UserError
from pipeline.io.hashing import memory_folder
from pipeline.weights.resolve import load_once

WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")  # marks stand alone: they carry sentiment


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
    jieba.setLogLevel("ERROR")
    tokenizer = jieba.Tokenizer()
    # It keeps its dictionary where it finds it again; by default where everyone can write.
    tokenizer.tmp_dir = str(memory_folder("jieba"))
    tokenizer.initialize()
    return tokenizer
