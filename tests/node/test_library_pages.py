"""The library's own pages, as a browser gets them."""

import asyncio
import gzip
import logging
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from yarl import URL

from alforja_node.library import lessons
from alforja_node.library.markdown import render_markdown
from alforja_node.library.pages import load_static
from alforja_node.library.rawhtml import Addresses
from alforja_node.planning.coming import Coming, Prospect
from alforja_packaging.course import Lesson, Section
from alforja_packaging.manifest import Manifest
from tests.node.library_shelf import Served, SimulatedShelf, ask_raw, make_manifest, serve

EVIL = '<script>alert("x")</script>{{7*7}}'
RAW_NAME = b"ma\xf1ana <b>.zip".decode("utf-8", "surrogateescape")
FILES: dict[str, bytes] = {
    "cycle.es.md": b"# El ciclo\n\nAgua ![dibujo](img/a.svg), [la sal](salt.md#uso) [video](v.mp4) [nada](no.md)\n",
    "cycle.en.md": b"# The cycle\n\nWater\n",
    "salt.md": b"# Salt\n\n## Uso\n",
    "quiz.html": b"<!doctype html><script>1</script>",
    "img/a.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "v.es.vtt": b"WEBVTT\n",
    "v.mp4": b"video",
    "guide.pdf": b"%PDF",
    "old.txt": "se\xf1al <b>".encode("latin-1"),
    RAW_NAME: b"zip",
}
LESSONS = (
    Lesson(
        "cycle",
        {"es": "El ciclo", "en": "The cycle"},
        ("cycle.es.md", "cycle.en.md", "img/a.svg", "v.es.vtt"),
        ("v.mp4", "guide.pdf"),
    ),
    Lesson("salt", {"es": "Sal"}, ("salt.md",)),
    Lesson("quiz", {"es": "¿Qué sabes?"}, ("quiz.html",)),
    Lesson("old", {"und": "Old"}, ("old.txt",), (RAW_NAME,)),
)


@pytest.fixture
def shelf(tmp_path: Path) -> SimulatedShelf:
    return SimulatedShelf(tmp_path)


@pytest.fixture
def manifest(shelf: SimulatedShelf) -> Manifest:
    return shelf.put(make_manifest(FILES, LESSONS), FILES)


@pytest.fixture
async def served(shelf: SimulatedShelf, manifest: Manifest) -> AsyncIterator[Served]:
    async with serve(shelf) as both:
        yield both


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, Mapping[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def of(self, tag: str) -> list[Mapping[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


def links_of(html: str) -> list[str]:
    return [link["href"] for link in Elements(html).of("a")]


async def test_the_catalogue_is_in_the_language_the_browser_asks_for(served: Served) -> None:
    spanish = await served.page("/", Accept_Language="es-PE,es;q=0.9")
    english = await served.page("/", Accept_Language="en")

    assert '<html lang="es" dir="ltr">' in spanish
    assert "El agua" in spanish
    assert "Firmado por <b>moe</b>" in spanish
    assert "4 lecciones" in spanish
    assert '<html lang="en" dir="ltr">' in english
    assert '<bdi lang="en" dir="ltr">Water</bdi>' in english


async def test_a_chosen_language_goes_with_the_reader(served: Served) -> None:
    html = await served.page("/?lang=es", Accept_Language="en")

    assert '<html lang="es"' in html
    assert "/c/moe/water/?lang=es" in links_of(html)
    assert "/about?lang=es" in links_of(html)
    assert "?lang=pt" in links_of(html)


@pytest.mark.parametrize("lang", ["<script>", '"onload="x', "%00", "x" * 100])
async def test_a_language_that_is_none_is_not_repeated(served: Served, lang: str) -> None:
    async with served.library.get("/", params={"lang": lang}) as got:
        text = await got.text()

    assert got.status == 200
    assert lang not in text


async def test_hostile_words_are_only_words(shelf: SimulatedShelf) -> None:
    files = {"a.md": b"x", EVIL.replace("/", "") + ".pdf": b"y"}
    lesson = Lesson("a", {"en": EVIL}, ("a.md",), tuple(sorted(set(files) - {"a.md"})))
    sections = [Section({"en": EVIL}, (lesson,)), Section({"en": EVIL}), Section({"en": EVIL}), Section({"en": EVIL})]
    shelf.put(make_manifest(files, sections=sections, title={"en": EVIL}, description={"en": EVIL}), files)
    async with serve(shelf) as served:
        pages = [await served.page(path) for path in ("/", "/about", "/c/moe/water/", "/c/moe/water/a/")]

    for html in pages:
        assert Elements(html).of("script") == []
        assert "{{7*7}}" in html
        assert "&lt;script&gt;" in html


async def test_half_a_character_in_a_title_breaks_no_page(shelf: SimulatedShelf) -> None:
    shelf.put(make_manifest({}, title={"en": "Water \udce9"}), {})
    async with serve(shelf) as served:
        assert "Water ?" in await served.page("/")


async def test_no_page_of_the_library_runs_anything(served: Served) -> None:
    for path in ("/", "/about", "/c/moe/water/", "/c/moe/water/cycle/", "/nothing"):
        async with served.library.get(path) as got:
            html = await got.text()
        policy = got.headers["Content-Security-Policy"]

        assert "script-src" not in policy
        assert policy.startswith("default-src 'none'; style-src 'self'; ")
        assert f"frame-src {served.content_origin};" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in got.headers
        assert not re.search(r"<script|\son\w+=|\sstyle=|javascript:", html)


async def test_the_first_page_is_light_and_takes_three_requests(shelf: SimulatedShelf) -> None:
    for number in range(40):
        words = {"en": f"Course {number} about something", "es": f"Curso {number}"}
        manifest = make_manifest(
            FILES, LESSONS, title=words, description={"en": "What it teaches. " * 12}, course=f"c{number}"
        )
        shelf.put(manifest, FILES)
    async with serve(shelf) as served:
        html = await served.page("/")
        needed = [link["href"] for link in Elements(html).of("link")]
        sizes = [len(html)]
        for path in needed:
            async with served.library.get(path) as got:
                sizes.append(len(await got.read()))
                assert got.headers["Cache-Control"] == "public, max-age=31536000, immutable"

    assert len(needed) == 2
    assert Elements(html).of("img") == []
    assert sum(sizes) <= 50 * 1024


async def test_a_page_is_compressed_and_is_not_sent_twice(served: Served) -> None:
    _, answer = await ask_raw(served.library_port, "/", "Accept-Encoding: deflate, gzip")
    head, _, body = answer.partition("\r\n\r\n")
    etag = re.search(r"(?i)etag: (\S+)", head)

    assert "Content-Encoding: gzip" in head
    assert gzip.decompress(body.encode("latin-1")).startswith(b"<!doctype html>")
    assert etag is not None
    async with served.library.get("/", headers={"If-None-Match": etag[1]}) as got:
        assert got.status == 304


async def test_an_outline_tells_what_is_here_and_what_is_coming(shelf: SimulatedShelf) -> None:
    shelf.put(make_manifest(FILES, LESSONS), FILES, missing=["salt.md", "v.mp4"])
    async with serve(shelf) as served:
        html = await served.page("/c/moe/water/", Accept_Language="es")
        home = await served.page("/", Accept_Language="es")

    assert "3 de 4 lecciones listas" in html
    assert "3 de 4 lecciones listas" in home
    assert "/c/moe/water/salt/" not in links_of(html)
    assert "/c/moe/water/cycle/" in links_of(html)
    assert "Audio y video en camino" in html
    assert html.count("<small>En camino</small>") == 1


async def test_a_lesson_on_its_way_says_so_and_leads_on(shelf: SimulatedShelf) -> None:
    shelf.put(make_manifest(FILES, LESSONS), FILES, missing=["salt.md", "v.mp4"])
    async with serve(shelf) as served:
        coming = await served.page("/c/moe/water/salt/", Accept_Language="en")
        lesson = await served.page("/c/moe/water/cycle/", Accept_Language="es")

    assert "This lesson is on its way" in coming
    assert {"/c/moe/water/cycle/", "/c/moe/water/quiz/"} <= set(links_of(coming))
    assert "Esta grabación está en camino: v.mp4" in lesson
    assert not any("salt" in link for link in links_of(lesson))


async def test_a_lesson_is_shown_in_the_readers_language_and_leads_to_its_others(served: Served) -> None:
    spanish = await served.page("/c/moe/water/cycle/", Accept_Language="es")
    english = await served.page("/c/moe/water/cycle/?lang=en", Accept_Language="es")

    assert '<article class="prose" lang="es" dir="ltr">' in spanish
    assert "<h1><bdi" in spanish
    assert spanish.count(">El ciclo<") == 1
    assert "<p>Water</p>" in english
    assert "?lang=es" in links_of(english)


async def test_markdown_leads_to_lessons_players_and_the_contents_origin(served: Served) -> None:
    html = await served.page("/c/moe/water/cycle/?lang=es")
    content = f"{served.content_origin}/moe/water/1/"

    assert {"src": content + "img/a.svg", "alt": "dibujo", "loading": "lazy"} in Elements(html).of("img")
    assert "/c/moe/water/salt/?lang=es#t-uso" in links_of(html)
    assert "#watch" in links_of(html)
    assert content + "guide.pdf?open" in links_of(html)
    assert "nada</p>" in html


async def test_a_page_links_by_folder_to_itself_and_out_of_the_school(shelf: SimulatedShelf) -> None:
    files = {
        "a.md": b"[o](https://example.org) [top](a.md) [app](app/) [d](d.csv#x) ![dot](data:image/png;base64,AA==)\n",
        "app/index.html": b"app",
        "d.csv": b"1,2",
        "gone.md": b"x",
    }
    taught = [Lesson("a", {"en": "A"}, ("a.md",)), Lesson("app", {"en": "App"}, ("app/index.html",))]
    shelf.put(make_manifest(files, taught), files, missing=["gone.md"])
    async with serve(shelf) as served:
        elements = Elements(await served.page("/c/moe/water/a/"))
        links = [link["href"] for link in elements.of("a")]

    assert {"href": "https://example.org", "rel": "external noopener noreferrer"} in elements.of("a")
    assert {"#main", "/c/moe/water/app/", f"{served.content_origin}/moe/water/1/d.csv#x"} <= set(links)
    assert elements.of("img")[0]["src"] == "data:image/png;base64,AA=="


async def test_a_class_that_opens_one_lesson_at_once_has_it_rendered_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []

    def render(text: str, title: str, addresses: Addresses) -> str:
        rendered.append(title)
        return render_markdown(text, title, addresses)

    monkeypatch.setattr(lessons, "render_markdown", render)
    pages = await asyncio.gather(*(served.page("/c/moe/water/salt/") for _ in range(30)))

    assert (len(set(pages)), rendered) == (1, ["Sal"])


async def test_the_style_is_light_and_asks_nothing_new_of_a_browser() -> None:
    style = load_static()["library.css"].body.decode()

    assert len(style) < 12 * 1024
    assert not re.search(r"var\(|grid|url\(|@import|--\w", style)


async def test_a_video_has_the_captions_that_are_named_like_it(served: Served) -> None:
    elements = Elements(await served.page("/c/moe/water/cycle/", Accept_Language="es"))
    content = f"{served.content_origin}/moe/water/1/"

    assert elements.of("video")[0]["crossorigin"] == "anonymous"
    assert elements.of("source") == [{"src": content + "v.mp4", "type": "video/mp4"}]
    assert elements.of("track") == [
        {"kind": "captions", "src": content + "v.es.vtt", "srclang": "es", "label": "Español", "default": ""}
    ]


async def test_a_page_with_scripts_is_framed_from_the_other_origin(served: Served) -> None:
    elements = Elements(await served.page("/c/moe/water/quiz/"))
    (frame,) = elements.of("iframe")

    assert frame["src"] == f"{served.content_origin}/moe/water/1/quiz.html"
    assert urlsplit(frame["src"]).port != served.library_port
    assert "allow-scripts" in frame["sandbox"]
    assert "top-navigation" not in frame["sandbox"]
    assert frame["title"]
    assert any(link["href"] == frame["src"] for link in elements.of("a"))


async def test_old_text_and_odd_names_are_readable(served: Served) -> None:
    html = await served.page("/c/moe/water/old/")

    assert "señal &lt;b&gt;" in html
    assert "ma\ufffdana &lt;b&gt;.zip" in html
    assert f"{served.content_origin}/moe/water/1/ma%F1ana%20%3Cb%3E.zip" in links_of(html)


async def test_every_link_of_every_page_leads_somewhere(served: Served) -> None:
    seen, waiting = set(), ["/"]
    while waiting:
        address = waiting.pop()
        client = served.content if address.startswith(served.content_origin) else served.library
        async with client.get(URL(address.removeprefix(served.content_origin), encoded=True)) as got:
            assert got.status == 200, address
            html = await got.text(errors="replace") if client is served.library else ""
        for link in links_of(html):
            path = link.partition("#")[0]
            if path and not path.startswith("?") and path not in seen:
                seen.add(path)
                waiting.append(path)

    assert len(seen) >= 10


async def test_an_address_without_its_slash_leads_to_the_page(served: Served) -> None:
    async with served.library.get("/c/moe/water?lang=es", allow_redirects=False) as got:
        assert (got.status, got.headers["Location"]) == (302, "/c/moe/water/?lang=es")


@pytest.mark.parametrize(
    "path", ["/nothing", "/c/moe/none/", "/c/moe/water/none/", "/c/../../etc/", "/static/x/none.css"]
)
async def test_what_is_not_there_is_a_page_that_leads_back(served: Served, path: str) -> None:
    async with served.library.get(URL(path, encoded=True), headers={"Accept-Language": "fr"}) as got:
        html = await got.text()

    assert got.status == 404
    assert "Il n’y a rien ici" in html
    assert "/" in links_of(html)


async def test_a_lesson_that_cannot_be_read_is_not_half_shown(
    served: Served, shelf: SimulatedShelf, manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.path_of(manifest.by_path["salt.md"].digest).write_bytes(b"rotten")
    with caplog.at_level(logging.WARNING):
        async with served.library.get("/c/moe/water/salt/") as got:
            html = await got.text()

    assert (got.status, "rotten" in html) == (503, False)
    assert got.headers["Retry-After"] == "600"
    assert "salt.md" in caplog.text


async def test_a_fault_of_the_node_is_a_page_and_a_line_in_the_log(
    served: Served, shelf: SimulatedShelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.broken = True
    async with served.library.get("/") as got:
        html = await got.text()

    assert got.status == 500
    assert "This page cannot be shown" in html
    assert "the ledger is gone" not in html
    assert "the ledger is gone" in caplog.text


async def test_a_release_not_confirmed_lately_says_since_when(shelf: SimulatedShelf) -> None:
    shelf.put(make_manifest(FILES, LESSONS), FILES, stale_since=datetime(2026, 3, 14, tzinfo=UTC))
    async with serve(shelf) as served:
        pages = [await served.page(path) for path in ("/", "/c/moe/water/", "/about")]

    for html in pages:
        assert "Not confirmed as current since 2026\u201103\u201114" in html


async def test_about_tells_who_signed_what(served: Served) -> None:
    html = await served.page("/about", Accept_Language="pt")

    assert "Assinado por <b>moe</b>" in html
    assert "Edição 1" in html


async def test_about_tells_what_comes_next_where_that_is_known(shelf: SimulatedShelf) -> None:
    async with serve(shelf) as served:
        assert "Lo que viene" not in await served.page("/about", Accept_Language="es")
        coming = Coming("moe", "water", "core", "taught", 150_000, 0.0, title={"es": "El <agua>"})
        shelf.prospect = Prospect("https://h.example", "unmetered", things=1, size=150_000, first=(coming,))
        html = await served.page("/about", Accept_Language="es")

    assert "Lo que viene" in html
    assert "El &lt;agua&gt;: textos y ejercicios, 150.0 kB, se enseña aquí, en cuanto el enlace lo traiga" in html
    assert "1 cosa por llegar: 150.0 kB desde https://h.example, sin costo" in html


async def test_an_empty_shelf_is_welcoming(shelf: SimulatedShelf) -> None:
    async with serve(shelf) as served:
        assert "Todavía no hay cursos" in await served.page("/", Accept_Language="es")


async def test_health_is_for_machines(served: Served) -> None:
    async with served.library.get("/health") as got:
        assert await got.json() == {"status": "ok", "courses": 1}


async def test_a_style_of_another_edition_leads_to_this_one(served: Served) -> None:
    async with served.library.get("/static/000000000000/library.css") as got:
        assert got.status == 200
        assert got.content_type == "text/css"


async def test_a_host_that_is_no_name_is_refused(served: Served) -> None:
    status, answer = await ask_raw(served.library_port, "/", host="evil.example; script-src *")

    assert status == 400
    assert "script-src" not in answer


async def test_the_content_is_found_beside_whatever_name_the_library_is_reached_by(served: Served) -> None:
    _, answer = await ask_raw(served.library_port, "/c/moe/water/quiz/", host="alforja.local")

    assert f'src="http://alforja.local:{served.content_port}/moe/water/1/quiz.html"' in answer
