"""Files of the kernel are told from plain ones, and never read for a digest."""

import os
from pathlib import Path

import pytest

from pipeline.io.file_digests import FileDigests, Seen
from pipeline.io.kernel_file import is_made_up

OF_THE_KERNEL = [
    path for path in ("/proc/self/status", "/proc/kcore", "/sys/kernel/mm") if os.path.exists(path)
]


@pytest.mark.parametrize("path", OF_THE_KERNEL)
def test_a_file_of_the_kernel_is_one_through_links_too(path: str, tmp_path: Path) -> None:
    link = tmp_path / "clip.mp4"
    link.symlink_to(path)
    assert is_made_up(link, os.stat(link))


def test_a_file_on_disk_is_none_empty_or_not(tmp_path: Path) -> None:
    for content in (b"", b"film"):
        (tmp_path / "clip.mp4").write_bytes(content)
        assert not is_made_up(tmp_path / "clip.mp4", os.stat(tmp_path / "clip.mp4"))


@pytest.mark.skipif(not os.path.exists("/proc/kmsg"), reason="needs /proc/kmsg")
def test_a_file_that_never_answers_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").symlink_to("/proc/kmsg")
    found = FileDigests(tmp_path / "digests.sqlite").see(str(tmp_path / "clip.mp4"))
    assert found == Seen(str(tmp_path / "clip.mp4"), None, None)
