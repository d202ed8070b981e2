"""A value of JSON as what differs from another one: signatures as bytes, numbers and dates as differences.

Knows nothing of what the values mean. docs/format.md section 8.3. Nothing here is
believed: what comes out are bytes that somebody signed, or is refused by who checks that.
"""

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from alforja_packaging.columns import NUMBER_MAX, Columns, fold, gaps, put_numbers, unfold
from alforja_packaging.jsonform import format_json, parse_value

DEPTH_MAX: Final = 32
MASK_BITS: Final = 48  # of a list or an object of no more members, one number says which have changed

_SAME, _LIKE, _DEEP, _NUMBER, _HEX, _DATE, _TEXT, _LIST, _OBJECT, _JSON = range(10)
_NEAR = 8  # keys to either side of one that comes, whose values may be its model: a writer's choice
_LAST = 2  # and of those that came before it
_TRIED = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_WRITTEN = "%Y-%m-%dT%H:%M:%SZ"
_HEX_FORM = re.compile(r"(?:[0-9a-f]{2}){16,}")
INT_MAX: Final = NUMBER_MAX // 4  # so that differences, folded, are numbers too
_NOTHING: Final = object()
"""The model where there is none."""


def _kind(value: object) -> int:
    """How a value is written."""
    if type(value) is int:
        return _NUMBER if -INT_MAX <= value <= INT_MAX else _JSON
    if isinstance(value, str):
        if _HEX_FORM.fullmatch(value):
            return _HEX
        return _TEXT if _seconds(value) is None else _DATE
    return _LIST if isinstance(value, list) else _OBJECT if isinstance(value, dict) else _JSON


def _seconds(text: str) -> int | None:
    """A date as seconds, None when it is none in the one form."""
    if len(text) != 20 or text[4] != "-":
        return None
    try:
        moment = datetime.strptime(text, _DATE_WRITTEN).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int((moment - _EPOCH).total_seconds()) if _date(moment) == text else None


def _date(moment: datetime) -> str:
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%SZ}"


def _is_like(value: Any, model: Any) -> bool:
    """Tell whether a value can be written as like its model: of one kind, and of one length where that counts."""
    kind = _JSON if model is _NOTHING else _kind(model)
    return kind != _JSON and kind == _kind(value) and (kind not in (_HEX, _LIST) or len(value) == len(model))


def _is_deep(value: Any, model: Any, depth: int) -> bool:
    """Tell whether all that has changed below a value is like its model, too."""
    if value == model:
        return True
    if depth >= DEPTH_MAX or not _is_like(value, model):
        return False
    if isinstance(value, list):
        return all(_is_deep(one, two, depth + 1) for one, two in zip(value, model, strict=True))
    if isinstance(value, dict):
        return all(_is_deep(value[key], model[key], depth + 1) for key in value.keys() & model.keys())
    return True


def _shared(one: bytes, two: bytes) -> int:
    most = min(len(one), len(two))
    return next((at for at in range(most) if one[at] != two[at]), most)


@dataclass(slots=True)
class Writer:
    """Values as they are written: columns, and bytes that nothing can pack."""

    columns: bytearray = field(default_factory=bytearray)
    raw: bytearray = field(default_factory=bytearray)
    elapsed: int = 0  # between the last date and its model: what is signed together is as far apart
    seen: dict[str, int] = field(default_factory=dict)  # what was written as bytes that had no model, in order

    def copy(self) -> "Writer":
        """What was written so far, to go back to."""
        return Writer(self.columns.copy(), self.raw.copy(), self.elapsed, self.seen.copy())

    def number(self, *numbers: int) -> None:
        """Write numbers."""
        self.columns += put_numbers(numbers)

    def text(self, text: bytes, model: bytes = b"") -> None:
        """Write a text: how much it shares with its model, and the rest."""
        shared = _shared(text, model)
        self.number(*([shared] if model else []), len(text) - shared)
        self.columns += text[shared:]

    def put(self, value: Any, model: Any = _NOTHING) -> None:
        """Write a value against its model."""
        self._put(value, model, 0, deep=False)

    def _put(self, value: Any, model: Any, depth: int, *, deep: bool) -> None:
        like = deep or _is_like(value, model)
        kind = _kind(value) if depth < DEPTH_MAX else _JSON
        if not deep:
            if model is not _NOTHING and value == model:
                self.number(_SAME)
                return
            like = like and kind != _JSON
            deep = like and _is_deep(value, model, depth)
            self.number(_DEEP if deep else _LIKE if like else kind)
        if kind == _NUMBER:
            self.number(fold(value - (model if like else 0)))
        elif kind == _HEX and like:
            self.raw += bytes.fromhex(value)
        elif kind == _HEX:
            self._put_hex(value)
        elif kind == _DATE:
            self._put_date(_seconds(value) or 0, (_seconds(model) or 0) if like else None)
        elif kind == _LIST:
            self._put_list(value, model if like else None, depth, deep=deep)
        elif kind == _OBJECT:
            self._put_object(value, model if like else {}, depth, deep=deep)
        else:
            text = _encode(value) if kind == _TEXT else format_json(value).encode()
            self.text(text, _encode(model) if like else b"")

    def _put_hex(self, value: str) -> None:
        """Write bytes, or how many others were written since they were: key ids come again and again."""
        if value in self.seen:
            self.number(0, len(self.seen) - 1 - self.seen[value])
            return
        self.seen[value] = len(self.seen)
        self.number(len(value) // 2)
        self.raw += bytes.fromhex(value)

    def _put_key(self, key: str, model: str) -> None:
        if _HEX_FORM.fullmatch(key):
            self.number(1)
            self._put_hex(key)
            return
        text, near = _encode(key), _encode(model)
        shared = _shared(text, near)
        self.number((len(text) - shared) << 1, *([shared] if near else []))
        self.columns += text[shared:]

    def _put_date(self, seconds: int, model: int | None) -> None:
        if model is None:
            self.number(fold(seconds))
            return
        self.number(fold(seconds - model - self.elapsed))
        self.elapsed = seconds - model

    def _put_list(self, value: Sequence[Any], model: Sequence[Any] | None, depth: int, *, deep: bool) -> None:
        if model is None:
            self.number(len(value))
            for place, one in enumerate(value):
                self._put(one, value[place - 1] if place else _NOTHING, depth + 1, deep=False)
            return
        other = [place for place, (one, two) in enumerate(zip(value, model, strict=True)) if one != two]
        self._put_changed(other, len(value))
        for place in other:
            self._put(value[place], model[place], depth + 1, deep=deep)

    def _put_changed(self, places: Sequence[int], count: int, *, times: int = 1) -> None:
        """Write which members have changed: as the bits of one number, if that is large enough."""
        if count <= MASK_BITS:
            self.number(times * sum(1 << place for place in places))
        else:
            self.number(times * len(places), *gaps(places))

    def _put_object(self, value: Mapping[str, Any], model: Mapping[str, Any], depth: int, *, deep: bool) -> None:
        known = sorted(model)
        stay = [key for key in known if key in value]
        gone = [place for place, key in enumerate(known) if key not in value]
        other = [place for place, key in enumerate(stay) if value[key] != model[key]]
        come = sorted(value.keys() - model.keys())
        if come or gone or not known:
            self.number(len(come) << 1 | 1, *([len(gone), *gaps(gone)] if known else []))
        if stay:
            self._put_changed(other, len(stay), times=1 if come or gone else 2)
        for place in other:
            self._put(value[stay[place]], model[stay[place]], depth + 1, deep=deep)
        for number, key in enumerate(come):
            at = bisect_left(known, key, hi=len(model))
            places = [*range(max(0, at - _NEAR), min(len(model), at + _NEAR))]
            places += range(len(known) - min(_LAST, number), len(known))
            choices = [(known[one], len(known) - one) for one in places]
            models = {one: value[one] if one not in model else model[one] for one, _ in choices}
            self._put_member(key, value[key], [(one, models[one], back) for one, back in choices], depth)
            known.append(key)

    def _put_member(self, key: str, value: Any, choices: Sequence[tuple[str, Any, int]], depth: int) -> None:
        """Write a key that comes, and its value against that of whichever known key serves best."""
        usable = sorted(
            (choice for choice in choices if _is_like(value, choice[1])),
            key=lambda choice: (-_shared(_encode(key), _encode(choice[0])), choice[2]),
        )
        options = usable[:_TRIED] or [("", _NOTHING, 0)]
        costs = [self._cost_of(key, value, option, depth) for option in options] if len(options) > 1 else [0]
        self._put_against(key, value, options[costs.index(min(costs))], depth)

    def _cost_of(self, key: str, value: Any, option: tuple[str, Any, int], depth: int) -> int:
        trial, seen = Writer(elapsed=self.elapsed, seen=self.seen), len(self.seen)
        trial._put_against(key, value, option, depth)
        while len(self.seen) > seen:
            self.seen.popitem()
        return len(trial.columns) + len(trial.raw)

    def _put_against(self, key: str, value: Any, option: tuple[str, Any, int], depth: int) -> None:
        near, model, back = option
        self.number(back)
        self._put_key(key, near)
        self._put(value, model, depth + 1, deep=False)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Reader:
    """Values as they are read. `most` bounds the bytes of JSON that they may come to."""

    def __init__(self, columns: Columns, raw: Columns, most: int) -> None:
        self._columns, self._raw, self._left = columns, raw, most
        self.elapsed, self.seen = 0, list[str]()

    def end(self) -> None:
        """Raise FormatError when something is left."""
        if self._columns.rest() or self._raw.rest():
            raise self._columns.fault("goes on behind its end")

    def spend(self, count: int) -> None:
        """Count bytes before they are made: one that is read may stand for all that is held."""
        self._left -= count
        if self._left < 0:
            raise self._columns.fault("comes to more than metadata may have")

    def take(self, model: Any = _NOTHING) -> Any:
        """Read a value against its model. Raises FormatError."""
        return self._take(model, 0, deep=False)

    def _take(self, model: Any, depth: int, *, deep: bool) -> Any:
        if depth > DEPTH_MAX:
            raise self._columns.fault("is nested too deeply")
        form = _DEEP if deep else self._columns.number(_JSON)
        like = form in (_LIKE, _DEEP)
        if form <= _DEEP and model is _NOTHING:
            raise self._columns.fault("likens a value to none")
        if form == _SAME:
            self.spend(len(format_json(model)))
            return model
        self.spend(1)
        kind = _kind(model) if like else form
        if kind == _NUMBER:
            return unfold(self._columns.number()) + (model if like else 0)
        if kind == _HEX:
            return self._take_bytes(len(model) // 2) if like else self._take_hex()
        if kind == _DATE:
            return self._take_date((_seconds(model) or 0) if like else None)
        if kind == _LIST:
            return self._take_list(model if like else None, depth, deep=form == _DEEP)
        if kind == _OBJECT:
            return self._take_object(model if like else {}, depth, deep=form == _DEEP)
        if kind == _TEXT:
            return self._take_text(_encode(model) if like else b"")
        if like:
            raise self._columns.fault("likens a value to one that has no like")
        return parse_value(self._take_text(b""), "metadata")

    def _take_bytes(self, length: int) -> str:
        self.spend(2 * length)
        return self._raw.take(length).hex()

    def _take_hex(self) -> str:
        length = self._columns.number()
        if not length:
            back = self._columns.number(len(self.seen))
            if back == len(self.seen):
                raise self._columns.fault("repeats bytes that are not there")
            self.spend(len(self.seen[-1 - back]))
            return self.seen[-1 - back]
        self.seen.append(self._take_bytes(length))
        return self.seen[-1]

    def _take_key(self, model: bytes) -> str:
        form = self._columns.number()
        if form == 1:
            return self._take_hex()
        if form & 1:
            raise self._columns.fault("holds a key of an unknown form")
        return self._take_run(self._columns.number(len(model)) if model else 0, form >> 1, model)

    def _take_date(self, model: int | None) -> str:
        elapsed = unfold(self._columns.number()) + (self.elapsed if model is not None else 0)
        if model is not None:
            self.elapsed = elapsed
        try:
            return _date(_EPOCH + timedelta(seconds=elapsed + (model or 0)))
        except OverflowError:
            raise self._columns.fault("holds a date beyond all bounds") from None

    def _take_text(self, model: bytes) -> str:
        shared = self._columns.number(len(model)) if model else 0
        return self._take_run(shared, self._columns.number(), model)

    def _take_run(self, shared: int, length: int, model: bytes) -> str:
        self.spend(shared + length)
        try:
            return (model[:shared] + self._columns.take(length)).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise self._columns.fault("holds a text that is none") from None

    def _take_list(self, model: Sequence[Any] | None, depth: int, *, deep: bool) -> list[Any]:
        if model is None:
            found: list[Any] = []
            for _ in range(self._columns.number()):
                found.append(self._take(found[-1] if found else _NOTHING, depth + 1, deep=False))
            return found
        other = self._take_changed(self._columns.number(), len(model))
        return [self._take_or_keep(one, depth, changed=place in other, deep=deep) for place, one in enumerate(model)]

    def _take_or_keep(self, model: Any, depth: int, *, changed: bool, deep: bool) -> Any:
        if changed:
            return self._take(model, depth + 1, deep=deep)
        self.spend(len(format_json(model)))
        return model

    def _take_changed(self, number: int, count: int) -> set[int]:
        """The places of what has changed, from the bits of a number, or from so many gaps."""
        if count > MASK_BITS:
            return set(self._columns.places(number, count))
        if number >> count:
            raise self._columns.fault("has changes where nothing is")
        return {place for place in range(count) if number >> place & 1}

    def _take_object(self, model: Mapping[str, Any], depth: int, *, deep: bool) -> dict[str, Any]:
        known = sorted(model)
        form = self._columns.number()
        come = form >> 1 if form & 1 else 0
        gone = set(self._columns.places(self._columns.number(len(known)), len(known)) if known and form & 1 else ())
        stay = [key for place, key in enumerate(known) if place not in gone]
        changed = self._columns.number() if stay and form & 1 else form >> 1
        other = self._take_changed(changed, len(stay)) if stay else ()
        value = {
            key: self._take_or_keep(model[key], depth, changed=place in other, deep=deep)
            for place, key in enumerate(stay)
        }
        models = dict(model)
        for _ in range(come):
            back = self._columns.number(len(known))
            near = known[-back] if back else ""
            key = self._take_key(_encode(near))
            if key in models:
                raise self._columns.fault("holds a key twice")
            value[key] = models[key] = self._take(models[near] if back else _NOTHING, depth + 1, deep=False)
            known.append(key)
        return value
