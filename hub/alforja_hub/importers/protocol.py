"""What every importer gives, whatever it reads.

An importer is synchronous and deterministic: the same tree gives the same result
on any machine, and nothing is asked of a network or a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alforja_packaging.course import Course

Content = Path | bytes
"""Where a file's bytes lie now, or the bytes themselves when the importer made them."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A course as it was found, ready to be laid into a workspace.

    `files` maps every course path to its bytes, in the order of the paths' bytes.
    `folders` are those that hold no file. `notes` tell, one sentence each, what
    could not be taken and why.
    """

    course: Course
    files: Mapping[str, Content]
    folders: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Importer(Protocol):
    """Reads one kind of course from a folder."""

    @property
    def name(self) -> str:
        """The word after `--as`."""
        ...

    def recognises(self, source: Path) -> bool:
        """Tell whether a folder looks like this kind of course."""
        ...

    def read(self, source: Path, course_id: str) -> Imported:
        """Read a course from a folder. Raises FormatError, naming what cannot be read."""
        ...
