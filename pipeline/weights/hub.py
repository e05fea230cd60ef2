"""Models of the hub: what of one was fetched before, and what is fetched now."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path

from pipeline.errors import UserError
from pipeline.weights.repository import Files, Wanted


def snapshot(id: str, revision: str | None = None) -> Path | None:
    """What of a hub model was fetched before, all that is needed or not; None where nothing was.

    Raises UserError for what is no hub id.
    """
    # Imported here: the hub client is not needed to plan a run on local weights.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # Without patterns the client judges whether all of the repository is there.
        here = snapshot_download(id, revision=revision, allow_patterns=[], local_files_only=True)
        return Path(here)
    except HFValidationError as error:
        raise UserError(f"weights {id!r}: no such file or folder, and no hub id") from error
    except LocalEntryNotFoundError:
        return None


def fetched(id: str, files: Files, revision: str | None = None, beside: Sequence[str] = ()) -> Path:
    """The snapshot of a hub model with what is needed of it and `beside`, asked of the hub.

    Whatever the hub's client raises is raised.
    """
    from huggingface_hub import HfApi, snapshot_download

    names = HfApi().list_repo_files(id, revision=revision)
    chosen = [escape(name) for name in Wanted.of(files).chosen(names)]
    return Path(snapshot_download(id, revision=revision, allow_patterns=[*chosen, *beside]))


def found(id: str, wanted: Wanted, revision: str | None, download: bool) -> Path:
    """The snapshot of a hub model with all that is wanted, fetched if it has to be and may be.

    Raises UserError, one line: what is missing, where it was looked for, and how to get it.
    """
    from huggingface_hub import constants

    here = snapshot(id, revision)
    if (here is None or wanted.lacking_in(here)) and download and not constants.HF_HUB_OFFLINE:
        # The hub's client raises many kinds, all of them "not to be had now".
        with suppress(Exception):
            here = fetched(id, wanted, revision)
    lacking = wanted.lacking_in(here) if here is not None else []
    if here is not None and not lacking:
        return here
    at = f" --revision {revision}" if revision else ""
    asked = "offline: the hub was not asked" if constants.HF_HUB_OFFLINE else "on the hub"
    what = f"lack {'; '.join(lacking)}" if lacking else "not found"
    raise UserError(
        f"weights {id!r} {what}: looked at ./{id}, in the hub cache "
        f"{here or constants.HF_HUB_CACHE} and {asked}; fetch them with `smp models pull` or "
        f"`hf download {id}{at}`, or set `weights` to a local path or to `random`"
    )
