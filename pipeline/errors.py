"""The three kinds of trouble: a clip's, a modality's and the user's."""


class ClipError(Exception):
    """Something is wrong with one clip; its reason is recorded and the other clips go on."""


class MissingModalityError(ClipError):
    """The clip has none of this modality (no face, no sound, no text): a state, not a fault."""


class UserError(Exception):
    """What a user can mend: one line that names the thing, both values and the way out."""
