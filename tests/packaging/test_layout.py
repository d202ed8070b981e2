"""Names and paths: one form for each, and none that leads elsewhere."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_packaging import layout
from alforja_packaging.errors import FormatError


def is_id(text: str) -> bool:
    try:
        layout.check_id("course", text)
    except FormatError:
        return False
    return True


ids = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True).filter(is_id)
releases = st.integers(1, 999_999_999)


@pytest.mark.parametrize("name", ["a", "7", "maths-7", "a" * 63, "com", "com10", "roots"])
def test_a_usable_name_is_taken_as_it_is(name: str) -> None:
    assert layout.check_id("course", name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "-", "a-", "-a", "a" * 64, "A", "a.b", "a/b", "a b", "a%2e", "ñ", "a\n", "..", "\0", "a_b",
        "root", "timestamp", "snapshot", "targets", "con", "prn", "aux", "nul", "com0", "com9", "lpt0", "lpt9",
    ],
)  # fmt: skip
def test_a_name_that_means_something_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match=rf"^course {re.escape(repr(name))}: not a usable name$"):
        layout.check_id("course", name)


@pytest.mark.parametrize("tag", ["es", "quz-PE", "zh-Hans-CN", "und", "de-1996", "sl-rozaj-biske"])
def test_a_language_tag_is_taken_as_it_is(tag: str) -> None:
    assert layout.check_language(tag) == tag


@pytest.mark.parametrize("tag", ["", "e", "es_PE", "es-", "-es", "es-toolongsubtag", "español", "es\n", "12"])
def test_what_is_no_language_tag_is_refused(tag: str) -> None:
    with pytest.raises(FormatError, match="not a BCP 47 tag"):
        layout.check_language(tag)


@given(st.binary(min_size=1, max_size=20))
def test_every_name_a_posix_tree_can_hold_has_a_path_and_gets_its_bytes_back(raw: bytes) -> None:
    name = raw.replace(b"/", b"x").replace(b"\0", b"x")
    path = "folder/" + name.decode("utf-8", "surrogateescape")
    if name in (b".", b".."):
        return

    assert layout.path_key(layout.check_path(path)) == b"folder/" + name == os.fsencode(path)


@given(st.text(st.sampled_from("aé€😀./\0\udc80\udcc3\udca9\udcff\ud800\n"), max_size=8))
def test_two_paths_that_are_taken_are_never_the_same_file(text: str) -> None:
    try:
        layout.check_path(text)
    except FormatError:
        return

    assert os.fsdecode(os.fsencode(text)) == text
    assert os.path.normpath(text) == text
    assert not text.startswith("/")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "empty"), ("/a", "has an empty"), ("a//b", "has an empty"), ("a/", "has an empty"), (".", "`..` part"),
        ("a/../b", "`..` part"), ("./a", "`..` part"), ("a\0", "holds NUL"), ("x" * 256, "longer than 255"),
        ("ü" * 128, "longer than 255"), ("/".join(["x" * 255] * 17), "longer than 4096"),
        ("\ud800", "no file name can have"), ("\udcc3\udca9", "spells out bytes that are a character"),
    ],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_or_nowhere_is_refused(path: str, words: str) -> None:
    with pytest.raises(FormatError, match=re.escape(words)):
        layout.check_path(path)


def test_the_longest_names_are_taken() -> None:
    for path in ("x" * 255, "ü" * 127, "/".join(["x" * 255] * 16)):
        assert layout.check_path(path) == path


@given(ids, ids, releases)
def test_a_bundle_path_is_read_back(publisher: str, course: str, release: int) -> None:
    path = layout.bundle_path(publisher, course, release)

    assert layout.parse_bundle_path(path) == (publisher, course, release)
    assert layout.check_pack_name(f"{layout.bundle_name(course, release)}/install")
    for start in (layout.Start(release), layout.Start(release, course)):
        assert layout.check_pack_name(f"{layout.bundle_name(course, release)}/{layout.update_name(start)}")
        assert layout.parse_start(str(start)) == start


@given(st.text(st.sampled_from("bundles/moe.17%-\n\0A"), max_size=24))
def test_any_other_bundle_path_is_refused(tail: str) -> None:
    for path in (tail, f"bundles/{tail}", f"bundles/moe/{tail}"):
        try:
            parts = layout.parse_bundle_path(path)
        except FormatError:
            continue
        assert layout.bundle_path(*parts) == path


@pytest.mark.parametrize(
    "path",
    [
        "bundles/moe/%2e%2e.1", "bundles/moe/maths.0", "bundles/moe/maths.01", "bundles/moe/maths.1\n",
        "bundles/moe/maths.1234567890", "bundles/root/maths.1", "bundles/moe/maths.1/x", "/bundles/moe/maths.1",
    ],
)  # fmt: skip
def test_a_bundle_path_of_another_shape_is_refused(path: str) -> None:
    with pytest.raises(FormatError):
        layout.parse_bundle_path(path)


@pytest.mark.parametrize(
    "name",
    [
        "maths.1", "maths.1/manifest", "../maths.1/install", "maths.1/from-0", "maths.1/from-", "maths.1/install\n",
        "M.1/install",
    ],
)  # fmt: skip
def test_a_pack_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="not of the form"):
        layout.check_pack_name(name)


@given(st.lists(st.text(st.sampled_from("ab/"), min_size=1, max_size=5), max_size=6))
def test_clashes_are_the_paths_that_a_file_system_could_not_hold_with_the_others(paths: list[str]) -> None:
    clashing = {path for path in paths if any(other.startswith(path + "/") for other in paths)}

    assert layout.find_clashes(paths) == sorted(clashing, key=layout.path_key)


@pytest.mark.parametrize(
    ("path", "ending", "kind"),
    [
        ("a/b.HTML", "html", "text/html"), ("tar.gz/readme", "", "application/octet-stream"),
        (".html", "", "application/octet-stream"), ("a.b.md", "md", "text/markdown"),
        ("x.exe", "exe", "application/octet-stream"), ("film.mp4.", "", "application/octet-stream"),
    ],
)  # fmt: skip
def test_a_media_type_follows_from_the_ending_alone(path: str, ending: str, kind: str) -> None:
    assert (layout.ending(path), layout.media_type(path)) == (ending, kind)


@pytest.mark.parametrize(
    ("path", "size", "part"),
    [
        ("a.html", 4 * 2**20, "core"), ("a.html", 4 * 2**20 + 1, "rich"), ("a.srt", 9, "core"), ("a.woff2", 9, "core"),
        ("a.png", 256 * 1024, "core"), ("a.png", 256 * 1024 + 1, "rich"), ("a.mp4", 1, "rich"), ("a.opus", 1, "rich"),
        ("a.h5p", 1, "core"), ("a", 0, "core"), ("a.json", 300_000, "core"), ("a.pdf", 300_000, "rich"),
    ],
)  # fmt: skip
def test_core_is_what_a_lesson_needs_to_be_read(path: str, size: int, part: str) -> None:
    assert layout.part_of(path, size) == part


def test_places_in_store_and_repository() -> None:
    assert layout.file_path(bytes(32)) == f"files/00/{'00' * 32}"
    assert layout.trust_delta_path(7) == "trust/after/7"
