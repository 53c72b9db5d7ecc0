"""What can go wrong through no fault of the program: each error names the value, the allowed, the way out.

::

    BrainexpError
    ├── ConfigError    a name, option or combination that cannot be
    ├── DataError      a file, recording or stimulus that is not what it should be
    └── ModelError     weights or hardware that are not there
"""


class BrainexpError(Exception):
    """A mistake that the user can mend; the command line shows its words and no stack trace."""


class ConfigError(BrainexpError):
    """A name, an option or a combination of options that cannot be."""


class DataError(BrainexpError):
    """A file, a recording or a stimulus that is missing, broken or not what was declared."""


class ModelError(BrainexpError):
    """Model weights or hardware that are not there."""
