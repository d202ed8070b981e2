"""Import an Open edX course (OLX): chapters as sections, sequences as lessons of one HTML page each.

The course's own files stay under `static/`, byte for byte. Pages hold no date and
no made-up name, so that the next export differs only where the course does.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from alforja_hub.importers.needs import Facts, close_over, find_facts
from alforja_hub.importers.olx.blocks import Reader
from alforja_hub.importers.olx.find import find_root
from alforja_hub.importers.olx.fragments import parse_fragment, text_of
from alforja_hub.importers.olx.lessons import Draft, DraftSection, draft_sections, find_places
from alforja_hub.importers.olx.links import STATIC, Links, served_paths
from alforja_hub.importers.olx.pages import STYLE, STYLE_PATH
from alforja_hub.importers.olx.render import Renderer
from alforja_hub.importers.protocol import Content, Imported
from alforja_hub.importers.references import PAGE_MAX_BYTES, clean_language
from alforja_hub.importers.tree import read_file, scan_tree
from alforja_packaging.course import Course, Lesson, Section
from alforja_packaging.errors import FormatError
from alforja_packaging.layout import check_id, media_type, part_of, path_key

_DESCRIPTION_MAX: Final = 1000
_LINKED: Final = ("text/html", "application/xhtml+xml", "text/css")


class OlxImporter:
    """Turns an Open edX export into pages any browser shows."""

    name = "olx"

    def recognises(self, source: Path) -> bool:
        """Tell whether a `course.xml` or `library.xml` of Open edX lies in a folder."""
        return source.is_dir() and find_root(source) is not None

    def read(self, source: Path, course_id: str) -> Imported:
        """Read a course or a library. Raises FormatError when its first file is not there or not readable."""
        check_id("course", course_id)
        root = find_root(source)
        if root is None:
            raise FormatError(f"folder {source.name!r}: holds no course.xml or library.xml of Open edX")
        tree = scan_tree(root.parent)
        reader = Reader(tree.files)
        course = reader.read_root(root.name)
        language = clean_language(course.fields.get("language", "")) or "und"
        sections = draft_sections(course, reader.read_tabs())
        static = {
            path: tree.files[own]
            for path, own in served_paths(path for path in tree.files if path.startswith(STATIC)).items()
        }
        renderer = Renderer(Links(static, find_places(sections)), language, lambda path: read_file(path, static[path]))
        pages = {draft.path: renderer.page(draft) for section in sections for draft in section.lessons}
        files: dict[str, Content] = {**static, **pages, **renderer.videos.made, STYLE_PATH: STYLE}
        return Imported(
            course=Course(
                id=course_id,
                title={language: course.title or course_id},
                description=_description(reader, language),
                languages=() if language == "und" else (language,),
                licence=_licence(course.fields.get("license", "")),
                author=course.fields.get("org", ""),
                sections=_sections(sections, files, language),
            ),
            files={path: files[path] for path in sorted(files, key=path_key)},
            notes=(*tree.notes, *reader.notes, *_tell_left_out(reader), *renderer.tell()),
        )


def _sections(drafts: Sequence[DraftSection], files: Mapping[str, Content], language: str) -> tuple[Section, ...]:
    facts = {path: _facts(path, content, files) for path, content in files.items() if media_type(path) in _LINKED}
    return tuple(
        Section({language: draft.title}, tuple(_lesson(lesson, files, facts, language) for lesson in draft.lessons))
        for draft in drafts
    )


def _lesson(draft: Draft, files: Mapping[str, Content], facts: Mapping[str, Facts], language: str) -> Lesson:
    needed = close_over([draft.path], facts, {})
    core = tuple(path for path in needed if path == draft.path or part_of(path, _size(files[path])) == "core")
    return Lesson(draft.id, {language: draft.title}, core, tuple(path for path in needed if path not in core))


def _facts(path: str, content: Content, held: Collection[str]) -> Facts:
    if _size(content) > PAGE_MAX_BYTES:
        return Facts()
    try:
        return find_facts(path, content if isinstance(content, bytes) else read_file(path, content), held)
    except FormatError:
        return Facts()


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _description(reader: Reader, language: str) -> dict[str, str]:
    """Give the course's short description, else its subtitle, as plain words."""
    for name in ("short_description", "subtitle"):
        words = text_of(parse_fragment(f"about/{name}.html", reader.read_text(f"about/{name}.html")))
        if words:
            return {language: words[:_DESCRIPTION_MAX]}
    return {}


def _licence(text: str) -> str:
    """Write Open edX's licence in SPDX's words: `creative-commons: ver=4.0 BY NC` as `CC-BY-NC-4.0`."""
    kind, _, options = text.partition(":")
    if kind.strip() != "creative-commons":
        return text
    parts = [part for part in options.upper().split() if part in ("BY", "NC", "ND", "SA")]
    version = re.search(r"ver=([0-9.]+)", options)
    return "-".join(["CC", *parts, version[1] if version else "4.0"])


def _tell_left_out(reader: Reader) -> list[str]:
    hidden = ", ".join(f"{kind} {count}" for kind, count in sorted(reader.hidden.items()))
    notes = [f"blocks for staff only, left out: {hidden}"] if hidden else []
    drafts = sum(1 for path in reader.files if path.startswith("drafts/"))
    return [*notes, f"files of drafts, left out: {drafts}"] if drafts else notes
