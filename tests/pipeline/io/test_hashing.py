"""Records that carry their digest: what was written, or an error that says what is wrong."""

import pytest

from pipeline.io.hashing import sealed, unsealed


def test_a_sealed_record_is_read_back() -> None:
    record = {"a": [1, 0.1, None], "b": {"文": "\ud800"}}
    assert unsealed(sealed(record, indent=2) + b"\n") == record


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "Expecting value"),
        (b"[]", "no digest"),
        (b'{"a": 1}', "no digest"),
        (sealed({"a": 1}).replace(b"1", b"2", 1), "does not fit"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_anything_else_is_a_value_error(content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        unsealed(content)
