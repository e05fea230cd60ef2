"""What a format of another tool is: a class that writes features to files, reads them, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pipeline import formats
from pipeline.dataset.clip import Clip
from pipeline.errors import UserError
from pipeline.formats.bundle import Bundle
from pipeline.formats.feature_set import FeatureSet
from pipeline.io import plugin


class Format:
    """One class a file, found by the file's name, or in a module outside the package.

    The first line of its docstring is what a command's help says of it. A format that can't be
    written, or can't be read, leaves the method for it as it is here.

    Attributes
    ----------
    needs_labels: whether it has no way to say that a label is not known: only clips that have one
        are written.
    takes_tokenizer: whether it writes tokens too, those of `bundle.tokenizer`.
    """

    needs_labels: ClassVar[bool] = False
    takes_tokenizer: ClassVar[bool] = False

    def takes(self, clip: Clip) -> bool:
        """Whether it can say what is known of a clip, where it needs labels."""
        return clip.label is not None

    def write(self, bundle: Bundle, path: Path) -> Sequence[str]:
        """Write a file or a folder at `path`, where nothing is yet; what the user should know."""
        raise UserError(f"{type(self).__name__} can't be written, only read")

    def reads(self, path: Path) -> bool:
        """Whether what lies at `path` may be of this format, at a look."""
        return False

    def read(
        self, path: Path, given: Mapping[str, Sequence[str]], language: str | None
    ) -> FeatureSet:
        """The clips and features at `path`. Raises UserError for what is of no such format.

        given: names of features by modality, and language: of the transcripts, `zh` or `en`; both
        are options for formats that don't say it themselves.
        """
        raise UserError(f"{type(self).__name__} can't be read, only written")


def writing() -> dict[str, type[Format]]:
    """The formats of the package that can be written, by name."""
    return {n: f for n, f in _of_package().items() if f.write is not Format.write}


def reading() -> dict[str, type[Format]]:
    """The formats of the package that can be read, by name."""
    return {n: f for n, f in _of_package().items() if f.read is not Format.read}


def named(name: str, known: Mapping[str, type[Format]]) -> Format:
    """The format of that name among the known ones, or of a dotted module of the user's."""
    own = plugin.class_of(name, formats, Format) if plugin.is_outside(name) else known.get(name)
    if own is None:
        raise UserError(f"no format {name!r}; there are {', '.join(known)}, or a module of yours")
    return own()


def _of_package() -> dict[str, type[Format]]:
    return plugin.classes_of(formats, Format)
