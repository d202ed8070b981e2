"""What a reader is shown: which courses, lessons and parts, and in which language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_node.library.addresses import format_path, parse_content_path, resolve
from alforja_node.library.parts import Caption, Download, Media, Page, lesson_pages, make_parts, split_language
from alforja_node.library.tongues import direction_of, name_of, parse_wanted
from alforja_node.library.view import (
    Phrase,
    Shelf,
    Shown,
    find_place,
    languages_on,
    lesson_state,
    make_catalogue,
    make_outline,
    say,
)
from alforja_node.library.words import TABLES, words_for
from alforja_packaging.course import Lesson, Section
from alforja_packaging.layout import check_path
from tests.node.library_shelf import make_manifest

NAMES = [
    "a.en.md", "a.es.md", "app/index.html", "b.md", "clip.png", "clip.en.vtt", "clip.vtt", "clip-es.vtt", "clip.mp4",
    "clip.webm", "data.zip", "guide.pdf", "notes.txt", "pic.png", "quiz.html", "style.css", "talk.en.mp3",
    "talk.es.mp3",
]  # fmt: skip
FILES = {name: name.encode() for name in NAMES}


def show(*lessons: Lesson, missing: tuple[str, ...] = (), languages: tuple[str, ...] = ("es", "en")) -> Shown:
    manifest = make_manifest(FILES, lessons, languages=languages)
    return Shown(manifest, manifest.digests_of(missing))


def test_a_lesson_can_be_used_as_soon_as_its_core_is_here() -> None:
    lesson = Lesson("l", {"es": "L"}, ("a.es.md", "style.css"), ("clip.mp4", "guide.pdf"))
    states = {
        missing: lesson_state(show(lesson, missing=missing), lesson)
        for missing in [(), ("quiz.html",), ("clip.mp4",), ("clip.mp4", "guide.pdf"), ("style.css",)]
    }

    assert list(states.values()) == ["here", "here", "partly", "partly", "coming"]


def test_a_lesson_without_a_core_needs_something_rich() -> None:
    lesson = Lesson("l", {"es": "L"}, (), ("clip.mp4", "guide.pdf"))

    assert lesson_state(show(lesson, missing=("clip.mp4",)), lesson) == "partly"
    assert lesson_state(show(lesson, missing=("clip.mp4", "guide.pdf")), lesson) == "coming"


def test_the_catalogue_is_in_the_readers_language_and_counts_what_can_be_opened() -> None:
    shown = show(
        Lesson("one", {"es": "Uno"}, ("a.es.md",)),
        Lesson("two", {"es": "Dos"}, ("b.md",)),
        missing=("b.md",),
    )
    (card,) = make_catalogue(Shelf({("moe", "water"): shown}), ("fr", "en-GB"))

    assert (card.title, card.lessons_usable, card.lessons_total, card.complete) == (Phrase("Water", "en"), 1, 2, False)
    assert languages_on(Shelf({("moe", "water"): shown})) == ("es", "en")


def test_neighbours_are_the_lessons_that_can_be_opened() -> None:
    lessons = [Lesson(name, {"es": name}, (path,)) for name, path in zip("abcd", NAMES, strict=False)]
    shown = show(*lessons, missing=(NAMES[1],))
    place = find_place(shown, "c", ())
    first = find_place(shown, "a", ())

    assert place is not None
    assert place.previous is not None
    assert place.next is not None
    assert (place.row.number, place.previous.id, place.next.id) == (3, "a", "d")
    assert first is not None
    assert first.previous is None
    assert find_place(shown, "none", ()) is None


def test_an_outline_begins_with_the_first_lesson_that_can_be_opened() -> None:
    lessons = [Lesson("a", {"es": "A"}, ("a.es.md",)), Lesson("b", {"es": "B"}, ("b.md",))]
    outline = make_outline(show(*lessons, missing=("a.es.md",)), ("es",))

    assert outline.first is not None
    assert outline.first.id == "b"
    assert [row.state for row in outline.sections[0].lessons] == ["coming", "here"]
    assert outline.sections[0].title == Phrase("")


def test_a_section_has_its_own_title_where_it_says_more_than_the_course() -> None:
    manifest = make_manifest(FILES, sections=[Section({"en": "Rain"}), Section({"en": "Rivers"})])

    assert [section.title.text for section in make_outline(Shown(manifest), ("en",)).sections] == ["Rain", "Rivers"]


def test_words_nobody_wrote_fall_back_to_the_name() -> None:
    assert say({"en": "  "}, (), "water") == Phrase("water")
    assert say({"und": "Agua"}, ("es",)) == Phrase("Agua")


def test_a_page_is_shown_in_the_readers_language_beside_its_others() -> None:
    lesson = Lesson("l", {"es": "L"}, ("a.es.md", "a.en.md", "quiz.html", "style.css", "app/index.html"))
    parts = make_parts(show(lesson), lesson, ("en",))

    assert parts.pages == (Page("a.en.md", "markdown", "en", ("es",)), Page("quiz.html", "html", ""))
    assert parts.languages == ("es", "en")


def test_a_page_without_a_language_is_in_the_one_that_is_left() -> None:
    shown = Shown(make_manifest({"p.md": b"1", "p.en.md": b"2"}, languages=("qu", "en")))
    lesson = Lesson("l", {}, ("p.md", "p.en.md"))

    assert make_parts(shown, lesson, ("qu",)).pages[0].path == "p.md"
    assert make_parts(shown, lesson, ("en",)).pages[0].path == "p.en.md"


def test_a_language_is_read_from_a_folder_too() -> None:
    assert split_language("es/water/page.md", ("es", "zh-Hans")) == ("*/water/page.md", "es")
    assert split_language("x/page.zh_hans.md", ("es", "zh-Hans")) == ("x/page.md", "zh-Hans")
    assert split_language("img/jquery.min.js", ("es",)) == ("img/jquery.min.js", "")
    assert split_language("es", ("es",)) == ("es", "")


def test_a_video_comes_with_its_forms_its_captions_and_its_picture() -> None:
    lesson = Lesson("l", {}, ("clip.png", "clip.vtt", "clip-es.vtt", "clip.en.vtt"), ("clip.mp4", "clip.webm"))
    parts = make_parts(show(lesson), lesson, ())
    captions = (Caption("clip.vtt", ""), Caption("clip-es.vtt", "es"), Caption("clip.en.vtt", "en"))

    assert parts.media == (Media("video", ("clip.mp4", "clip.webm"), 8, True, captions, "clip.png"),)
    assert parts.pictures == ()
    assert parts.downloads == ()


def test_a_sound_is_played_in_the_readers_language() -> None:
    lesson = Lesson("l", {}, ("b.md",), ("talk.es.mp3", "talk.en.mp3"))

    assert [one.sources for one in make_parts(show(lesson), lesson, ("en",)).media] == [("talk.en.mp3",)]


def test_a_recording_on_its_way_is_announced() -> None:
    lesson = Lesson("l", {}, ("b.md",), ("clip.mp4",))
    (media,) = make_parts(show(lesson, missing=("clip.mp4",)), lesson, ()).media

    assert not media.here


def test_an_html_page_plays_its_own_media_and_a_reader_may_still_take_them() -> None:
    lesson = Lesson("l", {}, ("quiz.html", "style.css", "pic.png"), ("clip.mp4", "data.zip", "guide.pdf"))
    parts = make_parts(show(lesson), lesson, ())

    assert parts.media == ()
    assert [one.path for one in parts.downloads] == ["clip.mp4", "guide.pdf"]


def test_pictures_are_shown_when_there_is_nothing_else_to_read() -> None:
    bare = Lesson("l", {}, ("pic.png",), ("data.zip",))
    written = Lesson("l", {}, ("b.md", "pic.png"))

    assert make_parts(show(bare), bare, ()).pictures == ("pic.png",)
    assert make_parts(show(bare), bare, ()).downloads == (Download("data.zip", 8, True),)
    assert make_parts(show(written), written, ()).pictures == ()


def test_pages_are_those_before_anything_they_pull_in() -> None:
    lesson = Lesson("l", {}, ("b.md", "guide.pdf", "quiz.html", "style.css", "app/index.html"))

    assert lesson_pages(show(lesson), lesson) == ("b.md", "quiz.html")


def test_a_text_too_long_to_be_shown_is_offered_as_a_file() -> None:
    files = {"long.md": b"x" * (600 * 1024)}
    lesson = Lesson("l", {}, ("long.md",))
    parts = make_parts(Shown(make_manifest(files, [lesson])), lesson, ())

    assert (parts.pages, [one.path for one in parts.downloads]) == ((), ["long.md"])


def test_more_than_three_framed_pages_become_links() -> None:
    files = {f"{number}.html": bytes([number]) for number in range(4)}
    lesson = Lesson("l", {}, tuple(files))
    pages = make_parts(Shown(make_manifest(files, [lesson])), lesson, ()).pages

    assert [page.framed for page in pages] == [True, False, False, False]


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("b.md", ("x/b.md", "")),
        ("../b.md#part", ("b.md", "part")),
        ("/b.md", ("b.md", "")),
        ("./y//b.md?q=1", ("x/y/b.md", "")),
        ("#here", ("x/a.md", "here")),
        ("a%20b.md", ("x/a b.md", "")),
        ("../../b.md", None),
        ("http://example.org/b.md", None),
        ("//example.org/b.md", None),
        ("mailto:a@b", None),
        ("..\\b.md", None),
        ("http://[broken", None),
    ],
)
def test_an_address_on_a_page_leads_to_a_path_of_the_course(address: str, found: tuple[str, str] | None) -> None:
    assert resolve("x/a.md", address) == found


@given(st.lists(st.binary(min_size=1, max_size=8).filter(lambda name: not {0, 47} & set(name)), min_size=1, max_size=4))
def test_every_name_a_disk_can_hold_has_an_address(names: list[bytes]) -> None:
    path = b"/".join(name if name not in (b".", b"..") else b"x" for name in names).decode("utf-8", "surrogateescape")
    check_path(path)
    asked = parse_content_path(f"/moe/water/3/{format_path(path)}?open")

    assert asked is not None
    assert (asked.publisher, asked.course, asked.release, asked.path) == ("moe", "water", 3, path)
    assert format_path(path).isascii()


def test_the_chosen_language_goes_before_the_browsers() -> None:
    assert parse_wanted("qu", "en;q=0.5, fr-CA, *;q=0.1, es;q=0") == ("qu", "fr-CA", "en")
    assert parse_wanted("<script>", ", ;q=x,en") == ("en",)
    assert len(parse_wanted("", ",".join(["en", "fr"] * 500))) == 2


@pytest.mark.parametrize(
    ("tag", "name", "direction"),
    [
        ("ar", "العربية", "rtl"),
        ("pt-BR", "Português (Brasil)", "ltr"),
        ("es-419", "Español (419)", "ltr"),
        ("tlh", "tlh", "ltr"),
        ("pa-Arab", "ਪੰਜਾਬੀ (Arab)", "rtl"),
        ("az-Latn", "az-Latn", "ltr"),
        ("ar-Latn", "العربية (Latn)", "ltr"),
    ],
)
def test_a_language_is_called_by_its_own_name(tag: str, name: str, direction: str) -> None:
    assert (name_of(tag), direction_of(tag)) == (name, direction)


@pytest.mark.parametrize("lang", sorted(TABLES))
def test_the_library_speaks_every_one_of_its_languages_wholly(lang: str) -> None:
    def shape(words: str | tuple[str, str]) -> list[int]:
        return [text.count("{}") for text in ((words,) if isinstance(words, str) else words)]

    assert {key: shape(words) for key, words in TABLES[lang].items()} == {
        key: shape(words) for key, words in TABLES["en"].items()
    }


def test_none_is_one_in_french_and_many_in_english() -> None:
    assert words_for(("fr-CA",)).count("count_lessons", 0) == "0 leçon"
    assert words_for(("tlh",)).count("count_lessons", 0) == "0 lessons"
    assert words_for(("es",)).count("count_lessons", 1) == "1 lección"
