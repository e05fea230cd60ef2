"""Files that hold no media but name other files, which FFmpeg would open: they are told by name."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from pipeline.media.boxes import Box, boxes, inner_boxes

HEAD_BYTES = 4096
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TEXTS = {  # how they begin
    "M3U, HLS": rb"#EXTM3U",
    "ffconcat": rb"ffconcat",
    "SDP": rb"v=0\s",
    "PLS": rb"\[playlist\]",
    "ASX": rb"\[Reference\]",
    "a list of URLs": rb"[a-z]{3,5}://",
    "VobSub": rb"# VobSub",
    "a cue sheet": rb"(REM|FILE|PERFORMER|TITLE) .*\n",
    "QuickTime": rb"RTSPtext|SMILtext",
}  # fmt: skip
ROOTS = {  # their first element
    b"mpd": "DASH",
    b"smoothstreamingmedia": "Smooth Streaming",
    b"compositionplaylist": "IMF",
    b"assetmap": "IMF",
    b"asx": "ASX",
    b"smil": "SMIL",
    b"playlist": "XSPF",
    b"embed": "QuickTime",
}
ELEMENT = re.compile(rb"<(?:\w+:)?([a-z]\w*)", re.IGNORECASE)
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
TABLE = (b"moov", b"trak", b"mdia", b"minf", b"dinf")  # of references
BARE_BYTES = 16  # of a reference's box that has no room for a name


def plays_others(file: BinaryIO) -> str:
    """What kind of file it is that plays others, for people; "" for one that is what it plays."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if _has_references(file):
        return "QuickTime references"
    text = COMMENT.sub(b"", head.removeprefix(BYTE_ORDER_MARK)).lstrip()
    if text.startswith(b"<"):
        found = ELEMENT.search(text)
        return ROOTS.get(found[1].lower(), "") if found else ""
    return next((kind for kind, begin in TEXTS.items() if re.match(begin, text, re.IGNORECASE)), "")


def _has_references(file: BinaryIO) -> bool:
    """Whether pictures or sound of a movie lie in another file, or the whole movie does."""
    handler = b""
    for box in inner_boxes(file, TABLE):
        file.seek(box.begin)
        if box.kind == b"hdlr":
            _, of, what = struct.unpack("4s4s4s", file.read(12).ljust(12))
            handler = handler if of == b"dhlr" else what  # QuickTime's says how data is handled
        is_table = box.kind == b"dref" and handler in (b"vide", b"soun")
        entries = boxes(file, box.begin + 8, box.end) if is_table else ()
        if box.kind == b"rmra" or any(_is_reference(file, entry) for entry in entries):
            return True
    return False


def _is_reference(file: BinaryIO, entry: Box) -> bool:
    """Whether an entry of a table of references is one to another file."""
    file.seek(entry.begin)
    is_within = file.read(4)[3:] != b"\0"
    return not is_within and entry.end - entry.begin > BARE_BYTES
