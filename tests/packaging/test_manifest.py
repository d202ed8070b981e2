"""The manifest: one value, one form, and nothing believed that breaks the rules."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alforja_packaging.course import Course, Lesson, Section, choose_text
from alforja_packaging.errors import FormatError, UnsupportedFormat, VerifyError
from alforja_packaging.jsonform import format_json
from alforja_packaging.layout import path_key
from alforja_packaging.manifest import File, Manifest, digests_behind, format_manifest, parse_manifest


def can_be_a_name(name: str) -> bool:
    """Lone surrogates that happen to spell valid UTF-8 are not what a tree's walk gives."""
    raw = name.encode("utf-8", "surrogateescape")
    return name not in (".", "..") and raw.decode("utf-8", "surrogateescape") == name


def as_manifest(fields: str, contents: int = 0) -> bytes:
    """A manifest with these fields, which come in order, and with so many contents."""
    return f"alforja-manifest 1\n{{{fields}}}\n".encode() + b"".join(bytes([n]) * 32 for n in range(contents))


letters = st.characters(codec="utf-8", exclude_characters="/\0") | st.sampled_from([chr(0xDC80), chr(0xDCFF)])
paths = st.text(letters, min_size=1, max_size=12).filter(can_be_a_name)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    names = sorted(draw(st.sets(paths, max_size=6)), key=path_key)
    digests = {name: bytes([draw(st.integers(0, 3))]) * 32 for name in names}
    files = tuple(File(name, digests[name][0], digests[name]) for name in names)
    words = st.dictionaries(st.sampled_from(["es", "en", "zh-Hans", "und"]), st.text(max_size=8), min_size=1)
    lessons = tuple(
        Lesson(f"l{number}", draw(words), tuple(draw(st.lists(st.sampled_from(names), max_size=3)) if names else ()))
        for number in range(draw(st.integers(0, 3)))
    )
    course = Course("maths", draw(words), sections=(Section(draw(words), lessons),), licence=draw(st.text(max_size=5)))
    extra = draw(st.dictionaries(st.sampled_from(["x-later", "zz"]), st.integers() | st.text(max_size=4)))
    return Manifest("moe", draw(st.integers(1, 99)), course, files, extra=extra)


@given(manifests())
@settings(deadline=None)
def test_what_is_written_is_read_back(manifest: Manifest) -> None:
    data = format_manifest(manifest)

    assert parse_manifest(data) == manifest
    assert format_manifest(parse_manifest(data)) == data


@given(manifests(), st.data())
@settings(deadline=None)
def test_changed_bytes_are_refused_or_are_another_manifest(manifest: Manifest, data: st.DataObject) -> None:
    written = bytearray(format_manifest(manifest))
    written[data.draw(st.integers(0, len(written) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = parse_manifest(bytes(written))
    except (FormatError, VerifyError):
        return

    assert format_manifest(read) == bytes(written)


def a_manifest(*names: str) -> Manifest:
    files = tuple(File(name, 1, bytes([number]) * 32) for number, name in enumerate(names))
    return Manifest("moe", 1, Course("maths", {"en": "Maths"}), files)


def test_a_digest_stands_once_however_many_paths_share_it() -> None:
    one = a_manifest("a", "b")
    shared = replace(one, files=(one.files[0], replace(one.files[0], path="b")))

    assert format_manifest(shared).count(bytes(32)) == 1
    assert json.loads(format_manifest(shared).split(b"\n")[1])["files"] == [["a", 1], ["b", 1, "a"]]
    assert parse_manifest(format_manifest(shared)) == shared


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (a_manifest("b", "a"), "not in order"),
        (a_manifest("a", "a"), "not in order"),
        (a_manifest("a", "a/b"), "is a file and a folder at once"),
        (a_manifest("../a"), "`..` part"),
        (a_manifest("/a"), "empty"),
        (a_manifest("a\0"), "NUL"),
        (a_manifest("x" * 256), "longer than 255"),
        (replace(a_manifest("a"), release=0), "not a number from 1"),
        (replace(a_manifest("a"), publisher="../x"), "not a usable name"),
        (replace(a_manifest("a"), publisher="timestamp"), "not a usable name"),
        (replace(a_manifest("a"), course=Course("maths", {"no tag": "x"})), "not a BCP 47 tag"),
        (
            replace(a_manifest("a"), course=Course("maths", {}, sections=(Section({}, (Lesson("l", {}, ("z",)),)),))),
            "does not hold",
        ),
    ],
)
def test_what_breaks_the_rules_is_not_written(manifest: Manifest, words: str) -> None:
    with pytest.raises(FormatError, match=re.escape(words)):
        format_manifest(manifest)


def test_unknown_fields_are_kept_and_unknown_versions_refused() -> None:
    data = format_manifest(replace(a_manifest("a"), extra={"z-later": {"deep": [1, "x"]}}))

    assert parse_manifest(data).extra == {"z-later": {"deep": [1, "x"]}}
    with pytest.raises(UnsupportedFormat, match="version 2, this program knows up to 1"):
        parse_manifest(data.replace(b"alforja-manifest 1", b"alforja-manifest 2", 1))


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":1,"a":2}',
        b"[]",
        b'{"files": []}',
        b'{"files":[["a",true]]}',
        b'{"files":[["a",1,"b"]]}',
        b"[" * 100_000,
        b'{"files":[["a",' + b"9" * 5_000 + b"]]}",
    ],
)
def test_json_that_is_not_the_one_form_is_refused(line: bytes) -> None:
    with pytest.raises(FormatError):
        parse_manifest(b"alforja-manifest 1\n" + line + b"\n")


FIELDS = '"course":"maths","files":[%s],"languages":[],"publisher":"moe","release":1,"sections":[%s],"title":{"en":"x"}'


def test_a_field_in_the_one_form_is_taken() -> None:
    for files, contents in (("", 0), ('["a",1]', 1), ('["\\udc80",1]', 1), ('["a",1],["b",1,"a"]', 1)):
        data = as_manifest(FIELDS % (files, ""), contents)

        assert format_manifest(parse_manifest(data)) == data


@pytest.mark.parametrize(
    ("files", "contents", "words"),
    [
        ('["a",1,"c"],["b",1],["c",1]', 2, "of one that is not listed before it"),
        ('["a",1],["b",2,"a"]', 1, "has another size than the owner of its content"),
        ('["a",1],["b",1,"a"],["c",1,"b"]', 1, "of one that is not listed"),
        ('["a",1.0]', 1, "is not [path, size]"),
        ('["a",1e0]', 1, "is not [path, size]"),
        ('["a",NaN]', 1, "is not [path, size]"),
        ('["a",-0]', 1, "is not [path, size]"),
        ('["a", 1]', 1, "is not [path, size]"),
        ('["\\u0061",1]', 1, "not written in the one form"),
        ('["\\uDC80",1]', 1, "not written in the one form"),
        ('["\\ud800",1]', 1, "a path is not readable"),
        ('["\\udcc3\\udca9",1]', 1, "not written in the one form"),
        ('["a",-1]', 1, "is not [path, size]"),
        (f'["a",{2**43 + 1}]', 1, "out of bounds"),
        ('["a",1],', 1, "is not [path, size]"),
        (f'["a",{10**15}]', 1, "is not [path, size]"),
        ('["a",1],["b",1]', 1, "32 bytes of digests for 2 contents"),
    ],
)
def test_files_in_another_form_are_refused(files: str, contents: int, words: str) -> None:
    with pytest.raises(FormatError, match=re.escape(words)):
        parse_manifest(as_manifest(FIELDS % (files, ""), contents))


@pytest.mark.parametrize("version", [b"0", b"01", b"+1", b" 1", b"1 ", b"", b"1.0", b"1\r", b"1234567"])
def test_a_version_has_one_form(version: bytes) -> None:
    data = format_manifest(a_manifest("a"))
    with pytest.raises(FormatError, match="does not begin with"):
        parse_manifest(data.replace(b"manifest 1", b"manifest " + version, 1))


def test_half_a_character_is_not_written() -> None:
    for text in ("\ud800", "\udfff", "\udc7f"):
        with pytest.raises(FormatError, match="half a character"):
            format_manifest(replace(a_manifest("a"), course=Course("maths", {"en": text})))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-2, 3) | st.text(max_size=3) | st.sampled_from(["a", "en"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KNOWN = ["author", "course", "description", "files", "folders", "languages", "licence", "publisher", "release",
    "sections", "title"]  # fmt: skip


@given(manifests(), st.sampled_from(KNOWN), anything)
def test_any_value_in_any_field_is_refused_or_kept(manifest: Manifest, name: str, value: object) -> None:
    data = format_manifest(manifest)
    magic, line, table = data.split(b"\n", 2)
    changed = b"\n".join([magic, format_json(json.loads(line) | {name: value}).encode(), table])
    try:
        read = parse_manifest(changed)
    except (FormatError, VerifyError):
        return

    assert format_manifest(read) == changed


@pytest.mark.parametrize(
    "section",
    ['{"lessons":[],"title":{},"x-later":1}', '{"lessons":[{"core":[],"id":"a","title":{},"x-later":1}],"title":{}}'],
)
def test_unknown_fields_are_kept_at_every_depth(section: str) -> None:
    data = as_manifest(FIELDS % ("", section))

    assert format_manifest(parse_manifest(data)) == data


def test_a_manifest_beyond_its_bound_is_neither_written_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = format_manifest(a_manifest("a", "b"))
    monkeypatch.setattr("alforja_packaging.manifest.MANIFEST_MAX_BYTES", len(data) - 1)

    with pytest.raises(FormatError, match=f"its manifest has {len(data)} bytes, {len(data) - 1} are allowed"):
        format_manifest(a_manifest("a", "b"))
    with pytest.raises(FormatError, match=f"{len(data)} bytes, more than the {len(data) - 1}"):
        parse_manifest(data)


def test_a_table_of_another_length_is_refused() -> None:
    data = format_manifest(a_manifest("a", "b"))

    assert len(data.split(b"\n", 2)[2]) == 64
    for wrong in (data[:-1], data + b"x", data[:-32] + data[-64:-32]):
        with pytest.raises(FormatError):
            parse_manifest(wrong)


def test_a_reader_gets_their_language_or_the_next_best() -> None:
    text = {"es": "Agua", "pt-BR": "Água", "en": "Water"}

    assert choose_text(text, ["pt"]) == ("pt-BR", "Água")
    assert choose_text(text, ["en-GB", "es"]) == ("en", "Water")
    assert choose_text(text, ["qu"]) == ("es", "Agua")
    assert choose_text({}, ["qu"]) == ("und", "")


@given(manifests(), st.integers(1, 400))
def test_the_digests_of_a_sound_manifest_are_found_however_it_is_cut(manifest: Manifest, length: int) -> None:
    data = format_manifest(manifest)
    chunks = (data[at : at + length] for at in range(0, len(data), length))

    assert digests_behind(chunks) == b"".join(content.digest for content in manifest.contents)
