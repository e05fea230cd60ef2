"""Which language texts are in, as far as the stages differ by it."""

from __future__ import annotations

import re
from collections.abc import Sequence

HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


def language_of(texts: Sequence[str]) -> str:
    """`zh` where most texts have Chinese characters, else `en`."""
    return "zh" if 2 * sum(bool(HAN.search(text)) for text in texts) > len(texts) else "en"
