"""Metadata as a delta: comes back byte for byte, and nothing hostile gets far."""

import hashlib
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from alforja_packaging import codec
from alforja_packaging.columns import put_numbers
from alforja_packaging.errors import AlforjaError, FormatError, UnsupportedFormat, VerifyError
from alforja_packaging.jsonform import format_json
from alforja_packaging.trustdelta import (
    FILES_MAX,
    VERSION_MAX,
    Change,
    fingerprint,
    format_delta,
    parse_delta,
)

SIGNED = b'{"signatures":[{"keyid":"%s","sig":"%s"}],"signed":{"expires":"2027-01-0%dT00:00:00Z","version":%d}}'
HELD = {"4.moe.json": SIGNED % (b"ab" * 32, b"01" * 64, 1, 4), "timestamp.json": b'{"version":9}'}
CHANGES = [
    Change("5.moe.json", SIGNED % (b"ab" * 32, b"cd" * 64, 2, 5), "4.moe.json"),
    Change("1.uni.json", b"{}"),
    Change("timestamp.json", b'{"version":10}', "timestamp.json"),
]


def delta(*numbers: int, text: bytes = b"", raw: bytes = b"") -> bytes:
    columns = put_numbers(numbers) + text
    return b"alforja-trust 2 %d %d\n\0" % (len(columns) + 1, len(columns)) + columns + raw


# Whatever is true comes back


names = st.from_regex(r"[1-9][0-9]{0,3}\.[a-z0-9][a-z0-9-]{0,8}\.json", fullmatch=True)
held_files = st.dictionaries(names, st.binary(max_size=300), max_size=5)


@given(held_files, st.data())
def test_any_files_come_back_from_any_held_ones(held: dict[str, bytes], data: st.DataObject) -> None:
    new = data.draw(st.dictionaries(names, st.binary(max_size=300), max_size=6))
    likeness = st.sampled_from(["", *held])
    changes = [Change(name, content, data.draw(likeness)) for name, content in new.items()]
    written = format_delta(3, 7, changes, held)
    read = parse_delta(written, 3, held)

    assert (read.from_version, read.to_version, read.files) == (3, 7, new)
    assert format_delta(3, 7, changes, held) == written


def test_nothing_new_is_a_few_bytes() -> None:
    data = format_delta(9, 9, [], {})

    assert len(data) < 25
    assert parse_delta(data, 9, {}).files == {}


def test_a_change_costs_its_signature_and_little_more() -> None:
    assert len(format_delta(9, 10, CHANGES[:1], HELD)) < 64 + 50


def test_a_file_in_another_form_comes_back_as_it_is() -> None:
    for data in (b'{"a": 1}', b'{"a":1.0}', b'{"a":1,"a":1}', b'{"b":1,"a":1}', b"\xff", b"[1]", b'{"a":"\\u00e9"}'):
        assert parse_delta(format_delta(0, 1, [Change("1.a.json", data)], {}), 0, {}).files == {"1.a.json": data}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-2, 2) | st.text(max_size=4)
    | st.sampled_from(["2026-02-28T23:59:59Z", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z"])
    | st.sampled_from(["ab" * 16, "cd" * 16, "AB" * 16, "ab" * 16 + "0"])
    | st.datetimes().map(lambda moment: f"{moment.year:04}-{moment:%m-%dT%H:%M:%SZ}"),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abc", max_size=2) | st.sampled_from(["ab" * 16, "cd" * 16]), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@st.composite
def edited(draw: st.DrawFn, value: Any) -> Any:
    """A value of JSON changed in a few places."""
    if draw(st.integers(0, 3)) == 0:
        return draw(values)
    if isinstance(value, dict):
        kept = {key: draw(edited(one)) for key, one in value.items() if draw(st.integers(0, 4))}
        return kept | draw(st.dictionaries(st.text("abc", max_size=2), values, max_size=2))
    if isinstance(value, list):
        return [draw(edited(one)) for one in value]
    return value


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_comes_back_against_any_other(data: st.DataObject) -> None:
    before = {"a": data.draw(values)}
    after = data.draw(edited(before))
    assume(isinstance(after, dict))
    files = [format_json(value).encode() for value in (before, after) if has_one_form(value)]
    assume(len(files) == 2)
    written = format_delta(1, 2, [Change("2.a.json", files[1], "1.a.json")], {"1.a.json": files[0]})

    assert parse_delta(written, 1, {"1.a.json": files[0]}).files == {"2.a.json": files[1]}


def has_one_form(value: Any) -> bool:
    try:
        return bool(format_json(value))
    except FormatError:
        return False


def test_many_members_change_as_few_do() -> None:
    before = {f"key{number:03}": number for number in range(200)}
    after = before | {"key007": 8, "key150": 1}
    files = [format_json({"a": value, "b": list(value.values())}).encode() for value in (before, after)]
    written = format_delta(1, 2, [Change("2.a.json", files[1], "1.a.json")], {"1.a.json": files[0]})

    assert parse_delta(written, 1, {"1.a.json": files[0]}).files == {"2.a.json": files[1]}
    assert len(written) < 60


def test_a_key_id_travels_once() -> None:
    keyid = hashlib.sha256(b"key").hexdigest()
    data = format_json(
        {"keys": {keyid: {"public": "ef" * 32}}, "roles": [keyid, keyid], "x": {"keyid": keyid}}
    ).encode()
    written = format_delta(0, 1, [Change("1.root.json", data)], {})

    assert written.count(bytes.fromhex(keyid)) == 1
    assert len(written) < 64 + 90


# Whatever is false is refused


@given(st.integers(0), st.integers(1, 255))
def test_no_flipped_byte_raises_anything_else(place: int, bits: int) -> None:
    data = bytearray(format_delta(9, 10, CHANGES, HELD))
    data[place % len(data)] ^= bits
    try:
        parse_delta(bytes(data), 9, HELD)
    except AlforjaError:
        return  # and what passes is for signatures to judge


@given(st.lists(st.integers(0, 12) | st.integers(0, 2**63 - 1), max_size=40), st.binary(max_size=80))
def test_no_columns_raise_anything_else(numbers: list[int], raw: bytes) -> None:
    for start in ((9, 10, 1, 4, 3), (9, 10, 1, 0, 1, 0), (9, 10)):
        try:
            parse_delta(delta(*start, *numbers, raw=raw), 9, HELD)
        except AlforjaError:
            continue


@pytest.mark.parametrize("end", range(0, len(format_delta(9, 10, CHANGES, HELD)), 7))
def test_a_truncated_delta_is_refused_wherever_it_ends(end: int) -> None:
    with pytest.raises((FormatError, VerifyError), match="trust delta: "):
        parse_delta(format_delta(9, 10, CHANGES, HELD)[:end], 9, HELD)


def test_what_follows_the_end_is_refused() -> None:
    for data in (format_delta(9, 9, [], {}), format_delta(9, 10, CHANGES, HELD)):
        with pytest.raises(FormatError, match="goes on behind its end"):
            parse_delta(data + b"x", 9, HELD)


def test_a_delta_for_another_version_is_refused() -> None:
    with pytest.raises(FormatError, match="does not lead on from version 8"):
        parse_delta(format_delta(9, 10, CHANGES, HELD), 8, HELD)


@pytest.mark.parametrize(("version", "words"), [(1, "reads none before 2"), (3, "knows up to 2")])
def test_another_format_is_named(version: int, words: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"format version {version}, this program {words}") as caught:
        parse_delta(b"alforja-trust %d 4\n{}{}" % version, 9, {})

    assert (caught.value.version, caught.value.newest_known) == (version, 2)


A_FILE = (9, 10, 1, 0, 1, 0)  # the timestamp, against the held one
NEW_FILE = (9, 10, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not begin"), (b"<html>", "does not begin"), (b"alforja-trust", "does not begin"),
        (b"alforja-trust 2 1\n\0", "does not begin"), (b"alforja-trust 2 9 9 9\n", "does not begin"),
        (b"alforja-trust 2 99 9\n\0", "cut short"), (b"alforja-trust 2 1 99999999\n\0", "more than metadata may have"),
        (delta(9), "ends within"), (delta(9, VERSION_MAX + 1, 0), "where at most"), (delta(2**63 - 1, 0, 0), "at most"),
        (delta(9, 10, FILES_MAX + 1), "where at most 4096"), (delta(9, 10, 1, 5), "states 5 where at most 4"),
        (delta(9, 10, 2, 0, 0, 1, 0, 0, 0, 1, 0), "a file is there twice"),
        (delta(9, 10, 1, 4, 64), "where at most 63"),
        (delta(9, 10, 1, 4, 3, text=b"../\1\0\1\0"), "something that is not metadata"),
        (delta(9, 10, 1, 4, 3, text=b"Moe\1\0\1\0"), "something that is not metadata"),
        (delta(9, 10, 1, 4, 3, text=b"mo\xe9\1\0\1\0"), "something that is not metadata"),
        (delta(9, 10, 1, 4, 4, text=b"root\1\0\1\0"), "something that is not metadata"),
        (delta(9, 10, 1, 3, 0, 0, 1, 0), "something that is not metadata"),
        (delta(9, 10, 1, 4, 3, text=b"moe\5\2\1\0"), "takes '3.moe.json' to be held"),
        (delta(9, 10, 1, 4, 3, text=b"moe\5\6\1\0"), "states 6 where at most 5"),
        (delta(9, 10, 1, 0, 0, 2), "states 2 where at most 1"), (delta(9, 10, 1, 0, 0, 1, 9), "ends within"),
        (delta(*A_FILE, 10), "states 10 where at most 9"), (delta(*NEW_FILE, 0), "likens a value to none"),
        (delta(*NEW_FILE, 1), "likens a value to none"), (delta(*NEW_FILE, 4, 2**40), "more than metadata may have"),
        (delta(*NEW_FILE, 4, 32), "ends within"), (delta(*NEW_FILE, 4, 0, 0), "repeats bytes that are not there"),
        (delta(*NEW_FILE, 5, 2**62), "a date beyond all bounds"), (delta(*NEW_FILE, 6, 1, 255), "a text that is none"),
        (delta(*NEW_FILE, 6, 2**30), "more than metadata may have"), (delta(*NEW_FILE, 9, 1, 123), "not readable JSON"),
        (delta(*NEW_FILE, 9, 3, text=b"1e9"), "is not a whole number"),
        (delta(*NEW_FILE, *[7, 1] * 40, 3, 0), "nested too deeply"), (delta(*NEW_FILE, 7, 2**31), "ends within"),
        (delta(*NEW_FILE, 8, 3, 1), "states 1 where at most 0"), (delta(*NEW_FILE, 8, 3, 0, 3), "of an unknown form"),
        (delta(*NEW_FILE, 8, 5, 0, 2, 97, 3, 0, 0, 2, 97, 3, 0), "holds a key twice"),
        (delta(*A_FILE, 1, 4), "changes where nothing is"), (delta(*A_FILE, 1, 1, 2), "states 2 where at most 1"),
        (delta(*A_FILE, 1, 3, 0, 0, 1, 0, 7, 0), "holds a key twice"),
        (delta(*A_FILE, 1, 3, 0, 0, 1, 0, 9), "states 9 where at most 7"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_what_is_not_a_delta_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse_delta(data, 9, HELD)


def test_a_bomb_gives_no_more_than_it_said() -> None:
    bomb = b"\1" + codec.compress(bytes(64 * 2**20))
    assert len(bomb) < 20_000
    tracemalloc.start()
    with pytest.raises(VerifyError, match="gives more than the 1000 bytes it should"):
        parse_delta(b"alforja-trust 2 %d 1000\n" % len(bomb) + bomb, 9, HELD)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * 2**20


def test_what_is_held_and_named_thousands_of_times_takes_no_memory() -> None:
    held = {"4.moe.json": b'{"a":"' + b"x" * 5 * 2**20 + b'"}'}
    name = put_numbers([4, 3]) + b"moe"
    files = [name + put_numbers([version, version - 4, 0, 0]) for version in range(5, 4000)]
    keys = [put_numbers([1, 6, 0]) + b"%03d" % number + b"\0" for number in range(900)]
    tracemalloc.start()
    for text in (b"".join(files), name + put_numbers([5, 1, 0, 1, 1801, 0, 0]) + b"".join(keys)):
        with pytest.raises(FormatError, match="more than metadata may have"):
            parse_delta(delta(9, 10, 3995 if text[5:6] == b"\5" and text[8:9] == b"\0" else 1, text=text), 9, held)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 64 * 2**20  # and not 20 GiB


def test_people_compare_a_fingerprint_in_groups() -> None:
    assert fingerprint(b"root").startswith("4813 494d 137e 1631 ")
    assert len(fingerprint(b"root").split()) == 16
