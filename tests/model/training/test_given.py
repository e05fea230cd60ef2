"""Settings as a user gives them: in a file, one by one."""

from pathlib import Path

import pytest

from model.training.given import assigned, merged, read
from pipeline.errors import UserError


def test_values_are_yaml_and_dots_go_into_settings() -> None:
    given = ["lr=1.0e-3", "patience=null", "network.hidden.audio=8", "network.intra=false"]
    assert assigned([*given, "network.hidden.text=[1, 2]", "lr=2"]) == {
        "lr": 2,
        "patience": None,
        "network": {"hidden": {"audio": 8, "text": [1, 2]}, "intra": False},
    }


@pytest.mark.parametrize("one", ["lr", "=3", "lr=[1", "model=tfn", "seed=3", "network=3"])
def test_what_is_no_setting_is_told(one: str) -> None:
    with pytest.raises(UserError, match="--set"):
        assigned([one])


def test_a_later_setting_replaces_an_earlier_one_and_leaves_its_neighbours() -> None:
    first = {"lr": 1, "network": {"width": 8, "hidden": {"a": 1, "b": 2}}}
    second = {"network": {"hidden": {"b": 3}}, "batch": 4}
    assert merged(first, second) == {
        "lr": 1,
        "network": {"width": 8, "hidden": {"a": 1, "b": 3}},
        "batch": 4,
    }
    assert first["network"] == {"width": 8, "hidden": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"- 3", "expected settings"),
        (b"{", "is not YAML"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"seed: 3", "give `seed` as"),
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"{file}.*{told}"):
        read(file)
