"""Say in plain words what comes next: on the library's page as in `sync --dry-run`."""

from collections.abc import Iterator, Sequence

from alforja_node.library.words import Words
from alforja_node.planning.coming import Coming, Prospect
from alforja_packaging.console import in_words
from alforja_packaging.course import choose_text


def say_prospect(prospect: Prospect, words: Words, wanted: Sequence[str]) -> Iterator[str]:
    """Say what comes next, thing by thing, and all in sum, to a reader of `wanted` languages."""
    if not prospect.things:
        yield words("next_nothing")
        return
    for coming in prospect.first:
        yield _say(coming, prospect, words, wanted)
    yield words("next_sum", words.count("next_things", prospect.things), in_words(prospect.size), prospect.source) + (
        f", {_price(prospect.cost, prospect, words)}"
    )
    if prospect.cap_left is not None:
        yield words("next_cap", in_words(prospect.cap_left))


def _say(coming: Coming, prospect: Prospect, words: Words, wanted: Sequence[str]) -> str:
    course = choose_text(coming.title, wanted)[1] or coming.course
    lesson = choose_text(coming.lesson_title, wanted)[1] or coming.lesson
    name = f"{course}, {coming.number}. {lesson}" if lesson else course
    at_once = coming.why.startswith("dated") and not coming.wanted_by
    why = words("why_at_once") if at_once else words(f"why_{coming.why}", coming.wanted_by)
    parts = [words(f"next_{coming.part}"), in_words(coming.size), why]
    if coming.cost:
        parts.append(_price(coming.cost, prospect, words))
    if coming.fits:
        parts.append(words("next_day", coming.day) if coming.day else words("next_some_day"))
    else:
        parts.append(words("next_no_room"))
    return f"{name}: {', '.join(part for part in parts if part)}"


def _price(cost: float, prospect: Prospect, words: Words) -> str:
    return words("next_cost", f"{cost:.2f} {prospect.currency}".strip()) if cost else words("next_free")
