"""YAML as people write settings in it; what would surprise a reader is refused with its line."""

from __future__ import annotations

import math
import re
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from pipeline.errors import UserError

MOST_BYTES = 250_000  # the largest file of the package has 6,000
MOST_DEPTH = 20
TAG = "tag:yaml.org,2002:"
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,14})")  # 010 is 8 to some programs, and 1:30 is 90


def read_yaml(path: Path | Traversable) -> Any:
    """The content of a YAML file, as `parsed`. Raises UserError where it can't be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    return parsed(content, str(path))


def parsed(content: bytes, where: str) -> Any:
    """What YAML holds: mappings with text as keys, lists, text, numbers, true, false.

    Raises UserError with the line where it is anything else: a key twice, an alias, a tag, more
    than MOST_DEPTH levels or MOST_BYTES.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"{where}: more than {MOST_BYTES} bytes are no settings")
    try:
        return _Loader(content.decode("utf-8")).get_single_data()
    except UnicodeDecodeError as error:
        line, what = content.count(b"\n", 0, error.start), "is not UTF-8"
    except yaml.reader.ReaderError as error:
        line = content.decode("utf-8")[: error.position].count("\n")
        what = f"is not YAML: character {error.character!r} is not allowed"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        what = (
            str(error.problem) if isinstance(error, _Refused) else f"is not YAML: {error.problem}"
        )
    raise UserError(f"{where}, line {line + 1}: {what}")


def written(content: Any) -> str:
    """As YAML that `parsed` reads, in the order it has."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


class _Refused(yaml.MarkedYAMLError):
    """YAML, but not as it is read here."""


def _refuse(what: str, at: Any) -> NoReturn:
    raise _Refused(problem=what, problem_mark=at.start_mark)


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            _refuse("aliases (&name, *name) are not read; write the value out", event)
        if getattr(event, "tag", None):
            _refuse(f"tags ({event.tag}) are not read; write the value alone", event)
        self.depth += 1
        if self.depth > MOST_DEPTH:
            _refuse(f"more than {MOST_DEPTH} levels", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == f"{TAG}merge":
                _refuse("<< is not read; write the values out", key)
            if not isinstance(key, yaml.ScalarNode):
                _refuse("a list or a mapping can't be a key", key)
            if key.tag != f"{TAG}str":
                _refuse(f"the key {key.value} is not text; write '{key.value}'", key)
            if key.value in lines:
                first = lines[key.value]
                _refuse(f"{key.value!r} is here again, after line {first}; keep one", key)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def whole(self, node: Any) -> int:
        if not WHOLE.fullmatch(node.value):
            told = f"the number {node.value[:40]} has more than 15 digits or an unusual form"
            _refuse(f"{told}; write plain digits, or text in quotes", node)
        return int(node.value)

    def real(self, node: Any) -> float:
        number = math.nan if {":", "_"} & set(node.value) else self.construct_yaml_float(node)
        if not math.isfinite(number):
            told = f"the number {node.value[:40]} is not finite or has an unusual form"
            _refuse(f"{told}; write plain digits, or text in quotes", node)
        return number

    def date(self, node: Any) -> NoReturn:
        _refuse(f"{node.value} is a date; write it in quotes", node)


_Loader.add_constructor(f"{TAG}int", _Loader.whole)
_Loader.add_constructor(f"{TAG}float", _Loader.real)
_Loader.add_constructor(f"{TAG}timestamp", _Loader.date)
