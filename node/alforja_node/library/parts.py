"""Decide what a lesson's page is made of: what is read, what is played, what is taken along.

By the names, endings and order of the lesson's files; nothing is opened here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from alforja_node.library.view import UNKNOWN_LANGUAGE, Shown
from alforja_packaging.course import Lesson, choose_text
from alforja_packaging.layout import ending, media_type

PageKind = Literal["markdown", "html", "text"]
MediaKind = Literal["video", "audio"]

TEXT_SHOWN_MAX_BYTES: Final = 512 * 1024  # longer ones are offered as files: a phone would choke, and so would we
_FRAMES_MAX: Final = 3  # pages in frames one below another; more of them are offered as links

_PAGE_KINDS: Final[Mapping[str, PageKind]] = {
    "text/markdown": "markdown",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "text",
}
_DOCUMENT_ENDINGS: Final = frozenset(
    ["pdf", "epub", "docx", "pptx", "xlsx", "odt", "odp", "ods", "doc", "ppt", "xls", "rtf", "h5p"]
)
# What pages pull in rather than what a reader asks for.
_SUPPORT_TYPES: Final = frozenset(
    [
        "text/css", "text/javascript", "text/vtt", "application/json", "application/xml", "application/x-subrip",
        "application/manifest+json", "application/wasm",
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is read: rendered here, or in a frame of the content's own origin."""

    path: str
    kind: PageKind
    lang: str
    others: tuple[str, ...] = ()
    framed: bool = True


@dataclass(frozen=True, slots=True)
class Caption:
    """One file of captions and its language, empty when its name tells none."""

    path: str
    lang: str


@dataclass(frozen=True, slots=True)
class Media:
    """A video or a sound in all its forms (`v.mp4`, `v.webm`), with its captions."""

    kind: MediaKind
    sources: tuple[str, ...]
    size: int
    here: bool
    captions: tuple[Caption, ...] = ()
    poster: str = ""


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is taken along or opened by another program. `size` is in bytes."""

    path: str
    size: int
    here: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """What a lesson's page shows, in order. `languages` are those the lesson can be had in."""

    pages: tuple[Page, ...] = ()
    media: tuple[Media, ...] = ()
    pictures: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    languages: tuple[str, ...] = ()


def make_parts(shown: Shown, lesson: Lesson, wanted: Sequence[str]) -> Parts:
    """Sort a lesson's files into what its page shows, for a reader of `wanted` languages."""
    languages = shown.manifest.course.languages
    pages = _choose_pages(shown, lesson_pages(shown, lesson), languages, wanted)
    files = [path for path in dict.fromkeys((*lesson.core, *lesson.rich)) if path not in lesson_pages(shown, lesson)]
    by_hand = not any(page.kind == "html" for page in pages)  # an HTML page shows its own pictures and media
    media = _choose_media(shown, files, languages, wanted) if by_hand else ()
    posters = {one.poster for one in media}
    pictures = [path for path in files if media_type(path).startswith("image/") and path not in posters]
    found = [tag for path in lesson_pages(shown, lesson) for tag in [split_language(path, languages)[1]] if tag]
    found += [tag for path in files if _kind_of_media(path) and (tag := split_language(path, languages)[1])]
    return Parts(
        pages=pages,
        media=media,
        pictures=() if pages or media else tuple(path for path in pictures if shown.holds(path)),
        downloads=tuple(_find_downloads(shown, files, has_frames=not by_hand)),
        languages=tuple(sorted(dict.fromkeys(found), key=lambda tag: _place(tag, languages))),
    )


def lesson_pages(shown: Shown, lesson: Lesson) -> tuple[str, ...]:
    """List the files a lesson opens with: pages that stand before anything they pull in."""
    found = []
    for path in lesson.core or lesson.rich:
        kind = media_type(path)
        if kind in _PAGE_KINDS and shown.manifest.by_path[path].size <= TEXT_SHOWN_MAX_BYTES * _bulk(kind):
            found.append(path)
        elif kind in _SUPPORT_TYPES or kind.startswith(("image/", "font/")):
            break
    return tuple(found)


def plays_itself(shown: Shown, lesson: Lesson) -> frozenset[str]:
    """List the videos and sounds that a lesson's page has players for."""
    if any(_PAGE_KINDS[media_type(path)] == "html" for path in lesson_pages(shown, lesson)):
        return frozenset()
    return frozenset(path for path in (*lesson.core, *lesson.rich) if _kind_of_media(path))


def split_language(path: str, languages: Sequence[str], separators: str = ".") -> tuple[str, str]:
    """Part a path into the name it shares with its translations and its language, one of the course's own.

    `page.es.md` and `es/page.md` are in Spanish, if the course is. The shared name
    keeps its ending.
    """
    folder, slash, name = path.rpartition("/")
    stem = name.removesuffix("." + name.rpartition(".")[2]) if "." in name else name
    rest = name[len(stem) :]
    for separator in separators:
        base, found, last = stem.rpartition(separator)
        if found and base and (tag := _match(last, languages)):
            return folder + slash + base + rest, tag
    parts = folder.split("/")
    for at, part in enumerate(parts):
        if tag := _match(part, languages):
            return "/".join([*parts[:at], "*", *parts[at + 1 :], name]), tag
    return path, ""


def _match(word: str, languages: Sequence[str]) -> str:
    tag = word.replace("_", "-").lower()
    return next((known for known in languages if known.lower() == tag), "")


def _bulk(kind: str) -> int:
    return 64 if _PAGE_KINDS[kind] == "html" else 1  # what a frame shows costs us nothing


def _choose_pages(
    shown: Shown, paths: Sequence[str], languages: Sequence[str], wanted: Sequence[str]
) -> tuple[Page, ...]:
    pages: list[Page] = []
    frames = 0
    for variants in _group(paths, languages).values():
        tag, path = choose_text(variants, wanted)
        kind = _PAGE_KINDS[media_type(path)]
        frames += kind == "html"
        others = tuple(other for other in variants if other not in (tag, UNKNOWN_LANGUAGE))
        pages.append(Page(path, kind, _known(tag), others))
    if frames > _FRAMES_MAX:
        first = next(page for page in pages if page.kind == "html")
        pages = [page if page.kind != "html" or page is first else replace(page, framed=False) for page in pages]
    return tuple(page for page in pages if shown.holds(page.path))


def _group(paths: Iterable[str], languages: Sequence[str]) -> Mapping[str, dict[str, str]]:
    """Bring the languages of one page together: shared name -> {language: path}."""
    groups: dict[str, dict[str, str]] = {}
    for path in paths:
        key, tag = split_language(path, languages)
        variants = groups.setdefault(key, {})
        variants.setdefault(tag or UNKNOWN_LANGUAGE, path)
    for variants in groups.values():
        unclaimed = [tag for tag in languages if tag not in variants]
        if len(variants) > 1 and unclaimed and UNKNOWN_LANGUAGE in variants:
            # `page.md` beside `page.en.md` is in the language that has no file of its own.
            variants[unclaimed[0]] = variants.pop(UNKNOWN_LANGUAGE)
    return groups


def _choose_media(
    shown: Shown, files: Sequence[str], languages: Sequence[str], wanted: Sequence[str]
) -> tuple[Media, ...]:
    forms: dict[tuple[MediaKind, str], dict[str, list[str]]] = {}
    for path in files:
        if kind := _kind_of_media(path):
            key, tag = split_language(path, languages)
            variants = forms.setdefault((kind, _stem(key)), {})
            variants.setdefault(tag or UNKNOWN_LANGUAGE, []).append(path)
    chosen = []
    for (kind, _), variants in forms.items():
        tag, _ = choose_text({tag: paths[0] for tag, paths in variants.items()}, wanted)
        chosen.append(_make_media(shown, kind, variants[tag], files, languages))
    return tuple(chosen)


def _make_media(
    shown: Shown, kind: MediaKind, sources: Sequence[str], files: Sequence[str], languages: Sequence[str]
) -> Media:
    held = [path for path in sources if shown.holds(path)]
    stems = {_stem(path) for path in sources} | {_stem(split_language(path, languages)[0]) for path in sources}
    captions = []
    for path in files:
        base, tag = split_language(path, languages, ".-_")
        if media_type(path) == "text/vtt" and shown.holds(path) and stems & {_stem(base), _stem(path)}:
            captions.append(Caption(path, tag))
    pictures = (path for path in files if media_type(path).startswith("image/") and _stem(path) in stems)
    poster = next((path for path in pictures if shown.holds(path)), "")
    offered = tuple(held or sources)
    size = shown.manifest.by_path[offered[0]].size
    return Media(kind, offered, size, bool(held), tuple(captions), poster)


def _find_downloads(shown: Shown, files: Sequence[str], *, has_frames: bool) -> Iterable[Download]:
    for path in files:
        kind = media_type(path)
        is_support = kind in _SUPPORT_TYPES or kind.startswith(("image/", "font/"))
        if has_frames:  # a framed page comes with files of its own that mean nothing to a reader
            is_wanted = ending(path) in _DOCUMENT_ENDINGS or bool(_kind_of_media(path))
        else:
            is_wanted = not is_support and not _kind_of_media(path)
        if is_wanted:
            yield Download(path, shown.manifest.by_path[path].size, shown.holds(path))


def _kind_of_media(path: str) -> MediaKind | None:
    kind = media_type(path).partition("/")[0]
    return "video" if kind == "video" else "audio" if kind == "audio" else None


def _stem(path: str) -> str:
    return path.removesuffix("." + path.rpartition(".")[2])


def _known(tag: str) -> str:
    return "" if tag == UNKNOWN_LANGUAGE else tag


def _place(tag: str, languages: Sequence[str]) -> int:
    return languages.index(tag) if tag in languages else len(languages)
