"""The few exception types of posewright; everything else is a built-in one.

The command line turns these, `ValueError`, `LookupError` and `OSError` into one line on stderr.
"""


class InputError(ValueError):
    """A file or value from the user cannot be used: the message says what came, what was expected, what to do."""


class MissingAssetError(LookupError):
    """A model file or clip is not on this machine and could not be obtained."""


class MissingExtraError(ImportError):
    """An optional package is needed: the message names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: pip install 'posewright[{extra}]'"
        )
