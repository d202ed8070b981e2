"""Decide the sections and lessons of a folder: as `course.toml` says, or by its names.

Pure: values in, values out. Whatever order things are met in, the same tree gives
the same lessons with the same ids.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from alforja_hub.importers.course_toml import CoursePlan, LessonPlan, match_files
from alforja_hub.importers.names import is_index, make_id, reading_order, tidy_title
from alforja_hub.importers.needs import HTML, Facts, close_over, is_document, is_media
from alforja_packaging.course import Lesson, Section, Text
from alforja_packaging.errors import FormatError
from alforja_packaging.layout import ending, media_type, part_of

_PAGES: Final = ("text/html", "application/xhtml+xml", "text/markdown", "text/plain")
_PLUMBING: Final = frozenset(["_includes", "_layouts", "_data", "_sass", "node_modules", "__macosx"])
_NOT_TAUGHT: Final = frozenset(
    re.findall(
        "[^ \n]+",
        """
    license licence copying notice changelog changes contributing contributors code_of_conduct code-of-conduct
    conduct security authors citation robots requirements 404 search genindex sitemap humans
    """,
    )
)
_SUPPORT_FOLDERS: Final = frozenset(
    re.findall(
        "[a-z]+",
        "assets asset static img imgs image images imagenes media css js fonts font lib libs vendor styles scripts",
    )
)
_SUPPORT_ENDINGS: Final = frozenset(
    re.findall("[a-z0-9]+", "css js mjs map json xml woff woff2 ttf otf eot toml yml yaml vtt srt sami svg ico")
)


@dataclass(frozen=True, slots=True)
class View:
    """A tree as it was read.

    `sizes` are in bytes, by path. `names` give for every page the name it shares
    with its translations, and its language. `captions` go by video. `apps` are folders
    that are one HTML page with scripts, and that page.
    """

    title: Text
    sizes: Mapping[str, int]
    facts: Mapping[str, Facts]
    names: Mapping[str, tuple[str, str]]
    captions: Mapping[str, tuple[str, ...]]
    languages: tuple[str, ...]
    apps: Mapping[str, str]


def opens_alone(path: str) -> bool:
    """Tell whether a file could be what a lesson opens with, by its name."""
    *folders, name = path.split("/")
    if any(folder.startswith(".") or folder.casefold() in _PLUMBING for folder in folders):
        return False
    stem = name.partition(".")[0].casefold()
    if not stem or stem in _NOT_TAUGHT or (stem.startswith("_") and stem != "_index"):
        return False
    return media_type(path) in _PAGES or is_document(path)


def find_course_languages(names: Mapping[str, tuple[str, str]], facts: Mapping[str, Facts]) -> tuple[str, ...]:
    """List the languages that pages are named or marked with, the most frequent first."""
    counts = Counter(tag or facts.get(path, Facts()).language for path, (_, tag) in names.items())
    return tuple(tag for tag, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if tag)


def find_apps(names: Iterable[str], facts: Mapping[str, Facts]) -> dict[str, str]:
    """Give the folders in which an `index.html` with scripts is the only page: what lies below is its own."""
    pages: Counter[str] = Counter()
    for path in names:
        for folder in _folders_above(path) if media_type(path) in _PAGES else ():
            pages[folder] += 1
    found = {}
    for path, known in facts.items():
        folder, _, name = path.rpartition("/")
        scripted = any(ending(shown) in ("js", "mjs") for shown in known.pulls)
        if scripted and media_type(path) in HTML and is_index(name) and pages[folder] == 1:
            found[folder] = path
    return found


def derive_sections(view: View) -> tuple[Section, ...]:
    """Make sections of the top folders and a lesson of every page not shown by another."""
    groups = _group(view, _find_openers(view))
    groups += _gather_pageless(view, groups)
    groups.sort(key=lambda group: reading_order(group[0]))
    common = _common_folder([key for key, _ in groups])
    ids: set[str] = set()
    lessons: dict[str, list[Lesson]] = {}
    titles: dict[str, Text] = {}
    for key, pages in groups:
        inner = key.removeprefix(common)
        top, slash, below = inner.partition("/")
        lesson = compose_lesson(view, _id_key(key), pages, ids)
        lessons.setdefault(top if slash else "", []).append(lesson)
        if slash and is_index(below):
            titles[top] = lesson.title
    found = {top: tuple(held) for top, held in lessons.items()}
    found = _adopt_leftovers(view, found)
    return tuple(Section(titles.get(top) or _folder_title(view, top), held) for top, held in found.items())


def follow_plan(view: View, plan: CoursePlan) -> tuple[Section, ...]:
    """Make the sections that a `course.toml` writes down. Raises FormatError when it does not fit the folder."""
    ids: set[str] = set()
    paths = sorted(view.sizes, key=lambda path: (_language_place(view, path), reading_order(path)))
    return tuple(
        Section(section.title, tuple(_follow_lesson(view, lesson, paths, ids) for lesson in section.lessons))
        for section in plan.sections
    )


def compose_lesson(view: View, key: str, pages: Sequence[str], ids: set[str]) -> Lesson:
    """Make a lesson of its pages and of all that they need; `ids` are those already given."""
    needed = close_over(pages, view.facts, view.captions)
    opens_with_core = any(part_of(path, view.sizes[path]) == "core" for path in pages)
    core = [path for path in needed if opens_with_core and part_of(path, view.sizes[path]) == "core"]
    rich = [path for path in needed if path not in set(core)]
    name = make_id(key, ids)
    ids.add(name)
    return Lesson(name, _lesson_title(view, key, pages), tuple(core), tuple(rich))


def _follow_lesson(view: View, plan: LessonPlan, paths: Sequence[str], ids: set[str]) -> Lesson:
    matched = match_files(plan.files, paths)
    pages = sorted(matched, key=lambda path: not opens_alone(path) + is_media(path))
    key = _id_key(view.names[pages[0]][0]) if pages[0] in view.names else pages[0]
    lesson = compose_lesson(view, key, pages, ids if not plan.id else set())
    if plan.id in ids:
        raise FormatError(f"course.toml: lesson {plan.id!r} is there twice", advice="give every lesson its own id")
    ids.add(plan.id or lesson.id)
    return replace(lesson, id=plan.id or lesson.id, title=plan.title or lesson.title)


def _find_openers(view: View) -> list[str]:
    """List the files that lessons open with: those no other page shows, and one of every circle."""
    choices = sorted((path for path in view.names if not _is_of_app(view, path)), key=reading_order)
    shown: set[str] = set()
    for path in choices:
        shown.update(close_over([path], view.facts, view.captions)[1:])
    openers = [path for path in choices if path not in shown]
    covered = set(close_over(openers, view.facts, view.captions))
    for path in choices:
        if path not in covered:
            openers.append(path)
            covered.update(close_over([path], view.facts, view.captions))
    return openers


def _group(view: View, openers: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Bring the languages and forms of one lesson together under the name they share."""
    groups: dict[str, dict[tuple[str, str], str]] = {}
    for path in openers:
        key, tag = view.names[path]
        slot = (tag, media_type(path) if media_type(path) in _PAGES else ending(path))
        if slot in groups.get(key, {}):
            key = path
        groups.setdefault(key, {})[slot] = path
    return [
        (key, sorted(slots.values(), key=lambda path: (_form(path), _language_place(view, path), reading_order(path))))
        for key, slots in groups.items()
    ]


def _gather_pageless(view: View, groups: Sequence[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Make one lesson of every top folder in which nothing opens alone, and of a course without any."""
    taught = {key.partition("/")[0] for key, pages in groups if "/" in key} | {
        page.partition("/")[0] for _, pages in groups for page in pages
    }
    shown = {path for _, pages in groups for path in close_over(pages, view.facts, view.captions)}
    loose: dict[str, list[str]] = {}
    for path in view.sizes:
        top, slash, _ = path.partition("/")
        if path in shown or ending(path) in _SUPPORT_ENDINGS or not _is_content(path) or _is_of_app(view, path):
            continue
        if not groups or (slash and top not in taught and top.casefold() not in _SUPPORT_FOLDERS):
            loose.setdefault(top if slash else "", []).append(path)
    return [(f"{top}/index" if top else "index", sorted(paths, key=reading_order)) for top, paths in loose.items()]


def _is_content(path: str) -> bool:
    *folders, name = path.split("/")
    if any(folder.startswith(".") or folder.casefold() in _PLUMBING for folder in folders):
        return False
    return not name.startswith(".") and name.partition(".")[0].casefold() not in _NOT_TAUGHT


def _adopt_leftovers(view: View, sections: dict[str, tuple[Lesson, ...]]) -> dict[str, tuple[Lesson, ...]]:
    """Give what no page names to the only HTML lesson of the folder above: scripts fetch files by themselves."""
    lessons = [lesson for held in sections.values() for lesson in held]
    used = {path for lesson in lessons for path in (*lesson.core, *lesson.rich)}
    homes: dict[str, set[str]] = {}
    for lesson in lessons:
        for path in (*lesson.core, *lesson.rich):
            if path in view.names:
                is_app = media_type(path) in HTML
                homes.setdefault(path.rpartition("/")[0], set()).add(lesson.id if is_app else "")
    adopted: dict[str, list[str]] = {}
    for path in view.sizes:
        home = path.rpartition("/")[0]
        while home and home not in homes:
            home = home.rpartition("/")[0]
        owners = homes.get(home, set())
        if path not in used and len(owners) == 1 and (home or home in view.apps) and _is_content(path):
            adopted.setdefault(next(iter(owners)), []).append(path)
    return {
        top: tuple(_extend(view, lesson, adopted.get(lesson.id, ())) for lesson in held)
        for top, held in sections.items()
    }


def _is_of_app(view: View, path: str) -> bool:
    """Tell whether a file is loaded by the scripts of an app rather than opened by a learner."""
    return any(
        app != path and path not in view.facts[app].offers
        for folder in _folders_above(path)
        if (app := view.apps.get(folder)) is not None
    )


def _folders_above(path: str) -> list[str]:
    return ["", *(path[:at] for at, letter in enumerate(path) if letter == "/")]


def _extend(view: View, lesson: Lesson, paths: Sequence[str]) -> Lesson:
    core = tuple(path for path in paths if part_of(path, view.sizes[path]) == "core" and lesson.core)
    rich = tuple(path for path in paths if path not in core)
    return replace(lesson, core=(*lesson.core, *core), rich=(*lesson.rich, *rich))


def _lesson_title(view: View, key: str, pages: Sequence[str]) -> Text:
    fallback = view.languages[0] if len(view.languages) == 1 else "und"
    title: dict[str, str] = {}
    for path in pages:
        facts = view.facts.get(path, Facts())
        tag = view.names.get(path, ("", ""))[1] or facts.language or fallback
        if facts.title:
            title.setdefault(tag, facts.title)
    return title or {"und": tidy_title(key.rpartition("/")[2])}


def _folder_title(view: View, top: str) -> Text:
    return {"und": tidy_title(top)} if top else view.title


def _id_key(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return folder if slash and is_index(name) else key


def _common_folder(keys: Sequence[str]) -> str:
    """Give the folder that all names lie in, with its slash; sections are what lies below it."""
    common = ""
    while True:
        tops = {key[len(common) :].partition("/")[0] if "/" in key[len(common) :] else "" for key in keys}
        if len(tops) != 1 or "" in tops:
            return common
        deeper = f"{common}{tops.pop()}/"
        if all("/" not in key[len(deeper) :] for key in keys):
            return common  # a folder of pages stays a section with its own name
        common = deeper


def _language_place(view: View, path: str) -> int:
    tag = view.names.get(path, ("", ""))[1]
    return view.languages.index(tag) if tag in view.languages else (-1 if not tag else len(view.languages))


def _form(path: str) -> int:
    kind = media_type(path)
    if kind in _PAGES:
        return _PAGES.index(kind)
    return len(_PAGES) + 1 + is_media(path)
