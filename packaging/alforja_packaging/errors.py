"""The errors every part of Alforja raises, named for what the caller can do.

An error keeps its facts as fields. `exit_code` is what a command returns when
it ends with that error; `advice` is what a command prints below the message.
"""

from typing import ClassVar


class AlforjaError(Exception):
    """Anything Alforja itself reports; never raised bare."""

    exit_code: ClassVar[int] = 1
    advice: str = ""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        if advice:
            self.advice = advice


class VerifyError(AlforjaError):
    """Bytes are not what was signed or named: never retry the same bytes."""

    exit_code = 3
    advice = "nothing was stored; try another source, and tell whoever runs this one"


class FormatError(AlforjaError):
    """Bytes do not follow the format: upgrade, or republish."""

    exit_code = 4
    advice = "upgrade this program, or ask the publisher to publish again"


class LinkError(AlforjaError):
    """A source could not be reached or broke off: try at the next contact."""

    exit_code = 5
    advice = "what arrived is kept; run the command again when there is a connection"


class StoreError(AlforjaError):
    """The disk or its contents need a person."""

    exit_code = 6
    advice = "see the disk's free space and health, then run the command again"


class RequestError(AlforjaError):
    """What was asked for cannot be done as asked: ask differently."""

    exit_code = 7


class DigestMismatch(VerifyError):
    """A file's content does not hash to its name."""

    def __init__(self, what: str, wanted: str, got: str) -> None:
        super().__init__(f"{what}: wanted content {wanted[:12]}, got {got[:12]}")
        self.what, self.wanted, self.got = what, wanted, got


class UnsupportedFormat(FormatError):
    """A document states a version of the format this program does not know."""

    def __init__(self, what: str, version: int, newest_known: int) -> None:
        known = f"knows up to {newest_known}" if version > newest_known else f"reads none before {newest_known}"
        super().__init__(f"{what}: format version {version}, this program {known}")
        self.what, self.version, self.newest_known = what, version, newest_known
