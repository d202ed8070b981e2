"""Decide what each file of a release costs: share out the bytes of frames, and say why.

A frame holds several files. Its bytes are shared out in proportion to weights,
to the last byte. Nothing here opens a file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from alforja_packaging.frames import Frame
from alforja_packaging.index import Index
from alforja_packaging.manifest import File, Manifest

Reason = Literal["new", "changed", "moved", "copied"]
How = Literal["whole", "patched", "opened", ""]


@dataclass(frozen=True, slots=True)
class Weighed:
    """What one piece of a frame weighs beside the others, and the bases that serve it, as numbers of contents.

    `opened`: a stream inside it is packed again.
    """

    weight: int
    bases: tuple[int, ...] = ()
    opened: bool = False


Weigh = Callable[[Frame], Sequence[Weighed]]
"""Weighs all outputs of a frame, in their order."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one file costs, in bytes on the wire, and why. `bases` are the paths it is made from."""

    path: str
    reason: Reason
    how: How
    cost: int
    size: int
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """What one way to a release costs: its head, then its files, the dearest first."""

    start: int | None
    release: int
    head: int
    rows: tuple[Row, ...]
    hints: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Bytes a school fetches."""
        return self.head + sum(row.cost for row in self.rows)

    def sums(self) -> Mapping[tuple[Reason, How], tuple[int, int]]:
        """Files and bytes by reason, the dearest first."""
        found: dict[tuple[Reason, How], tuple[int, int]] = {}
        for row in self.rows:
            files, cost = found.get((row.reason, row.how), (0, 0))
            found[row.reason, row.how] = (files + 1, cost + row.cost)
        return dict(sorted(found.items(), key=lambda item: -item[1][1]))


@dataclass(slots=True)
class _Given:
    """What frames say of one content, gathered."""

    cost: int = 0
    opened: bool = False
    bases: dict[int, None] = field(default_factory=dict)


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Share out `total` in proportion to weights, whole and to the last unit.

    Nobody is more than one unit from the exact share (largest remainders; the
    first wins a tie). Weights that are all zero count as equal.
    """
    if not weights:
        return []
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    rests = sorted(range(len(weights)), key=lambda place: (-(total * weights[place] % whole), place))
    for place in rests[: total - sum(shares)]:
        shares[place] += 1
    return shares


def make_rows(manifest: Manifest, held: Manifest | None, index: Index, weigh: Weigh) -> list[Row]:
    """List all files that differ from the held release, the dearest first. Their costs add up to that of all frames."""
    given: dict[int, _Given] = {}
    for frame in index.everybodys:  # it is told what a release costs whoever can do least
        weighed = weigh(frame)
        shares = apportion(frame.length, [one.weight for one in weighed])
        for piece, one, share in zip(frame.outputs, weighed, shares, strict=True):
            content = given.setdefault(piece.content, _Given())
            content.cost += share
            content.opened |= one.opened
            content.bases.update(dict.fromkeys(one.bases))
    rows = [
        _row(manifest, held, file, given.get(manifest.number_of[file.digest], _Given()))
        for file in manifest.files
        if held is None or file.path not in held.by_path or held.by_path[file.path].digest != file.digest
    ]
    return sorted(rows, key=lambda row: (-row.cost, -row.size, row.path))


def _row(manifest: Manifest, held: Manifest | None, file: File, given: _Given) -> Row:
    number = manifest.number_of[file.digest]
    owner = manifest.contents[number].path
    if held and file.digest in held.number_of:
        source = held.contents[held.number_of[file.digest]].path
        stays = manifest.by_path.get(source)
        reason: Reason = "copied" if stays and stays.digest == file.digest else "moved"
        return Row(file.path, reason, "", 0, file.size, (source,))
    if owner != file.path:
        return Row(file.path, "copied", "", 0, file.size, (owner,))
    shift = len(held.contents) if held else 0
    served = [
        held.contents[base].path if held and base < shift else manifest.contents[base - shift].path
        for base in given.bases
    ]
    served.sort(key=lambda path: path != file.path)  # its own earlier state first
    how: How = "opened" if given.opened else "patched" if served else "whole"
    known = held is not None and file.path in held.by_path
    return Row(file.path, "changed" if known else "new", how, given.cost, file.size, tuple(dict.fromkeys(served)))
