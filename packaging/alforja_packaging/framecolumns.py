"""The frames of an index as columns, and back. docs/format.md section 6.4.

What can be worked out is not written: contents come in order, bases are whole, a
frame lies behind the one before it, and what lay at a file's own path is one flag.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from alforja_packaging.columns import Columns, fold, put_numbers, unfold
from alforja_packaging.errors import FormatError
from alforja_packaging.files import NOWHERE
from alforja_packaging.frames import PIECE_MAX_BYTES, Frame, Piece, check_frame

KIND_NAMES: Final = ("plain", "prefix", "patch")  # format.md section 7: by their numbers
NEEDS_MAX: Final = 15  # one column holds kind and needs
PIECES_MAX: Final = 2**18  # of all frames, beside two for each content they give: what a small head can become

_LISTED, _OWN, _OWN_FIRST, _OWN_WHOLE = 1, 2, 4, 8


@dataclass(frozen=True, slots=True)
class Contents:
    """What pieces are counted among: sizes of the held contents, then of the new ones.

    `fresh` are the new contents that frames give, `olds` the held content that lay
    at each one's path (or `NOWHERE`). `freely` are the needs that every reader meets.
    """

    held: Sequence[int]
    new: Sequence[int]
    fresh: Sequence[int]
    olds: Sequence[int]
    freely: int

    def size(self, content: int) -> int:
        """Bytes of a content, counted over both."""
        return self.held[content] if content < len(self.held) else self.new[content - len(self.held)]

    def own(self, outputs: Iterable[Piece], *, whole: bool) -> tuple[Piece, ...]:
        """What lay at the outputs' own paths: all of it, or what lay at the same place; each once."""
        found: dict[Piece, None] = {}
        for piece in outputs:
            old = self.olds[bisect_left(self.fresh, piece.content)]
            if old != NOWHERE:
                size = self.held[old]
                offset = 0 if whole else piece.offset
                length = size if whole else min(PIECE_MAX_BYTES, size - offset)
                found |= {Piece(old, offset, length): None} if length > 0 else {}
        return tuple(found)


class Given:
    """What frames have given so far: each content whole and in order, for each set of needs.

    A content may be given again by a frame that needs less: a reader takes the first it can undo.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._whole: dict[int, bytearray] = {}
        self._partly: dict[tuple[int, int], int] = {}

    def rank(self, content: int) -> int:
        """The place of a content among those that frames give. Raises FormatError."""
        fresh = self._contents.fresh
        rank = bisect_left(fresh, content)
        if rank == len(fresh) or fresh[rank] != content:
            raise FormatError("index: gives a content that is held, or is not there")
        return rank

    def at(self, rank: int, needs: int) -> int:
        """Where the next piece of a content must begin. Raises FormatError when it was given already."""
        if (needs, rank) in self._partly:
            return self._partly[needs, rank]
        for known, whole in self._whole.items():
            begun = whole[rank] or (known, rank) in self._partly
            if begun and (known == needs or known & needs != needs):
                raise FormatError("index: a content is given twice, and not for readers that can do less")
        return 0

    def give(self, rank: int, needs: int, end: int) -> bool:
        """Note that a content is given up to `end`; tell whether that is all of it."""
        whole = self._whole.setdefault(needs, bytearray(len(self._contents.fresh)))
        if end == self._contents.new[self._contents.fresh[rank]]:
            self._partly.pop((needs, rank), None)
            whole[rank] = 1
            return True
        self._partly[needs, rank] = end
        return False

    def check_base(self, base: Piece, needs: int) -> None:
        """Raise FormatError unless a base is held, or was given whole to whoever can undo what needs `needs`."""
        content = base.content - len(self._contents.held)
        if content >= 0:
            rank = self.rank(content)
            if not any(whole[rank] for known, whole in self._whole.items() if known & needs == known):
                raise FormatError("index: a frame's base is not held when it is needed")

    def check_all(self) -> None:
        """Raise FormatError unless every content was given whole to every reader."""
        if self._partly:
            raise FormatError("index: a content is given in part only")
        free = [whole for known, whole in self._whole.items() if known & self._contents.freely == known]
        missing = int.from_bytes(b"\1" * len(self._contents.fresh))
        for whole in free:
            missing &= ~int.from_bytes(whole)
        if missing:
            raise FormatError("index: a content is not given, or not to every reader")


@dataclass(slots=True)
class _Runs:
    """Pieces as they are written: neighbours are one run."""

    counts: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    forms: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def put(self, step: int, *, length: int = 0, joined: bool = False) -> None:
        """Add a whole content, or a part of `length` bytes; `joined` to the whole one before it."""
        if joined and self.counts[-1] and not length and step == 0 and not self.forms[-1] & 1:
            self.forms[-1] += 2
            return
        self.counts[-1] += 1
        self.steps.append(fold(step))
        self.forms.append(length << 1 | 1 if length else 0)


def put_frames(frames: Sequence[Frame], contents: Contents) -> bytes:
    """Write frames. Raises FormatError for what a reader would refuse."""
    given, outputs, bases = Given(contents), _Runs(), _Runs()
    modes, places, ends, expected = [], [], dict[int, int](), 0
    for frame in frames:
        if frame.pack:
            places.append(fold(frame.offset - ends.get(frame.pack, 0)))
            ends[frame.pack] = frame.offset + frame.length
        modes.append(_put_bases(frame, contents, bases))
        for base in frame.bases:
            given.check_base(base, frame.needs)
        expected = _put_outputs(frame, given, outputs, expected)
    given.check_all()
    if sum(len(frame.outputs) + len(frame.bases) for frame in frames) > PIECES_MAX + 2 * len(contents.fresh):
        raise FormatError(f"index: its frames have more than {PIECES_MAX} bases")
    columns = [
        [KIND_NAMES.index(frame.kind) << 4 | frame.needs for frame in frames],
        [frame.length for frame in frames], [frame.pack for frame in frames], places, outputs.counts, modes,
        [count for count, mode in zip(bases.counts, modes, strict=True) if mode & _LISTED],
        outputs.steps, outputs.forms, bases.steps, bases.forms, bases.offsets,
    ]  # fmt: skip
    return put_numbers([len(frames), *(number for column in columns for number in column)])


def _put_outputs(frame: Frame, given: Given, runs: _Runs, expected: int) -> int:
    runs.counts.append(0)
    for place, piece in enumerate(frame.outputs):
        rank = given.rank(piece.content)
        if given.at(rank, frame.needs) != piece.offset:
            raise FormatError("index: a content is not given in order")
        whole = given.give(rank, frame.needs, piece.offset + piece.length)
        runs.put(rank - expected, length=0 if whole else piece.length, joined=place > 0)
        expected = rank + whole
    return expected


def _put_bases(frame: Frame, contents: Contents, runs: _Runs) -> int:
    """Write a frame's bases as the shortest of what can be said; give the mode that says how."""
    runs.counts.append(0)
    mode, listed = (_LISTED, frame.bases) if frame.bases else (0, ())
    for how in (_OWN, _OWN | _OWN_WHOLE):
        own = contents.own(frame.outputs, whole=bool(how & _OWN_WHOLE))
        if mode == _LISTED and own and frame.bases[-len(own) :] == own:
            mode, listed = how, frame.bases[: -len(own)]
        elif mode == _LISTED and own and frame.bases[: len(own)] == own:
            mode, listed = how | _OWN_FIRST, frame.bases[len(own) :]
    expected, end = 0, (0, 0)
    for place, piece in enumerate(listed):
        whole = piece.offset == 0 and piece.length == contents.size(piece.content)
        runs.put(piece.content - expected, length=0 if whole else piece.length, joined=place > 0)
        if not whole:
            runs.offsets.append(fold(piece.offset - (end[1] if end[0] == piece.content else 0)))
            end = (piece.content, piece.offset + piece.length)
        expected = piece.content + whole
    return mode | (_LISTED if listed else 0)


def take_frames(columns: Columns, contents: Contents, head: int, packs: int) -> tuple[Frame, ...]:
    """Read frames. `head` is where the first own one lies, `packs` the number of others that are listed."""
    return _Taker(columns, contents, head, packs).frames()


class _Taker:
    """Frames as they are read."""

    def __init__(self, columns: Columns, contents: Contents, head: int, packs: int) -> None:
        self._columns, self._contents, self._given = columns, contents, Given(contents)
        count = columns.number(PIECES_MAX + 2 * len(contents.fresh))
        self._kinds, self._lengths = columns.numbers(count), columns.numbers(count)
        self._packs = columns.numbers(count)
        if max(self._packs, default=0) > packs:
            raise FormatError("index: names a pack that it does not list")
        self._places = iter(columns.numbers(sum(1 for pack in self._packs if pack)))
        self._output_runs, self._modes = columns.numbers(count), columns.numbers(count)
        listed = iter(columns.numbers(sum(mode & _LISTED for mode in self._modes)))
        self._base_runs = [next(listed) if mode & _LISTED else 0 for mode in self._modes]
        total = sum(self._output_runs)
        self._steps, self._forms = iter(columns.numbers(total)), iter(columns.numbers(total))
        total = sum(self._base_runs)
        self._base_steps, forms = iter(columns.numbers(total)), columns.numbers(total)
        self._base_forms = iter(forms)
        self._base_offsets = iter(columns.numbers(sum(form & 1 for form in forms)))
        self._ends = {0: head}
        self._expected, self._room = 0, PIECES_MAX + 2 * len(contents.fresh)

    def frames(self) -> tuple[Frame, ...]:
        """All frames, checked."""
        found = tuple(self._frame(place) for place in range(len(self._kinds)))
        self._given.check_all()
        return found

    def _frame(self, place: int) -> Frame:
        kind, needs = self._kinds[place] >> 4, self._kinds[place] & NEEDS_MAX
        if kind >= len(KIND_NAMES):
            raise FormatError(f"frame of kind {kind}: unknown to this program", advice="upgrade this program")
        pack, length = self._packs[place], self._lengths[place]
        offset = self._ends.get(pack, 0) + (unfold(next(self._places)) if pack else 0)
        self._ends[pack] = offset + length
        bases = tuple(self._bases(self._base_runs[place]))
        for base in bases:  # before the outputs: a frame is no base of itself
            self._given.check_base(base, needs)
        outputs = tuple(self._outputs(self._output_runs[place], needs))
        frame = Frame(KIND_NAMES[kind], pack, offset, length, outputs, self._with_own(place, bases, outputs), needs)
        check_frame(frame)
        return frame

    def _with_own(self, place: int, listed: tuple[Piece, ...], outputs: tuple[Piece, ...]) -> tuple[Piece, ...]:
        mode = self._modes[place]
        if not mode & _OWN:
            return listed
        own = self._contents.own(outputs, whole=bool(mode & _OWN_WHOLE))
        self._take_room(len(own))
        return own + listed if mode & _OWN_FIRST else listed + own

    def _outputs(self, runs: int, needs: int) -> Iterator[Piece]:
        for _ in range(runs):
            rank, form = self._expected + unfold(next(self._steps)), next(self._forms)
            count = 1 if form & 1 else (form >> 1) + 1
            self._take_room(count)
            if not 0 <= rank <= len(self._contents.fresh) - count:
                raise FormatError("index: names a content that is not there")
            for one in range(rank, rank + count):
                content = self._contents.fresh[one]
                size, offset = self._contents.new[content], self._given.at(one, needs)
                length = form >> 1 if form & 1 else size - offset
                if length > size - offset or (form & 1 and not length):
                    raise FormatError("index: names bytes outside a content")
                whole = self._given.give(one, needs, offset + length)
                self._expected = one + whole
                yield Piece(content, offset, length)

    def _bases(self, runs: int) -> Iterator[Piece]:
        expected, end = 0, (0, 0)
        for _ in range(runs):
            content, form = expected + unfold(next(self._base_steps)), next(self._base_forms)
            count = 1 if form & 1 else (form >> 1) + 1
            self._take_room(count)
            if not 0 <= content <= len(self._contents.held) + len(self._contents.new) - count:
                raise FormatError("index: names a content that is not there")
            if not form & 1:
                yield from (Piece(one, 0, self._contents.size(one)) for one in range(content, content + count))
                expected = content + count
                continue
            offset = unfold(next(self._base_offsets)) + (end[1] if end[0] == content else 0)
            if offset < 0 or not 0 < form >> 1 <= self._contents.size(content) - offset:
                raise FormatError("index: names bytes outside a content")
            yield Piece(content, offset, form >> 1)
            end, expected = (content, offset + (form >> 1)), content

    def _take_room(self, pieces: int) -> None:
        """Count pieces before they are made: a few bytes may stand for very many."""
        self._room -= pieces
        if self._room < 0:
            raise FormatError(f"index: its frames have more than {PIECES_MAX} bases")
