"""Tell the language of a file from its name: `page.es.md`, `es/page.md`.

Only names are looked at. What is taken for a language is a closed list, so that
`jquery.min.js` or a folder `img` is never one.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

# ISO 639-1, and the longer tags that schools Alforja is made for read in.
_PRIMARY: Final = frozenset(
    re.findall(
        "[a-z]+",
        """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
    es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg
    ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn
    no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta
    te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    agr arn ayr cni fil gug guc hac haw kek kmr mam miq nah ngu pap quc quy quz shp shi tet tzh tzo yua yue zgh
    """,
    )
)
_TAG: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_](?:[A-Za-z]{4}|[A-Za-z]{2}|[0-9]{3})){0,2}")
_WILD: Final = "\0"  # stands for the language in a shared name; no file name holds it


def language_of_name(name: str, known: Collection[str] = ()) -> str:
    """Read a name as a language tag; `known` are tags that count besides the closed list. Empty when it is none."""
    if not _TAG.fullmatch(name):
        return ""
    tag = name.replace("_", "-")
    primary = tag.partition("-")[0]
    return tag if primary in _PRIMARY or tag in known else ""


def split_stem(stem: str, known: Collection[str] = ()) -> tuple[str, str]:
    """Part `page.es` into `page` and `es`; the language is empty when the stem names none."""
    rest, dot, last = stem.rpartition(".")
    tag = language_of_name(last, known) if dot and rest else ""
    return (rest, tag) if tag else (stem, "")


def find_languages(pages: Iterable[str], known: Collection[str] = ()) -> Mapping[str, tuple[str, str]]:
    """Give for every page the name it shares with its translations, and its language.

    A folder counts as a language's own only beside another one that holds a page
    of the same name (`es/water.md` and `en/water.md`): `it/` alone may be about
    computers. The shared name has neither the ending nor the language.
    """
    listed = list(pages)
    found: dict[str, tuple[str, str]] = {}
    wild: dict[str, list[tuple[str, str]]] = {}
    for path in listed:
        parts = path.split("/")
        stem, tag = split_stem(_without_ending(parts[-1]), known)
        found[path] = ("/".join([*parts[:-1], stem]), tag)
        for at, part in enumerate(parts[:-1]):
            if not tag and (folder_tag := language_of_name(part, known)):
                key = "/".join([*parts[:at], _WILD, *parts[at + 1 : -1], stem])
                wild.setdefault(key, []).append((path, folder_tag))
                break
    parallel = {key.partition(_WILD)[0] for key, pairs in wild.items() if len({tag for _, tag in pairs}) > 1}
    for key, pairs in wild.items():
        if key.partition(_WILD)[0] in parallel:
            found |= {path: (key.replace(_WILD + "/", "", 1), tag) for path, tag in pairs}
    return found


def _without_ending(name: str) -> str:
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name
