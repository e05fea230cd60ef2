"""What a person is told."""

import pytest

from pipeline.messages import one_line


@pytest.mark.parametrize(
    ("error", "plain", "with_kind"),
    [
        (ValueError("a\n  b\t c "), "a b c", "ValueError: a b c"),
        (ValueError(), "ValueError", "ValueError"),
    ],
)
def test_an_error_is_one_line(error: Exception, plain: str, with_kind: str) -> None:
    assert one_line(error) == plain
    assert one_line(error, with_kind=True) == with_kind
