"""The folder importer: carries any tree exactly, and finds its lessons."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alforja_hub.importers import Imported, choose_importer, open_source
from alforja_hub.importers.folder import FolderImporter
from alforja_hub.importers.languages import find_languages
from alforja_hub.importers.names import make_id, reading_order, tidy_title
from alforja_hub.importers.references import read_page, resolve
from alforja_packaging.course import Lesson
from alforja_packaging.errors import FormatError, RequestError
from alforja_packaging.layout import check_id, path_key


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path) -> Imported:
    return FolderImporter().read(folder, "course-1")


def only_lesson(imported: Imported) -> Lesson:
    (lesson,) = imported.course.lessons()
    return lesson


def test_every_name_and_every_empty_folder_is_carried(tmp_path: Path) -> None:
    names = [b"plain.md", b"with space.md", b"new\nline.txt", b"\xff\xfe.bin", "ñandú/水.html".encode(), b".hidden/x"]
    for name in names:
        place = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))  # noqa: PTH118
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(name)
    (tmp_path / "empty" / "deeper").mkdir(parents=True)

    imported = read(tmp_path)

    assert list(imported.files) == sorted([name.decode("utf-8", "surrogateescape") for name in names], key=path_key)
    assert imported.folders == ("empty/deeper",)
    for path, content in imported.files.items():
        assert isinstance(content, Path)
        assert content.read_bytes() == path.encode("utf-8", "surrogateescape")


def test_links_inside_are_followed_and_others_are_left_out_by_name(tmp_path: Path) -> None:
    tree = lay(tmp_path / "tree", {"a.md": "# A", "pics/p.png": b"png"})
    (tmp_path / "secret").write_text("no")
    (tree / "b.md").symlink_to("a.md")
    (tree / "more").symlink_to("pics")
    (tree / "pics" / "loop").symlink_to("..")
    (tree / "out").symlink_to("../secret")
    (tree / "gone").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")

    imported = read(tree)

    assert list(imported.files) == ["a.md", "b.md", "more/p.png", "pics/p.png"]
    assert imported.notes == (
        "'gone': left out, it is a link to something that is not there",
        "'more/loop': left out, it is a link to a folder that it lies in",
        "'out': left out, it is a link out of the course",
        "'pics/loop': left out, it is a link to a folder that it lies in",
        "'pipe': left out, it is a pipe",
    )


def test_a_socket_is_left_out_and_its_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run" / "s"))
        imported = read(tmp_path)

    assert imported.folders == ("run",)
    assert imported.notes == ("'run/s': left out, it is a socket",)


def test_a_thicket_of_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alforja_hub.importers.tree.FILES_MAX", 500)
    for at in range(12):
        (tmp_path / f"d{at}").mkdir()
        for name in ("x", "y"):
            (tmp_path / f"d{at}" / name).symlink_to(f"../d{at + 1}")
    (tmp_path / "d12").mkdir()

    with pytest.raises(FormatError, match="holds more than 500 files and folders"):
        read(tmp_path)


def test_names_that_differ_in_capitals_are_told(tmp_path: Path) -> None:
    lay(tmp_path, {"Water.md": "# W", "water.md": "# w"})

    assert any(note.startswith("'Water.md' and 'water.md': differ only in capital") for note in read(tmp_path).notes)


def test_a_page_brings_what_it_shows_split_into_core_and_rich(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "unit/page.html": (
                "<html lang=es><title>El agua</title><link rel=stylesheet href='../css/a.css'>"
                "<img src='small%20one.png' srcset='big.png 2x'><video src=v.mp4 poster=/unit/p.jpg></video>"
                "<a href=sheet.pdf>ficha</a><a href=other.html>otra</a>"
            ),
            "unit/other.html": "<title>Otra</title>",
            "unit/small one.png": b"s",
            "unit/big.png": b"b" * 300_000,
            "unit/v.mp4": b"v",
            "unit/v.es.vtt": "WEBVTT",
            "unit/p.jpg": b"p",
            "unit/sheet.pdf": b"%PDF",
            "css/a.css": "@import 'b.css'; body { background: url(\"../img/bg.svg\") }",
            "css/b.css": "@font-face { src: url(f.woff2) }",
            "css/f.woff2": b"f",
            "img/bg.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "unused.bin": b"u",
        },
    )

    imported = read(tmp_path)
    page, other = sorted(imported.course.lessons(), key=lambda lesson: lesson.id, reverse=True)

    assert page.title == {"es": "El agua"}
    assert page.core[0] == "unit/page.html"
    assert set(page.core[1:]) == {
        *("css/a.css", "css/b.css", "css/f.woff2", "img/bg.svg"),
        *("unit/small one.png", "unit/p.jpg", "unit/sheet.pdf", "unit/v.es.vtt"),
    }
    assert page.rich == ("unit/big.png", "unit/v.mp4")
    assert other.core == ("unit/other.html",)
    assert "unused.bin" in imported.files
    assert imported.course.languages == ("es",)


def test_languages_of_one_page_are_one_lesson(tmp_path: Path) -> None:
    lay(tmp_path, {"01-rio.es.md": "# El río\n![m](m.es.png)", "01-rio.en.md": "# The river", "m.es.png": b"m"})

    lesson = only_lesson(read(tmp_path))

    assert lesson == Lesson(
        "01-rio", {"en": "The river", "es": "El río"}, ("01-rio.en.md", "01-rio.es.md", "m.es.png"), ()
    )


def test_a_folder_for_each_language_is_one_course(tmp_path: Path) -> None:
    lay(tmp_path, {"es/u1/agua.md": "# Agua", "en/u1/agua.md": "# Water", "en/u2/fire.md": "# Fire"})

    sections = read(tmp_path).course.sections

    assert [[lesson.title for lesson in section.lessons] for section in sections] == [
        [{"en": "Water", "es": "Agua"}],
        [{"en": "Fire"}],
    ]


def test_a_folder_called_it_is_not_italian(tmp_path: Path) -> None:
    assert find_languages(["it/loops.md", "maths/loops.md"]) == {
        "it/loops.md": ("it/loops", ""),
        "maths/loops.md": ("maths/loops", ""),
    }


def test_sections_follow_folders_and_numbers_their_values(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "readme.md": "# My course",
            "unit10/a.md": "x",
            "unit2/lesson10.md": "x",
            "unit2/lesson9.md": "x",
            "unit2/index.md": "# Second unit",
        },
    )

    course = read(tmp_path).course

    assert course.title == {"und": "My course"}
    assert [(dict(section.title), [lesson.id for lesson in section.lessons]) for section in course.sections] == [
        ({"und": "My course"}, ["readme"]),
        ({"und": "Second unit"}, ["unit2", "unit2-lesson9", "unit2-lesson10"]),
        ({"und": "Unit10"}, ["unit10-a"]),
    ]


def test_a_video_by_itself_is_a_lesson_with_its_captions(tmp_path: Path) -> None:
    lay(tmp_path, {"el_rio.mp4": b"v", "el_rio.es.vtt": "WEBVTT", "el_rio-qu.srt": "1", "el_rio_largo.vtt": "WEBVTT"})

    imported = read(tmp_path)

    assert only_lesson(imported) == Lesson(
        "el-rio", {"und": "El rio"}, (), ("el_rio.mp4", "el_rio-qu.srt", "el_rio.es.vtt")
    )
    assert imported.notes == (
        "1 captions are .srt, which browsers do not show: convert them to .vtt ('el_rio-qu.srt')",
    )


def test_documents_that_a_page_lists_stay_lessons_of_their_own(tmp_path: Path) -> None:
    sheets = {f"s{at}.pdf": b"%PDF" for at in range(6)}
    lay(tmp_path, {"index.html": "".join(f"<a href={name}>x</a>" for name in sheets), **sheets})

    assert len(read(tmp_path).course.lessons()) == 7


def test_an_app_keeps_what_its_scripts_load(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "game/index.html": "<title>Game</title><script src=js/main.js></script>",
            "game/js/main.js": "play('sound/a.mp3')",
            "game/sound/a.mp3": b"a",
            "game/data/words.json": "[]",
            "page.md": "# Page",
        },
    )

    lessons = {lesson.id: lesson for lesson in read(tmp_path).course.lessons()}

    assert lessons["game"].core == ("game/index.html", "game/js/main.js", "game/data/words.json")
    assert lessons["game"].rich == ("game/sound/a.mp3",)
    assert set(lessons) == {"game", "page"}


def test_a_folder_without_a_page_is_one_lesson(tmp_path: Path) -> None:
    lay(tmp_path, {"a.md": "# A", "mapas/norte.png": b"n", "mapas/sur.png": b"s", "assets/x.png": b"x"})

    lessons = read(tmp_path).course.lessons()

    assert [lesson.core for lesson in lessons] == [("a.md",), ("mapas/norte.png", "mapas/sur.png")]


def test_pages_that_show_each_other_still_make_a_lesson(tmp_path: Path) -> None:
    lay(tmp_path, {"a.html": "<iframe src=b.html></iframe>", "b.html": "<iframe src=a.html></iframe>"})

    assert only_lesson(read(tmp_path)).core == ("a.html", "b.html")


def test_what_a_school_will_miss_is_told(tmp_path: Path) -> None:
    lay(tmp_path, {"a.html": "<img src=gone.png><script src=https://cdn.example/x.js></script>"})

    assert read(tmp_path).notes == (
        "'a.html': shows 'gone.png', which the course does not hold",
        "'a.html' needs the internet, for example 'https://cdn.example/x.js'; a school may not have it",
    )


def test_a_sites_name_is_dropped_from_its_pages_titles(tmp_path: Path) -> None:
    lay(tmp_path, {f"p{at}.html": f"<title>Page {at} | Maths - 7 | My Site</title>" for at in range(4)})

    assert [lesson.title["und"] for lesson in read(tmp_path).course.lessons()] == [
        f"Page {at} | Maths - 7" for at in range(4)
    ]


def test_broken_pages_are_carried_and_do_not_stop_the_import(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "deep.html": "<div>" * 100_000,
            "empty.html": "",
            "nul.html": b"\0\0\0<img src=a.png>\xff",
            "open.html": "<title>Open<img src='a.png",
            "utf16.html": "<title>Año</title>".encode("utf-16"),
            "declared.html": b"<?xml version='1.0' encoding='nonsense'?><html><title>D</title>",
            "cp.html": b"<meta charset=x-unknown-1><title>A\xf1o</title>",
        },
    )

    imported = read(tmp_path)
    titles = {lesson.id: dict(lesson.title) for lesson in imported.course.lessons()}

    assert len(imported.files) == 7
    assert titles["utf16"] == {"und": "Año"}
    assert titles["cp"] == {"und": "Año"}


COURSE_TOML = """
[course]
title = { es = "El agua", en = "Water" }
description = "Un curso"
languages = ["es", "en"]
licence = "CC0-1.0"
author = "Us"

[[section]]
title = "Uno"
[[section.lesson]]
id = "ciclo"
files = ["ciclo.*.md", "quiz.html"]
[[section.lesson]]
title = { en = "Extra" }
files = "extra/"
"""


def test_a_course_toml_gives_structure_and_words(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "course.toml": COURSE_TOML,
            "ciclo.en.md": "# Cycle",
            "ciclo.es.md": "# Ciclo\n![](a.png)",
            "quiz.html": "<title>Quiz</title>",
            "a.png": b"a",
            "extra/1.txt": "1",
            "extra/big.mp4": b"v",
            "unplanned.md": "# U",
        },
    )

    imported = read(tmp_path)
    course = imported.course

    assert course.title == {"es": "El agua", "en": "Water"}
    assert course.description == {"es": "Un curso"}
    assert (course.languages, course.licence, course.author) == (("es", "en"), "CC0-1.0", "Us")
    assert course.sections[0].title == {"es": "Uno"}
    assert course.lessons() == [
        Lesson(
            "ciclo",
            {"es": "Ciclo", "en": "Cycle", "und": "Quiz"},
            ("ciclo.es.md", "ciclo.en.md", "quiz.html", "a.png"),
        ),
        Lesson("extra-1", {"en": "Extra"}, ("extra/1.txt",), ("extra/big.mp4",)),
    ]
    assert "course.toml" in imported.files
    assert imported.notes == ("course.toml: names no lesson for 1 pages, the first is 'unplanned.md'",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[course", "course.toml: is not readable TOML"),
        ("[course]\ntitle = 3", r"course.toml: \[course\] `title` is neither a text nor a table"),
        ("[course]\nlanguages = ['e s']", "language 'e s': not a BCP 47 tag"),
        ("[[section]]\n[[section.lesson]]\nfiles = ['no*.md']", "`files` names 'no.*', which is not in the course"),
        ("[[section]]\n[[section.lesson]]\nid = 'x'", "section 1 lesson 1 names no `files`"),
        ("[[section]]\n[[section.lesson]]\nid = 'X y'\nfiles = 'a.md'", "lesson 'X y': not a usable name"),
        ("section = 3", r"\[\[section\]\] is not a list of tables"),
        (
            "[[section]]\n[[section.lesson]]\nid = 'x'\nfiles = 'a.md'\n[[section.lesson]]\nid = 'x'\nfiles = 'a.md'",
            "lesson 'x' is there twice",
        ),
    ],
)
def test_a_wrong_course_toml_is_refused_by_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    lay(tmp_path, {"course.toml": text, "a.md": "# A"})

    with pytest.raises(FormatError, match=message):
        read(tmp_path)


def test_somebody_elses_course_toml_is_only_carried(tmp_path: Path) -> None:
    lay(tmp_path, {"course.toml": "[tool]\nx = 1", "a.md": "# A"})

    imported = read(tmp_path)

    assert len(imported.course.lessons()) == 1
    assert imported.notes == ("course.toml: has neither [course] nor [[section]], so it is only carried",)


def test_a_misspelt_field_is_told(tmp_path: Path) -> None:
    lay(tmp_path, {"course.toml": "[course]\ntitel = 'x'", "a.md": "# A"})

    assert read(tmp_path).notes == ("course.toml: [course] `titel` is not known and was not used",)


@given(st.lists(st.text(min_size=1), unique=True))
def test_ids_are_usable_and_distinct_whatever_the_names(keys: list[str]) -> None:
    ids: set[str] = set()
    for key in keys:
        name = make_id(key.encode("utf-8", "replace").decode(), ids)
        if name in ids:
            assert len(set(keys)) != len({key.encode("utf-8", "replace") for key in keys})
        ids.add(check_id("lesson", name))


def test_ids_stay_the_same_and_say_what_they_stand_for() -> None:
    assert make_id("unit 1/El Río") == "unit-1-el-rio"
    assert make_id("con").startswith("con-")
    assert make_id("水") == "lesson-327b54d0"
    assert make_id("a very long folder/and one more below/and the page itself").startswith(
        "folder-and-one-more-below-and-the-page-itself-"
    )


@given(st.lists(st.text(min_size=1), unique=True))
def test_no_two_paths_share_a_place_in_reading_order(paths: list[str]) -> None:
    assert len({reading_order(path) for path in paths}) == len(paths)


@given(st.text(), st.text())
@settings(max_examples=200)
def test_an_address_never_leads_out_of_the_course(base: str, address: str) -> None:
    found = resolve(base, address)

    assert found is None or not set(found.split("/")) & {".", ".."}


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("x.png", "a/b/x.png"),
        ("../x%20y.png?v=1#t", "a/x y.png"),
        ("/x.png", "x.png"),
        ("./%ff", "a/b/\udcff"),
        ("../../../x", None),
        ("https://x/y", None),
        ("//x/y", None),
        ("data:image/png;base64,AA", None),
        ("#here", None),
    ],
)
def test_addresses_become_paths(address: str, path: str | None) -> None:
    assert resolve("a/b/page.html", address) == path


def test_markdown_says_its_title_and_what_it_shows() -> None:
    text = """---
title: "El *ciclo*"
lang: es
---
# Otra
![a](<img/a b.png> "t") [pdf](hoja.pdf) ![b][b] <video src="v.mp4" poster='p.png'></video>

[b]: img/b.png
"""

    page = read_page("x.md", text.encode())

    assert (page.title, page.language) == ("El *ciclo*", "es")
    assert page.pulls == ("img/a b.png", "v.mp4", "p.png")
    assert page.links == ("hoja.pdf", "img/b.png")


def test_a_title_is_the_top_heading_without_its_marks() -> None:
    assert read_page("x.md", b"## Before\n\n# The **big** [one](x.md) {#id}\n").title == "The big one"
    assert read_page("x.md", b"Set\nin lines\n========\n").title == "in lines"
    assert read_page("x.md", b"```\n# code\n```\n").title == ""
    assert tidy_title("01_el-agua") == "El agua"
    assert tidy_title("2") == "2"


@pytest.mark.parametrize(("name", "lessons"), [("water-v1", 5), ("water-v2", 6)])
def test_the_example_courses_are_taken_without_a_note(name: str, lessons: int) -> None:
    imported = read(Path(__file__).parents[2] / "examples" / name)
    used = {path for lesson in imported.course.lessons() for path in (*lesson.core, *lesson.rich)}

    assert imported.notes == ()
    assert imported.course.languages == ("es", "en")
    assert len(imported.course.lessons()) == lessons
    assert set(imported.files) - used == {"LICENCE.txt", "course.toml"}


def test_the_registry_knows_names_and_refuses_others(tmp_path: Path) -> None:
    assert choose_importer(tmp_path, "folder").name == "folder"
    assert choose_importer(tmp_path).name == "folder"
    assert open_source(tmp_path, tmp_path / "scratch") == tmp_path
    with pytest.raises(RequestError, match="importer 'kindle': is not known"):
        choose_importer(tmp_path, "kindle")
    with pytest.raises(RequestError, match="is not there"):
        open_source(tmp_path / "nothing", tmp_path)
