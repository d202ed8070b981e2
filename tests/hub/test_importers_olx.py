"""The Open edX importer, on a small course of our own and, where they are, on real ones."""

import io
import posixpath
import re
import tarfile
from collections import Counter
from pathlib import Path
from typing import cast
from urllib.parse import unquote

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from alforja_hub.importers import Imported, choose_importer, open_source
from alforja_hub.importers.olx import OlxImporter
from alforja_hub.importers.olx.captions import Cue, format_vtt, paragraphs, parse_captions
from alforja_hub.importers.olx.fragments import format_fragment, parse_fragment
from alforja_hub.importers.olx.links import Links, served_name, served_paths
from alforja_hub.importers.olx.words import words_for
from alforja_packaging.errors import FormatError
from alforja_packaging.layout import path_key
from alforja_packaging.manifest import File, Manifest, check_manifest

SMALL = Path(__file__).parent / "samples" / "olx-small"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "samples"


def read(folder: Path) -> Imported:
    return OlxImporter().read(folder, "course-1")


def made(imported: Imported, path: str) -> str:
    content = imported.files[path]
    assert isinstance(content, bytes)
    return content.decode()


def find(page: etree._Element, xpath: str) -> list[str]:
    return [str(found) for found in cast(list[object], page.xpath(xpath))]


def write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def check(imported: Imported) -> None:
    """Check what every import must hold: a lawful manifest, and no link on a page that leads nowhere."""
    course, paths = imported.course, sorted(imported.files, key=path_key)
    assert list(imported.files) == paths
    check_manifest(Manifest("pub", 1, course, tuple(File(path, 0, bytes(32)) for path in paths)))
    pages = {
        path: etree.fromstring(content, etree.HTMLParser(encoding="utf-8"))
        for path, content in imported.files.items()
        if isinstance(content, bytes) and path.endswith(".html")
    }
    places = {path: set(find(page, "//@id")) for path, page in pages.items()}
    for page in pages.values():
        for address in find(page, "//@href | //@src | //@poster | //@data"):
            if re.match(r"[a-z]+:|//|#", address):
                continue
            target, _, anchor = address.partition("#")
            path = posixpath.normpath(posixpath.join("lessons", unquote(target)))
            assert path in imported.files, address
            assert not anchor or path not in places or unquote(anchor) in places[path], address


@pytest.fixture(scope="module")
def small() -> Imported:
    return read(SMALL)


def test_what_is_taken_is_lawful_and_leads_somewhere(small: Imported) -> None:
    check(small)


def test_chapters_are_sections_and_sequences_are_lessons(small: Imported) -> None:
    course = small.course

    assert [
        (section.title["es"], [lesson.title["es"] for lesson in section.lessons]) for section in course.sections
    ] == [
        ("De dónde viene", ["La fuente", "Práctica"]),
        ("Lo demás", ["Otros bloques"]),
        ("El agua del pueblo", ["Preguntas"]),
    ]
    assert [lesson.id for lesson in course.lessons()] == ["fuente", "practica", "demas", "preguntas"]


def test_the_course_says_of_itself_what_its_policy_says(small: Imported) -> None:
    course = small.course

    assert course.title == {"es": "El agua del pueblo"}
    assert course.description == {"es": "Un curso corto sobre el agua."}
    assert (course.languages, course.licence, course.author) == (("es",), "CC-BY-SA-4.0", "Alforja")


def test_a_lesson_needs_its_page_its_style_and_what_it_shows(small: Imported) -> None:
    lesson = small.course.lessons()[0]

    assert lesson.core == (
        *("lessons/fuente.html", "style.css", "static/curso.css", "static/mapa_del_pueblo.svg", "static/juego.js"),
        *("captions/rio-es.vtt", "captions/rio-qu.vtt", "static/hoja.pdf"),
    )
    assert lesson.rich == ("static/río chico.mp4",)


def test_links_lead_to_lessons_files_or_become_words(small: Imported) -> None:
    page = made(small, "lessons/fuente.html")

    assert '<a href="practica.html#block-v3">manantial</a>' in page
    assert "<a>otra hoja</a>" in page
    assert '<a href="https://es.wikipedia.org/wiki/Agua">enciclopedia</a>' in page
    assert '<img src="../static/mapa_del_pueblo.svg" alt="Mapa">' in page
    assert '<a href="../static/hoja.pdf">hoja</a>' in page
    assert "url('../static/mapa_del_pueblo.svg')" in page
    assert "[Esta imagen no está en el curso: Perdida]" in page
    assert "fonts.example" not in page
    assert "cdn.example/x.js" not in page
    assert "<iframe" not in page
    assert page.count('<link rel="stylesheet" href="../static/curso.css">') == 1


def test_every_static_file_is_carried_under_both_names(small: Imported) -> None:
    own = {f"static/{place.name}": place for place in (SMALL / "static").iterdir()}

    assert {path: place for path, place in small.files.items() if path in own} == own
    assert small.files["static/mapa_del_pueblo.svg"] == own["static/mapa del pueblo.svg"]


def test_a_video_that_is_held_plays_with_its_captions(small: Imported) -> None:
    page = made(small, "lessons/fuente.html")

    assert '<source src="../static/r%C3%ADo%20chico.mp4#t=1,9" type="video/mp4">' in page
    assert (
        '<track kind="captions" src="../captions/rio-es.vtt" srclang="es" label="Español" default="default">'
        '<track kind="captions" src="../captions/rio-qu.vtt" srclang="qu" label="Runa Simi">'
    ) in page
    assert "El río baja &amp; canta." in page
    assert "Antes." not in page
    assert made(small, "captions/rio-es.vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nAntes.\n\n"
        "00:00:02.000 --> 00:00:04.500\nEl río <b>baja</b> &amp; canta.\n"
    )


def test_a_video_elsewhere_leaves_its_address_and_what_is_said(small: Imported) -> None:
    page = made(small, "lessons/fuente.html")

    assert "Este video está en internet: <a href" in page
    assert "https://www.youtube.com/watch?v=AbC_123</a>" in page
    assert "Empieza a llover. La tierra huele." in page


def test_problems_are_readable_and_keep_their_answers_to_themselves(small: Imported) -> None:
    page = made(small, "lessons/practica.html")

    assert '<p class="ask">¿Qué hace el sol con el agua?</p>' in page
    assert '<ol type="A" class="choices"><li>La evapora</li><li>La congela</li></ol>' in page
    assert '<details class="hint"><summary>Pista 2</summary><div>Mira el charco al mediodía.</div></details>' in page
    assert "<li><b>La evapora: </b>¡Sí, sube como vapor!</li>" in page
    assert "<summary>Explicación</summary><div><p>El calor la vuelve vapor.</p></div>" in page
    assert page.count("Por ahora, responde en papel.") == 3
    assert "<li>Gas</li><li>Líquido</li>" in page
    assert "<li>Río</li><li>Mar</li>" in page
    assert '<iframe src="../static/juego.html"' in page
    assert page.count('class="blank"') == 4
    for hidden in ("secreto", "correct=", "Oculta para siempre", "lluvia", "100<"):
        assert hidden not in page


def test_what_could_not_be_read_is_said_on_the_page(small: Imported) -> None:
    page = made(small, "lessons/practica.html")

    for name in ("roto", "falta"):
        assert (
            f'<div class="block problem" id="block-{name}"><p class="note">Esta parte no se pudo leer</p></div>' in page
        )


def test_other_blocks_keep_their_words_and_are_counted(small: Imported) -> None:
    page = made(small, "lessons/demas.html")

    for words in ("¿De dónde traes agua?", "Del pozo", "El pozo", "https://tool.example/launch", "Simulador", "Plaza"):
        assert words in page
    assert "<p>El <mark>pozo</mark> es hondo.</p></div><ul><li><b>Pozo</b> Un hoyo con agua</li></ul>" in page
    assert small.notes == (
        (
            "problem/roto.xml: is not well-formed XML (Opening and ending tag mismatch: p line 1 and problem, line 1, "
            "column 53); it was left out"
        ),
        "problem falta: is named in the course, but problem/falta.xml is not there",
        "blocks for staff only, left out: chapter 1",
        "files of drafts, left out: 1",
        "video tenido: its captions 'rio-fr.srt' are not in the course",
        "blocks that only the online platform brings to life: drag and drop 1, LTI tool 1, poll 1, quantum_simulator 1",
        "problems whose answer only the online platform takes: jsinput 1, schematic 1",
        "videos that are on the internet, not in the course: 1",
        "html blocks with scripts for the platform's own page, which may not work: 1",
        "pictures, frames, styles and scripts on the internet, left out: 4",
        "links to pages of the platform, now plain text: 1",
        "'/static/no_esta.png': is shown on a page, but is not in the course",
    )


def test_drafts_hidden_tabs_and_staffs_own_are_left_out(small: Imported) -> None:
    everything = "".join(made(small, path) for path in small.files if path.startswith("lessons/"))

    for hidden in ("borrador", "No se ve", "Solo para el equipo"):
        assert hidden not in everything


def test_the_same_course_gives_the_same_bytes_whatever_the_place(tmp_path: Path, small: Imported) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(SMALL, "course")
    (tmp_path / "export.tar.gz").write_bytes(buffer.getvalue())

    again = read(open_source(tmp_path / "export.tar.gz", tmp_path))

    assert again.course == small.course
    assert again.notes == small.notes
    assert {path: _bytes(again, path) for path in again.files} == {path: _bytes(small, path) for path in small.files}


def test_an_edit_of_one_page_changes_one_lesson(tmp_path: Path, small: Imported) -> None:
    for place in SMALL.rglob("*"):
        if place.is_file():
            target = tmp_path / place.relative_to(SMALL)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(place.read_bytes())
    (tmp_path / "html/h3.html").write_text("<p>Mira el video otra vez.</p>")

    edited = read(tmp_path)

    assert [path for path in edited.files if _bytes(edited, path) != _bytes(small, path)] == ["lessons/fuente.html"]


def test_the_course_is_found_below_and_two_are_refused(tmp_path: Path) -> None:
    write(
        tmp_path, {"a/b/course.xml": "<course display_name='A'/>", "README.md": "# x", "lib/library.xml": "<library/>"}
    )

    assert choose_importer(tmp_path).name == "olx"
    assert read(tmp_path).course.title == {"und": "A"}

    write(tmp_path, {"a/c/course.xml": "<course/>"})
    with pytest.raises(FormatError, match="holds 2 Open edX courses, as 'a/b' and 'a/c'"):
        read(tmp_path)


def test_other_folders_are_not_taken_for_courses(tmp_path: Path) -> None:
    write(tmp_path, {"course.xml": "<training/>", "index.html": "x"})

    assert choose_importer(tmp_path).name == "folder"
    with pytest.raises(FormatError, match=r"holds no course\.xml or library\.xml"):
        read(tmp_path)


def test_a_library_is_one_lesson_of_its_problems(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "library.xml": "<library display_name='Bank' url_name='library'><problem url_name='p'/></library>",
            "problem/p.xml": "<problem><p>Why?</p></problem>",
        },
    )

    imported = read(tmp_path)

    check(imported)
    assert "<p>Why?</p>" in made(imported, "lessons/library.html")


def test_old_courses_with_units_in_odd_places_are_taken_whole(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "course.xml": (
                "<course display_name='Old'><chapter display_name='C'><vertical display_name='V'><html>one</html>"
                "</vertical><html display_name='H' url_name='h'>two</html><videosequence display_name='S'><html>three"
                "</html></videosequence></chapter><sequential display_name='Loose'><problem><p>four</p></problem>"
                "</sequential></course>"
            )
        },
    )

    imported = read(tmp_path)

    check(imported)
    assert [[lesson.title["und"] for lesson in section.lessons] for section in imported.course.sections] == [
        ["V", "H", "S"],
        ["Loose"],
    ]
    pages = "".join(made(imported, path) for path in imported.files if path.startswith("lessons/"))
    assert all(word in pages for word in ("one", "two", "three", "four"))


@pytest.mark.parametrize(
    "files",
    [
        {"course.xml": "<course><chapter url_name='../../secret'/></course>", "../secret.xml": "<chapter/>"},
        {
            "course.xml": "<!DOCTYPE course [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><course><chapter>"
            "<sequential><vertical><html>&x;</html></vertical></sequential></chapter></course>"
        },
        {
            "course.xml": "<course><chapter url_name='c'/></course>",
            "chapter/c.xml": "<chapter><sequential url_name='s'/></chapter>",
            "sequential/s.xml": "<sequential><sequential url_name='s'/></sequential>",
        },
        {"course.xml": "<course><chapter>" + "<wrapper>" * 200 + "</wrapper>" * 200 + "</chapter></course>"},
        {
            "course.xml": "<course><sequential><vertical><problem url_name='p'/></vertical></sequential></course>",
            "problem/p.xml": "<problem>" + "<div>" * 240 + "deep" + "</div>" * 240 + "</problem>",
        },
        {
            "course.xml": "<course url_name='r'><sequential/></course>",
            "policies/r/policy.json": '{"course/r": {"tabs": 3, "display_name": 4}, "x": 1}',
        },
        {"course.xml": "<course url_name='r'/>", "policies/r/policy.json": "[" * 100_000},
    ],
)
def test_hostile_and_odd_courses_are_read_or_refused(tmp_path: Path, files: dict[str, str]) -> None:
    (tmp_path / "in").mkdir()

    imported = read(write(tmp_path / "in", files))

    check(imported)
    assert not any(b"root:" in _bytes(imported, path) for path in imported.files)


def test_a_bomb_of_entities_is_refused(tmp_path: Path) -> None:
    entities = "".join(f"<!ENTITY e{at} '{f'&e{at - 1};' * 10 if at else 'x' * 100}'>" for at in range(12))
    write(tmp_path, {"course.xml": f"<!DOCTYPE course [{entities}]><course display_name='&e11;'/>"})

    with pytest.raises(FormatError, match=r"course\.xml: is not well-formed XML"):
        read(tmp_path)


def test_captions_of_many_kinds_become_webvtt() -> None:
    srt = (
        b"\xef\xbb\xbf1\r\n0:00:01,5 --> 00:00:02,000 X1:3\r\n<i>Hola</i> <font>t\xc3\xba</font>\r\n"
        b"2\r\n00:03.000 --> 00:04.000\r\n{\\an8}A --> B"
    )

    cues = parse_captions("x.srt", srt)

    assert cues == [Cue(1500, 2000, "<i>Hola</i> tú"), Cue(3000, 4000, "A --> B")]
    assert format_vtt(cues).decode().endswith("00:00:03.000 --> 00:00:04.000\nA --&gt; B\n")
    assert paragraphs(cues) == ["Hola tú A --> B"]
    with pytest.raises(FormatError, match=r"captions x\.srt: hold nothing that is said"):
        parse_captions("x.srt", b"WEBVTT\n\nNOTE empty")


@given(st.binary(max_size=300))
def test_captions_of_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        cues = parse_captions("x", b"00:01 --> 00:02\n" + data)
    except FormatError:
        return

    assert parse_captions("x", format_vtt(cues))


@given(st.text(max_size=200))
def test_any_text_is_html_or_refused(text: str) -> None:
    try:
        body = parse_fragment("x", text)
    except FormatError:
        return
    Links(frozenset()).mend(body, words_for("en"))

    assert format_fragment(body).startswith("<div")


def test_static_files_are_found_by_the_names_open_edx_serves() -> None:
    held = served_paths(["static/Brain red.png", "static/Brain_red.png", "static/sub/a (1).png", "static/ñ.png"])
    links = Links(held)

    assert served_name("a  (1)&.png") == "a_1_.png"
    assert links.find_static("Brain_red.png") == "static/Brain_red.png"
    assert held["static/Brain_red.png"] == "static/Brain_red.png"
    assert links.find_static("Brain%20red.png") == "static/Brain red.png"
    assert links.find_static("sub/a%20(1).png") == "static/sub/a (1).png"
    assert links.find_static("sub_a_1_.png") == "static/sub_a_1_.png"
    assert links.find_static("%C3%B1.png") == "static/ñ.png"
    assert links.find_static("../course.xml") is None


def _bytes(imported: Imported, path: str) -> bytes:
    content = imported.files[path]
    return content if isinstance(content, bytes) else content.read_bytes()


# Real courses, which are not in the repository.


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archives = [SHARED / "evolving-olx.tar.zst", SHARED / "packages.tar.zst"]
    if not all(archive.is_file() for archive in archives):
        pytest.skip(f"the samples are not at {SHARED}")
    folder = tmp_path_factory.mktemp("samples")
    for archive in archives:
        with (
            archive.open("rb") as file,
            zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file) as stream,
            tarfile.open(fileobj=stream, mode="r|") as members,
        ):
            for info in members:
                content = members.extractfile(info) if info.isreg() and "olx" in info.name.lower() else None
                if content is not None:
                    (folder / info.name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / info.name).write_bytes(content.read())
    return folder


def _count_blocks(root: Path, element: etree._Element, counts: Counter[str]) -> None:
    """Count the blocks a course's pointers reach, by reading the XML the plainest way."""
    place = root / str(element.tag) / f"{element.get('url_name')}.xml"
    if place.is_file() and not len(element):
        element = etree.parse(place).getroot()
    counts[str(element.tag)] += 1
    if element.tag in ("course", "chapter", "sequential", "vertical", "library_content", "library"):
        for child in element:
            if child.tag != "wiki":
                _count_blocks(root, child, counts)


def _words(text: str) -> str:
    return "".join(text.split())


@pytest.mark.samples
@pytest.mark.parametrize("name", ["v1", "v2", "v3", "OLX"])
def test_every_block_of_a_real_course_is_on_its_page(real: Path, name: str) -> None:
    source = next(path for path in real.rglob(name) if path.is_dir())
    root = next(source.rglob("course.xml")).parent
    wanted: Counter[str] = Counter()
    _count_blocks(root, etree.parse(root / "course.xml").getroot(), wanted)

    imported = read(source)
    pages = [_page(imported, path) for path in _lessons(imported)]
    got = Counter(kind.split()[1] for page in pages for kind in find(page, "//*[contains(@class, 'block ')]/@class"))

    check(imported)
    assert len(imported.course.sections) == wanted["chapter"] > 5
    assert len(imported.course.lessons()) == wanted["sequential"] > 15
    assert sum(len(find(page, "//main/section")) for page in pages) == wanted["vertical"] > 50
    structure = ("course", "chapter", "sequential", "vertical", "library_content")
    assert {kind: count for kind, count in wanted.items() if kind not in structure} == {
        kind: count for kind, count in got.items() if kind != "library_content"
    }
    assert wanted["html"] == 266
    assert {f"static/{place.name}" for place in (root / "static").iterdir()} <= set(imported.files)


@pytest.mark.samples
@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_every_word_of_a_real_course_is_on_its_page(real: Path, name: str) -> None:
    root = next((real / "olx" / name if (real / "olx").is_dir() else next(real.rglob(name))).rglob("course.xml")).parent
    imported = read(root)
    readable = "//body//text()[not(ancestor::script) and not(ancestor::style)]"
    shown = _words("".join(text for path in _lessons(imported) for text in find(_page(imported, path), readable)))

    missing = []
    for place in [*sorted((root / "problem").glob("*.xml")), *_reached_html(root)]:
        text = place.read_bytes()
        if place.suffix == ".xml":
            found = find(etree.fromstring(text), "//text()[not(ancestor::script) and not(ancestor::answer)]")
        else:
            parser = etree.HTMLParser(encoding="utf-8", remove_comments=True)
            tree = etree.fromstring(b"<div>" + text + b"</div>", parser)
            found = find(tree, "//text()[not(ancestor::script) and not(ancestor::style)]")
        missing += [piece for piece in found if _words(piece) not in shown]

    assert missing == []


@pytest.mark.samples
def test_lessons_keep_their_names_from_release_to_release(real: Path) -> None:
    courses = [read(next(path for path in real.rglob(name) if path.is_dir())) for name in ("v1", "v2", "v3")]
    ids = [{lesson.id for lesson in imported.course.lessons()} for imported in courses]

    assert ids[1] <= ids[0]
    assert ids[2] == ids[1]


@pytest.mark.samples
def test_a_real_library_is_taken_from_its_archive(real: Path, tmp_path: Path) -> None:
    imported = read(open_source(next(real.rglob("demo-content-library__*.tar.gz")), tmp_path))

    check(imported)
    assert len(find(_page(imported, "lessons/library.html"), "//*[contains(@class, 'block problem')]")) == 6


def _lessons(imported: Imported) -> list[str]:
    return [path for path in imported.files if path.startswith("lessons/")]


def _page(imported: Imported, path: str) -> etree._Element:
    return etree.fromstring(_bytes(imported, path), etree.HTMLParser(encoding="utf-8"))


def _reached_html(root: Path) -> list[Path]:
    named = re.findall(r'<html url_name="(\w+)"', "".join(place.read_text() for place in root.glob("vertical/*.xml")))
    places = [root / "html" / f"{name}.html" for name in sorted(set(named))]
    return [place for place in places if place.is_file()]
