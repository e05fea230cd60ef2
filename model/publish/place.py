"""Where runs and features are published: a folder, or a repository of the Hugging Face hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from pipeline.errors import BrokenOffError, UserError
from pipeline.formats.bundle import atomic_output
from pipeline.messages import one_line

Kind = Literal["model", "dataset"]


def is_folder(where: str) -> bool:
    """Whether a folder of this machine is meant: one that is there, or named by a path."""
    return where.startswith((".", "/", "~")) or where.count("/") != 1 or Path(where).exists()


def send(folder: Path, where: str, kind: Kind, private: bool) -> str:
    """Put what is in `folder` there as a whole; say where that is.

    Raises UserError where a folder exists already, BrokenOffError for what the hub says.
    """
    if is_folder(where):
        target = Path(where).expanduser()
        with atomic_output(target) as part:
            shutil.copytree(folder, part)
        return str(target)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        api = HfApi()
        url = api.create_repo(where, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(repo_id=where, repo_type=kind, folder_path=folder)
    except HFValidationError as error:
        told = f"{where!r} is neither a hub id nor a folder; for a folder write ./{where}"
        raise UserError(told) from error
    except Exception as error:  # the hub's client raises many kinds
        why = f"{one_line(error)}; log in with `hf auth login`, or push to a folder"
        raise BrokenOffError(f"the hub did not take {where}: {why}") from error
    return str(url)


def fetch(where: str) -> Path:
    """A folder with the model that was sent there; the hub client's own is not to be changed.

    Raises UserError where there is nothing.
    """
    if is_folder(where):
        if not Path(where).expanduser().is_dir():
            raise UserError(f"{where}: no such folder")
        return Path(where).expanduser()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(where))
    except Exception as error:  # the hub's client raises many kinds
        raise UserError(f"{where} can't be fetched from the hub: {one_line(error)}") from error
