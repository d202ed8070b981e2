"""Import a plain folder exactly as it is: every name, every byte, every empty folder.

Its lessons are those of its `course.toml`, or are found by its names and pages.
Nothing in the folder is changed, added or left out, save what is no file.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from alforja_hub.importers.course_toml import COURSE_TOML, COURSE_TOML_MAX_BYTES, CoursePlan, parse_course_toml
from alforja_hub.importers.languages import find_languages
from alforja_hub.importers.names import is_index, reading_order
from alforja_hub.importers.needs import HTML, READ_FOR_LINKS, Facts, find_facts, pair_captions
from alforja_hub.importers.outline import (
    View,
    derive_sections,
    find_apps,
    find_course_languages,
    follow_plan,
    opens_alone,
)
from alforja_hub.importers.protocol import Imported
from alforja_hub.importers.references import PAGE_MAX_BYTES
from alforja_hub.importers.tree import Tree, read_file, scan_tree
from alforja_packaging.course import Course, Section, Text
from alforja_packaging.errors import FormatError
from alforja_packaging.layout import check_id, ending, media_type

_NOTES_OF_A_KIND_MAX: Final = 20
_SEPARATORS: Final = (" - ", " | ", " \N{EN DASH} ", " \N{EM DASH} ", " \N{MIDDLE DOT} ", " :: ")
_SITE_TITLE_MIN: Final = 3  # so many pages must end alike before their ending is the site's name


class FolderImporter:
    """Carries any folder of pages, media and documents."""

    name = "folder"

    def recognises(self, source: Path) -> bool:
        """Tell whether `source` is a folder: any will do."""
        return source.is_dir()

    def read(self, source: Path, course_id: str) -> Imported:
        """Read a folder. Raises FormatError (its `course.toml`, its size), RequestError (not readable)."""
        check_id("course", course_id)
        tree = scan_tree(source)
        plan = _read_plan(tree)
        facts, notes = _read_facts(tree)
        view = _look(tree, plan, facts, course_id)
        sections = follow_plan(view, plan) if plan.sections else derive_sections(view)
        course = Course(
            id=course_id,
            title=view.title,
            description=plan.description,
            languages=view.languages,
            licence=plan.licence,
            author=plan.author,
            sections=tuple(section for section in sections if section.lessons),
        )
        told = (*tree.notes, *plan.notes, *notes, *_tell_gaps(facts), *_tell_unused(view, plan, sections))
        return Imported(course, tree.files, tree.folders, told)


def _read_plan(tree: Tree) -> CoursePlan:
    place = tree.files.get(COURSE_TOML)
    return (
        CoursePlan() if place is None else parse_course_toml(read_file(COURSE_TOML, place, COURSE_TOML_MAX_BYTES + 1))
    )


def _read_facts(tree: Tree) -> tuple[dict[str, Facts], list[str]]:
    """Read every page once. What cannot be understood is carried, and said."""
    facts: dict[str, Facts] = {}
    notes: list[str] = []
    for path, place in tree.files.items():
        if media_type(path) not in READ_FOR_LINKS:
            continue
        if tree.sizes[path] > PAGE_MAX_BYTES:
            notes.append(f"{path!r}: carried, but too long to be read for its title and pictures")
            continue
        try:
            facts[path] = find_facts(path, read_file(path, place, PAGE_MAX_BYTES), tree.files)
        except FormatError as error:
            notes.append(f"{error.message}; carried as it is")
    return _drop_site_title(facts), _shorten(notes)


def _look(tree: Tree, plan: CoursePlan, facts: Mapping[str, Facts], course_id: str) -> View:
    names = find_languages((path for path in tree.files if opens_alone(path)), plan.languages)
    languages = plan.languages or find_course_languages(names, facts)
    title = plan.title or _root_title(names, facts, languages) or {"und": course_id}
    return View(
        title, tree.sizes, facts, names, pair_captions(tree.files, languages), languages, find_apps(names, facts)
    )


def _root_title(names: Mapping[str, tuple[str, str]], facts: Mapping[str, Facts], languages: tuple[str, ...]) -> Text:
    title: dict[str, str] = {}
    for path in sorted(facts, key=reading_order):
        key, tag = names.get(path, ("/", ""))
        if "/" not in key and is_index(key) and facts[path].title:
            title.setdefault(tag or facts[path].language or "und", facts[path].title)
    return dict(sorted(title.items(), key=lambda item: (item[0] not in languages, item[0])))


def _drop_site_title(facts: dict[str, Facts]) -> dict[str, Facts]:
    """Take the site's name off the titles when most pages end with it: `Loops - My course`."""
    tails = {path: _tail(known.title) for path, known in facts.items() if media_type(path) in HTML and known.title}
    tail, count = Counter(tails.values()).most_common(1)[0] if tails else ("", 0)
    if not tail or count < _SITE_TITLE_MIN or 2 * count < len(tails):
        return facts
    return {path: replace(known, title=known.title.removesuffix(tail)) for path, known in facts.items()}


def _tail(title: str) -> str:
    at = max(title.rfind(separator) for separator in _SEPARATORS)
    return title[at:] if at > 0 else ""


def _tell_gaps(facts: Mapping[str, Facts]) -> list[str]:
    """Say which pages will look different in a school."""
    missing = {path: known.missing for path, known in facts.items() if known.missing}
    online = {path: known.online for path, known in facts.items() if known.online}
    notes = []
    for path, addresses in list(missing.items())[:_NOTES_OF_A_KIND_MAX]:
        notes.append(f"{path!r}: shows {addresses[0][:200]!r}, which the course does not hold")
    if len(missing) > _NOTES_OF_A_KIND_MAX:
        notes.append(f"{len(missing) - _NOTES_OF_A_KIND_MAX} more pages show files that the course does not hold")
    if online:
        path, addresses = next(iter(online.items()))
        others = f" and {len(online) - 1} more pages need" if len(online) > 1 else " needs"
        notes.append(f"{path!r}{others} the internet, for example {addresses[0][:200]!r}; a school may not have it")
    return notes


def _tell_unused(view: View, plan: CoursePlan, sections: tuple[Section, ...]) -> list[str]:
    """Say what learners will not find: pages outside a written plan, captions browsers do not show."""
    used = {path for section in sections for lesson in section.lessons for path in (*lesson.core, *lesson.rich)}
    notes = []
    unplanned = [path for path in view.names if path not in used] if plan.sections else []
    if unplanned:
        notes.append(f"{COURSE_TOML}: names no lesson for {len(unplanned)} pages, the first is {unplanned[0]!r}")
    srt = [path for path in used if ending(path) == "srt" and path[:-3] + "vtt" not in view.sizes]
    if srt:
        notes.append(f"{len(srt)} captions are .srt, which browsers do not show: convert them to .vtt ({min(srt)!r})")
    return notes


def _shorten(notes: list[str]) -> list[str]:
    if len(notes) <= _NOTES_OF_A_KIND_MAX:
        return notes
    return [*notes[:_NOTES_OF_A_KIND_MAX], f"{len(notes) - _NOTES_OF_A_KIND_MAX} more pages are not readable"]
