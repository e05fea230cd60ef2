"""The kinds of trouble: a clip's, a modality's, the user's, a stage's and the disk's."""


class ClipError(Exception):
    """Something is wrong with one clip; its reason is recorded and the other clips go on."""


class MissingModalityError(ClipError):
    """The clip has none of this modality (no face, no sound, no text): a state, not a fault."""


class UserError(Exception):
    """What a user can fix: one line that names the thing, both values and the way out."""


class DataError(UserError):
    """Something of the data needs a person first: the command is right, and exits with 1."""


class StageError(UserError):
    """The stage or the machine is at fault, and no clip: nothing of it is committed."""


class BrokenOffError(UserError):
    """A run that had begun could not go on; what is committed stays."""


class DamagedError(UserError):
    """What was written can't be read back: a flipped bit, a file that is gone."""


class UnfinishedError(UserError):
    """Something is not extracted yet."""


class ChangedError(UserError):
    """A run wrote again what is being read: what was read of it before does not go with it."""
