"""Pickles that older versions of numpy read too."""

from __future__ import annotations

import pickle
from typing import Any

from pipeline.errors import UserError

NEW_NAME, OLD_NAME = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
HEAD_BYTES = 256


def dumps(value: Any) -> list[bytes | memoryview]:
    """A pickle in two pieces, with the name that numpy 1 has for its arrays; numpy 2 knows both.

    Protocol 3 names it once, ahead of the first array's data, which must come early in `value`.
    """
    try:
        content = pickle.dumps(value, protocol=3)
    except OverflowError:
        raise UserError(
            "an array of 4 GB or more has no place in such a file; export fewer stages"
        ) from None
    head = content[:HEAD_BYTES].replace(NEW_NAME, OLD_NAME, 1)
    return [head, memoryview(content)[HEAD_BYTES:]]
