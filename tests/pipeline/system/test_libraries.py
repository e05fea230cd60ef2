"""The versions of libraries that a store names."""

from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline.system.libraries import versions


def test_modules_are_found_by_whatever_package_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own_file.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    found = versions(["yaml", "my_own_file", "not_installed"])
    assert found["yaml"] == version("PyYAML")
    assert found["my_own_file"] == ""
    assert "not_installed" not in found
    assert found["torch"] == version("torch")
