"""What a file may make of itself when it is unpickled, and what is said where it makes more."""

from __future__ import annotations

from typing import Any

MOST_TOLD = 100  # characters of a file's own in a message

# What a file may make of itself. An honest one comes nowhere near: each of its objects has bytes of
# its own, and what it shares (a text, a number) is small.
FLOOR = 1 << 20  # bytes, or objects, that any file may make in each of the next two ways
MOST_MADE = 4  # bytes and objects handed to calls, for each byte of the file
MOST_SHARED = 16  # objects when what is shared is written out, for each byte of the file
MOST_DEPTH = 100  # lists within lists
MOST_IN_KEY = 1000  # objects in one key of a dict, or one member of a set
MOST_KEY_BITS = 64  # of a number that is a key
MOST_EMPTY = 1 << 20  # rows, or columns, of an array without elements
EMPTY_COST = 16  # objects that an empty dict or set counts for: one byte of the file makes 200


class ForbiddenError(Exception):
    """The pickle names what is neither numpy's nor a plain value."""


class BudgetError(Exception):
    """The pickle makes far more of itself than an honest file does; the message names the limit."""


def require_key(key: Any) -> None:
    """Raise where the hash of a key would take long: Python walks a tuple anew for each."""
    todo, seen = [key], 0
    while todo:
        one = todo.pop()
        seen += 1
        if isinstance(one, (tuple, frozenset)):
            todo.extend(one)
        elif isinstance(one, int) and one.bit_length() > MOST_KEY_BITS:
            raise BudgetError(f"has a key of more than {MOST_KEY_BITS} bits")
        if seen + len(todo) > MOST_IN_KEY:
            raise BudgetError(f"has a key of more than {MOST_IN_KEY} objects")
