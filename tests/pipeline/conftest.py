"""What is dear to make, once for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.bad_media.cases import BadClips


@pytest.fixture(scope="session")
def bad_clips(tmp_path_factory: pytest.TempPathFactory) -> BadClips:
    """Bad and odd clips, and good ones. They are read only."""
    # Every encoder is loaded with them, which most tests do without.
    from tests.support.bad_media.cases import CASES, NEIGHBOURS, BadClips

    folder = tmp_path_factory.mktemp("clips")
    cases = [case for case in [*NEIGHBOURS, *CASES] if case.can_be_made()]
    rows = {case.name: case.row(folder / f"{n:03d}") for n, case in enumerate(cases)}
    return BadClips(folder, rows)
