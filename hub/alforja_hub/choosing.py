"""Choose among the ways in which drafts were encoded: for whoever can do least, and for those that can do more.

Whoever can do more fetches less; for all others the same contents come again by
frames that need less (docs/format.md section 6.4). Nothing here opens a file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from alforja_hub.encoding import Encoded
from alforja_packaging.frames import NEEDS_ENCODERS, NEEDS_JPEG_XL, NEEDS_ZLIB, Frame, Needs
from alforja_packaging.seal import Draft

READERS: Final[Sequence[Needs]] = (
    0, NEEDS_ZLIB, NEEDS_ZLIB | NEEDS_ENCODERS, NEEDS_ZLIB | NEEDS_ENCODERS | NEEDS_JPEG_XL
)  # fmt: skip
"""What readers can do for whom frames are made; each can do what those before it can."""
WORTH: Final = 0.02
"""A choice must be smaller than all that need less by this part: they lie in the pack beside it."""

Choices = Mapping[Needs, Encoded]
"""A draft's frames by what their readers can do, those for whoever can do least first."""
Made = tuple[Frame, Encoded]


def choose(drafts: Sequence[Draft], choices: Sequence[Choices], kept: Sequence[Frame], held: int) -> list[list[Made]]:
    """Give for each draft its frames, the one that needs most first and the one for every reader last.

    Bases are counted over `held` contents, then the new ones; `kept` are the pack's
    other frames. Whoever cannot undo a frame must not lack the bases of others, so of
    what gives bases only the last is taken. Drafts that give pieces of one content
    choose together: a reader takes all of it by frames of the same needs.
    """
    found = _least(drafts, choices, held)
    needs_of = {piece.content: frame.needs for [(frame, _)] in found for piece in frame.outputs}
    serving = {base for frame in kept for base in _new_bases(frame, held)}
    for draft, choice in zip(drafts, choices, strict=True):
        serving.update(base for one in choice.values() for base in _new_bases(_frame(draft, one), held))
    for group in _groups(drafts):
        if not serving.isdisjoint(piece.content for place in group for piece in drafts[place].outputs):
            continue
        taken = [found[place][0] for place in group]
        for able in READERS[1:]:
            better = [_smallest(drafts[place], choices[place], able) for place in group]
            needs = taken[0][0].needs
            for frame, _ in better:
                needs |= frame.needs
                for base in _new_bases(frame, held):
                    needs |= needs_of.get(base, 0)
            if _length(better) > (1 - WORTH) * _length(taken):
                continue
            same = needs == taken[0][0].needs  # then nobody takes the larger one
            taken = [(replace(frame, needs=needs), one) for frame, one in better]
            for place, made in zip(group, taken, strict=True):
                found[place][: int(same)] = [made]
    return found


def _least(drafts: Sequence[Draft], choices: Sequence[Choices], held: int) -> list[list[Made]]:
    """Give the frames for every reader. Each needs what its bases do, and what gives the rest of its contents does."""
    encoded = [next(iter(choice.values())) for choice in choices]
    frames = [_frame(draft, one) for draft, one in zip(drafts, encoded, strict=True)]
    needs_of: dict[int, Needs] = {}
    before = None
    while needs_of != before:
        before = dict(needs_of)
        for place, frame in enumerate(frames):
            outputs = {piece.content for piece in frame.outputs}
            needs = frame.needs
            for content in (*outputs, *_new_bases(frame, held)):
                needs |= needs_of.get(content, 0)
            needs_of |= dict.fromkeys(outputs, needs)
            frames[place] = replace(frame, needs=needs)
    return [[made] for made in zip(frames, encoded, strict=True)]


def _smallest(draft: Draft, choices: Choices, able: Needs) -> Made:
    """The smallest frame for a reader."""
    fitting = (one for known, one in choices.items() if known & able == known and one.length)
    best = min(fitting, key=lambda one: one.length)
    return _frame(draft, best), best


def _frame(draft: Draft, encoded: Encoded) -> Frame:
    bases = tuple(draft.bases[place] for place in encoded.bases)
    return Frame(encoded.kind, 0, 0, encoded.length, draft.outputs, bases, encoded.needs)


def _groups(drafts: Sequence[Draft]) -> list[list[int]]:
    """Part the places of drafts, so that those that give pieces of the same content come together."""
    group_of: dict[int, list[int]] = {}
    for place, draft in enumerate(drafts):
        contents = {piece.content for piece in draft.outputs}
        others = {id(group): group for content in contents if (group := group_of.get(content))}
        joined = [*(one for group in others.values() for one in group), place]
        for one in joined if others else [place]:
            group_of |= dict.fromkeys((piece.content for piece in drafts[one].outputs), joined)
    return list({id(group): group for group in group_of.values()}.values())


def _new_bases(frame: Frame, held: int) -> Iterator[int]:
    return (base.content - held for base in frame.bases if base.content >= held)


def _length(frames: Sequence[Made]) -> int:
    return sum(one.length for _, one in frames)
