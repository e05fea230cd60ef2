"""From a text to a network's token ids: a checkpoint's own tokenizer, or words hashed to ids."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib.util import find_spec
from math import inf
from typing import Any, Protocol
from zlib import crc32

from pipeline.encoders import huggingface
from pipeline.errors import MissingModalityError, UserError
from pipeline.stage.transcript import doubt_of, whole_characters
from pipeline.weights.resolve import Weights

# Of an embedding's rows; a published Indonesian BERT has the least, 30,521 tokens for 50,000 rows.
SMALLEST_VOCABULARY = 0.5
PROBED = 20  # words with capitals
OFFSET = frozenset(  # of models whose first places stand for padding
    ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "data2vec-text")
) | {"roberta-prelayernorm", "ibert", "xmod", "mpnet", "luke", "altclip_text_model"}
ENDLESS = 1e9  # tokens: tokenizers that know of no limit name a number beyond
WITHOUT_LIMIT = 512  # tokens that a network takes which has no limit; T5 and XLNet learnt on them


@dataclass(frozen=True)
class Tokens:
    """A text as the network takes it: ids with the special tokens, `total` before truncation.

    own: how many of those are the text's own; unknown: how many of these the vocabulary lacks.
    """

    ids: list[int]
    total: int
    own: int
    unknown: int = 0

    @property
    def note(self) -> str:
        """What the user should know."""
        kept = len(self.ids)
        return "" if kept == self.total else f"text truncated: {kept} of {self.total} tokens kept"

    @property
    def doubt(self) -> str:
        """Why the features may mislead."""
        return doubt_of(self.unknown, self.own, "tokens are not in the vocabulary of these weights")


class Tokenizer(Protocol):
    """From a text to the ids of a network."""

    def tokens(self, text: str) -> Tokens:
        """Raises MissingModalityError where the text says nothing."""

    def spelled(self, text: str) -> list[str]:
        """What each of those tokens stands for, to be read by people."""

    def places(self, text: str) -> list[tuple[int, int]]:
        """Which characters of the text each of them is, from one up to another; none: a special.

        Raises UserError where the tokenizer can't tell.
        """


class CheckpointTokenizer:
    """The tokenizer that comes with a checkpoint."""

    def __init__(self, weights: Weights) -> None:
        assert weights.path is not None
        files = {path.name for path in weights.path.iterdir()}
        has_list = files & {"tokenizer.json", "vocab.txt", "vocab.json"}
        if not has_list and not find_spec("sentencepiece"):
            raise UserError(
                f"weights {weights.id!r}: the vocabulary at {weights.path} is read with "
                "sentencepiece: pip install 'smp-sentiment[sentencepiece]'"
            )
        self._weights = weights
        self._tokenizer = huggingface.from_pretrained("AutoTokenizer", weights)
        places = _most_tokens(huggingface.library_config(weights))
        limit = min(places, self._tokenizer.model_max_length)
        self._limit = int(limit) if limit < ENDLESS else WITHOUT_LIMIT
        self._lock = threading.Lock()  # it keeps the last call's truncation as a state

    def tokens(self, text: str) -> Tokens:
        with self._lock:
            whole = self._tokenizer(text, verbose=False, return_special_tokens_mask=True)
            ids, special = whole["input_ids"], whole["special_tokens_mask"]
            own = [id for id, is_added in zip(ids, special, strict=True) if not is_added]
            total = len(ids)
            if total > self._limit:
                ids = self._tokenizer(text, truncation=True, max_length=self._limit)["input_ids"]
        if not own or not text.strip():
            raise MissingModalityError("empty text")
        return Tokens(ids, total, len(own), own.count(self._tokenizer.unk_token_id))

    def spelled(self, text: str) -> list[str]:
        return list(self._tokenizer.convert_ids_to_tokens(self.tokens(text).ids))

    def places(self, text: str) -> list[tuple[int, int]]:
        if not self._tokenizer.is_fast:
            raise UserError(
                f"weights {self._weights.id!r}: their tokenizer does not tell which characters a "
                "token is, which `sampling: words` needs; name others, or fetch tokenizer.json"
            )
        with self._lock:
            given = {"truncation": True, "max_length": self._limit, "verbose": False}
            found = self._tokenizer(text, return_offsets_mapping=True, **given)
        return [(start, stop) for start, stop in found["offset_mapping"]]

    def require_fit(self, rows: int) -> None:
        """Raise UserError unless the vocabulary can be the one that the network learnt.

        rows: of its embedding, which is often a little larger than the vocabulary, never smaller.
        """
        words = len(self._tokenizer)
        own = words - len(set(self._tokenizer.all_special_ids))
        where = f"weights {self._weights.id!r} at {self._weights.path}"
        if not SMALLEST_VOCABULARY * rows <= words <= rows or own < 1:
            raise UserError(
                f"{where}: their tokenizer knows {words} tokens, {own} of them no special ones, "
                f"but the network was trained on about {rows}; fetch the tokenizer's files "
                "(tokenizer.json, vocab.txt …) from where it is from"
            )
        if lost := self._lost_capitals():
            raise UserError(
                f"{where}: their vocabulary has capitals, {lost!r} for one, which the tokenizer "
                "makes small; fetch tokenizer_config.json, in which `do_lower_case` is false, from "
                "where the weights are from"
            )

    def _lost_capitals(self) -> str:
        """A word with capitals, where the vocabulary has such and none of them is ever given."""
        known = self._tokenizer.get_vocab()
        special = set(self._tokenizer.all_special_tokens)
        # A single letter, or one that isn't ASCII, may stand for a byte.
        words = [w for w in known.keys() - special if len(w) > 1 and w.isascii() and w.isalpha()]
        capitals = sorted(word for word in words if word != word.lower())[:PROBED]

        def ids(text: str) -> list[int]:
            return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

        are_lost = [known[w] not in ids(w) and ids(w) == ids(w.lower()) for w in capitals]
        return capitals[0] if capitals and all(are_lost) else ""


class HashedWords:
    """BERT's own splitting into words and single Chinese characters, each hashed to an id.

    It needs no vocabulary: the same word has the same id everywhere, which is all that a network
    with random weights can make use of.
    """

    PAD, CLS, SEP, FIRST, VOCABULARY, LIMIT = 0, 1, 2, 3, 1 << 15, 512

    def tokens(self, text: str) -> Tokens:
        own = self.VOCABULARY - self.FIRST
        ids = [self.FIRST + crc32(word.encode()) % own for word in _words(text)]
        if not ids:
            raise MissingModalityError("empty text")
        return Tokens([self.CLS, *ids[: self.LIMIT - 2], self.SEP], len(ids) + 2, len(ids))

    def spelled(self, text: str) -> list[str]:
        return ["[CLS]", *_words(text)[: self.LIMIT - 2], "[SEP]"]

    def places(self, text: str) -> list[tuple[int, int]]:
        found = [place for _, place in _placed(text)]
        return [(0, 0), *found[: self.LIMIT - 2], (0, 0)]


def spelled(weights: Weights, text: str) -> list[str]:
    """The tokens of a text as these weights see it, the special ones included; no network needed.

    Raises MissingModalityError where the text says nothing.
    """
    return tokenizer_of(weights).spelled(whole_characters(text))


def tokenizer_of(weights: Weights) -> Tokenizer:
    """The tokenizer that goes with these weights."""
    return HashedWords() if weights.random else CheckpointTokenizer(weights)


def _words(text: str) -> list[str]:
    return [word for word, _ in _placed(text)]


def _placed(text: str) -> list[tuple[str, tuple[int, int]]]:
    """Words, punctuation and single Chinese characters, as BERT splits them, and where they are."""
    from tokenizers import PreTokenizedString
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    split = PreTokenizedString(text)
    split.normalize(BertNormalizer().normalize)
    BertPreTokenizer().pre_tokenize(split)
    return [(word, place) for word, place, _ in split.get_splits("original", "char")]


def _most_tokens(config: Any) -> float:
    """How many tokens a network has places for, by its config; models like RoBERTa waste some."""
    wasted = (config.pad_token_id or 0) + 1 if config.model_type in OFFSET else 0
    places = getattr(config, "max_position_embeddings", None) or 0
    return places - wasted if places > 0 else inf
