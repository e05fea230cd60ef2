"""What a media file says of its own length in bytes, held against the bytes that are there."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import BinaryIO

from pipeline.media.boxes import boxes, inner_boxes
from pipeline.media.file import opened_file

UNFINISHED = 0x7FFF_0000  # sizes from here on stand for "unknown" in headers of 32 bits
HEAD = 1 << 16  # of a file, in which the headers looked at here lie
TAIL = 1 << 17  # two of the largest pages of Ogg
MOST_BYTES = 1 << 60
SEGMENT = b"\x18\x53\x80\x67"
LAST_PAGE = 4  # Ogg's flag
INDEX = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
MANY_SAMPLES = 1_000_000  # in the index of an mp4; fewer cost little, whatever they are
MOST_CUT = 4  # times its length: of a file with less left than this share nothing can be told


def missing_share(path: str) -> float:
    """The share 0..1 of the announced bytes that is not there.

    0 where the file is whole, and where it announces nothing. RIFF (AVI, WAV), Wave64, Matroska,
    FLV and MP3 with a Xing, Info or VBRI header announce their size; mp4 has an index.
    """
    with opened_file(path, "media") as file:
        head = file.read(HEAD)
        announced = next((size for magic, size in SIZES if head.startswith(magic)), _mp3)(file)
        there = file.seek(0, os.SEEK_END)
    return max(0.0, 1 - there / announced) if announced else 0.0


def why_unreadable(file: BinaryIO) -> str:
    """What FFmpeg says in its log alone: nothing in the file, or no index in an mp4."""
    try:
        kinds = [box.kind for box in boxes(file)]
    except OSError:
        return ""
    if not kinds:
        return "the file is empty"
    if kinds[0] != b"ftyp" or b"moov" in kinds:
        return ""
    return "its index (moov) is missing, the recording or the copy was not finished"


def overstated(file: BinaryIO) -> int:
    """How many samples the index of an mp4 lists, far more than the file can hold; else 0.

    FFmpeg makes 36 bytes of each, where the file needs but a number for all of one size.
    """
    there = file.seek(0, os.SEEK_END)
    for box in inner_boxes(file, INDEX):
        if box.kind == b"stsz":
            file.seek(box.begin)
            _, size, samples = struct.unpack(">3I", file.read(12).ljust(12, b"\0"))
            if samples > MANY_SAMPLES and samples * max(size, 1) > MOST_CUT * there:
                return int(samples)
    return 0


def is_unfinished(path: str) -> bool:
    """Whether the file ends amid what was to come, nobody knows how much of it.

    So does an Ogg file without its end mark, as recordings of streams are, and an mp4 in fragments
    of which the last is not whole.
    """
    with opened_file(path, "sound") as file:
        head = file.read(8)
        if head[:4] == b"OggS":
            return _lacks_last_page(file)
        return head[4:] == b"ftyp" and _ends_amid_fragment(file)


def _lacks_last_page(file: BinaryIO) -> bool:
    file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
    pages = file.read().split(b"OggS")[1:]
    return not any(len(page) > 1 and page[1] & LAST_PAGE for page in pages)


def _ends_amid_fragment(file: BinaryIO) -> bool:
    there, ends = file.seek(0, os.SEEK_END), {box.kind: box.end for box in boxes(file)}
    return b"moof" in ends and max(ends.values()) > there


def _riff(file: BinaryIO) -> int:
    """Where the last of the file's RIFF chunks ends; large AVIs have several."""
    end = 0
    while True:
        file.seek(end)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            return end
        (size,) = struct.unpack("<I", head[4:])
        if not 0 < size < UNFINISHED:
            return 0
        end += 8 + size + size % 2


def _wave64(file: BinaryIO) -> int:
    """The size behind the first GUID, header included."""
    file.seek(16)
    return int.from_bytes(file.read(8), "little")


def _matroska(file: BinaryIO) -> int:
    """Where the segment ends that comes after the EBML header."""
    file.seek(4)
    file.seek(_vint(file) or 0, os.SEEK_CUR)
    if file.read(4) != SEGMENT:
        return 0
    size = _vint(file)
    return file.tell() + size if size is not None else 0


def _vint(file: BinaryIO) -> int | None:
    """A number of EBML, None for "unknown": as many bytes follow the first as it has zeros."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _flv(file: BinaryIO) -> int:
    """`filesize` of the metadata, a number of AMF."""
    file.seek(0)
    _, name, number = file.read(HEAD).partition(b"filesize\0")
    size = struct.unpack_from(">d", number)[0] if name and len(number) >= 8 else 0
    return int(size) if 0 < size < MOST_BYTES else 0


def _mp3(file: BinaryIO) -> int:
    """The bytes that the first frame announces, and the ID3 tag before it."""
    file.seek(0)
    tag = file.read(10)
    sizes = tag[6:10] if tag[:3] == b"ID3" and len(tag) == 10 else b""
    start = 10 + sum(byte << 7 * place for place, byte in enumerate(sizes[::-1])) if sizes else 0
    file.seek(start)
    frame = file.read(256)
    if len(frame) < 256 or frame[0] != 0xFF or frame[1] < 0xE0:
        return 0
    for name in (b"Xing", b"Info"):
        at = frame.find(name)
        if 0 <= at < 64:
            (flags,) = struct.unpack_from(">I", frame, at + 4)
            past = at + 8 + 4 * (flags & 1)
            return start + int(struct.unpack_from(">I", frame, past)[0]) if flags & 2 else 0
    at = frame.find(b"VBRI")
    return start + int(struct.unpack_from(">I", frame, at + 10)[0]) if 0 <= at < 64 else 0


SIZES: tuple[tuple[bytes, Callable[[BinaryIO], int]], ...] = (
    (b"RIFF", _riff),
    (b"riff\x2e\x91\xcf\x11", _wave64),
    (b"\x1a\x45\xdf\xa3", _matroska),
    (b"FLV", _flv),
)
