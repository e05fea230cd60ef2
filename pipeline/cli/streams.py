"""What reaches a terminal: text, and nothing in it that moves the cursor or hides what is there."""

from __future__ import annotations

import io
import re
from typing import Any, TextIO

from pipeline.messages import printable

BARS = re.compile(r"\r(?!\r)|(?:\n|\x1b\[A)+\Z")  # how tqdm, which the hub uses, draws its bars


class Shown:
    """A stream that writes control and unseen characters as escapes, whoever prints them."""

    def __init__(self, stream: TextIO) -> None:
        self.undisguised = stream
        self.buffer = _Bytes(self)  # the stream's own would be a way around

    def write(self, text: str) -> int:
        """As a text stream's."""
        if not isinstance(text, str):
            raise TypeError(f"write() takes text, not {type(text).__name__}")
        begun = bar.end() if (bar := BARS.match(text)) else 0
        self.undisguised.write(text[:begun] + printable(text[begun:], in_lines=True))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """As a text stream's."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.undisguised, name)


class _Bytes:
    """The same for bytes, which are UTF-8: click prints completions so."""

    closed = False

    def __init__(self, stream: Shown) -> None:
        self._stream = stream

    def write(self, content: bytes) -> int:
        self._stream.write(bytes(content).decode("utf-8", "backslashreplace"))
        return len(content)

    def flush(self) -> None:
        self._stream.flush()

    def seekable(self) -> bool:
        return False


def shown(stream: Any) -> Any:
    """`stream` with what it writes made safe to look at; as it is where it is so already."""
    # In a terminal of another encoding a dash or an arrow must not end the command.
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream if stream is None or isinstance(stream, Shown) else Shown(stream)


def undisguised(stream: Any) -> Any:
    """The stream behind one that is shown, for what writes control sequences of its own."""
    return getattr(stream, "undisguised", stream)
