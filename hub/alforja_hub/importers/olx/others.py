"""Turn the blocks that are neither pages, problems nor videos: what can be read of them is kept.

What only the online platform can do is named, so that a teacher knows what is missing.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from lxml import etree

from alforja_hub.importers.olx.blocks import Block
from alforja_hub.importers.olx.fragments import Element, parse_fragment, tag
from alforja_hub.importers.olx.words import Words

_WHOLE: Final = frozenset(["annotatable", "discussion"])
_NAMES: Final = {
    "annotatable": "annotation",
    "drag-and-drop-v2": "drag and drop",
    "edx_sga": "staff-graded assignment",
    "lti": "LTI tool",
    "lti_consumer": "LTI tool",
    "openassessment": "open response",
    "scorm": "SCORM package",
    "staffgradedxblock": "staff-graded points",
    "word_cloud": "word cloud",
}


def turns_whole(kind: str) -> bool:
    """Tell whether nothing is lost when a block of this kind becomes a page's piece."""
    return kind in _WHOLE


def turn_other(block: Block, words: Words) -> list[Element]:
    """Give what can be read of a block of any kind. Raises FormatError when a part of it is not readable."""
    if block.kind == "discussion":
        subject = block.fields.get("discussion_target") or block.title
        return [tag("p", f"{words['talk']}: {subject}" if subject else f"{words['talk']}.", class_="note")]
    turn = _TURNS.get(block.kind)
    pieces = turn(block, words) if turn else []
    if block.kind in _WHOLE:
        return pieces
    told = tag("p", f"{words['partly']} ({name_of(block.kind)}).", class_="note")
    return [*pieces, told] if pieces else [not_here(block.kind, words)]


def not_here(kind: str, words: Words) -> Element:
    """Say that a kind of block needs the platform."""
    return tag("p", f"{words['not_here']} ({name_of(kind)}).", class_="note")


def name_of(kind: str) -> str:
    """Call a kind of block in words."""
    return _NAMES.get(kind, kind)


def _open_response(block: Block, words: Words) -> list[Element]:
    """Show what is asked, and how answers are judged."""
    rich = block.fields.get("prompts_type") == "html"
    pieces = [
        _rich(block, _content(prompt)) if rich else tag("p", _content(prompt))
        for prompt in block.element.iterfind(".//prompts/prompt/description")
    ]
    pieces.append(tag("p", words["paper"], class_="paper"))
    criteria = tag("ul")
    for criterion in block.element.iterfind(".//rubric/criterion"):
        entry = tag("li", tag("b", _content(criterion.find("label"))), f" {_content(criterion.find('prompt'))}")
        options = tag("ul")
        for option in criterion.iterchildren("option"):
            told = _content(option.find("explanation"))
            options.append(tag("li", f"{_content(option.find('label'))} ({option.get('points', '')}): {told}"))
        entry.append(options)
        criteria.append(entry)
    if len(criteria):
        pieces.append(tag("details", tag("summary", words["rubric"]), criteria, class_="feedback"))
    return pieces


def _poll(block: Block, words: Words) -> list[Element]:
    answers = _labels(_json(block.fields.get("answers", "")))
    return [_rich(block, block.fields.get("question", "")), tag("p", words["choose"], class_="how"), _letters(answers)]


def _survey(block: Block, _words: Words) -> list[Element]:
    questions = _labels(_json(block.fields.get("questions", "")))
    answers = _labels(_json(block.fields.get("answers", "")))
    pieces = []
    for question in questions:
        pieces += [tag("p", question, class_="ask"), _letters(answers)]
    return pieces


def _drag_and_drop(block: Block, words: Words) -> list[Element]:
    """Show the picture, the items and the places, so that it can be done with a pencil."""
    data = _json(block.fields.get("data", ""))
    data = data if isinstance(data, dict) else {}
    question = str(data.get("questionText") or block.fields.get("question_text", ""))
    pieces = [_rich(block, question)] if question else []
    if picture := data.get("targetImg"):
        described = str(data.get("targetImgDescription") or "")
        pieces.append(tag("p", tag("img", src=str(picture), alt=described)))
    items = [str(item.get("displayName") or item.get("imageDescription") or "") for item in _tables(data.get("items"))]
    zones = [str(zone.get("title") or zone.get("description") or "") for zone in _tables(data.get("zones"))]
    pieces += [tag("p", words["drag"], class_="how"), _letters(items)]
    if any(zones):
        pieces += [tag("p", words["places"], class_="how"), tag("ol", *(tag("li", zone) for zone in zones))]
    return [*pieces, tag("p", words["paper"], class_="paper")]


def _annotated(block: Block, _words: Words) -> list[Element]:
    """Show the text, each of its annotations below it."""
    text = _rich(block, inner_markup(block.element))
    notes = tag("ul")
    for mark in list(text.iter("annotation")):
        notes.append(tag("li", tag("b", mark.get("title", "")), f" {mark.get('body', '')}"))
        mark.tag = "mark"
        mark.attrib.clear()
    return [text, notes] if len(notes) else [text]


def _instructed(block: Block, _words: Words) -> list[Element]:
    text = block.fields.get("instructions") or block.fields.get("description", "")
    return [_rich(block, text)] if text else []


def _online_tool(block: Block, words: Words) -> list[Element]:
    address = block.fields.get("launch_url", "")
    return [tag("p", words["external"], " ", tag("a", address, href=address), class_="note")] if address else []


_TURNS: Final[dict[str, Callable[[Block, Words], list[Element]]]] = {
    "annotatable": _annotated,
    "drag-and-drop-v2": _drag_and_drop,
    "edx_sga": _instructed,
    "lti": _online_tool,
    "lti_consumer": _online_tool,
    "openassessment": _open_response,
    "poll": _poll,
    "poll_question": _poll,
    "staffgradedxblock": _instructed,
    "survey": _survey,
    "word_cloud": _instructed,
}


def _rich(block: Block, text: str) -> Element:
    return parse_fragment(f"{block.kind} {block.name}", text)


def inner_markup(element: Element) -> str:
    """Give what an element holds as markup."""
    return (element.text or "") + "".join(etree.tostring(child, encoding="unicode") for child in element)


def _letters(names: Iterable[str]) -> Element:
    return tag("ol", *(tag("li", name) for name in names if name), type="A", class_="choices")


def _content(element: Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _json(text: str) -> Any:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None


def _tables(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _labels(value: object) -> list[str]:
    """Read the labels of polls: `[["id", "label"]]` or `[["id", {"label": "label"}]]`."""
    labels = []
    for entry in value if isinstance(value, list) else []:
        match entry:
            case [_, str(label)]:
                labels.append(label)
            case [_, {"label": str(label)}]:
                labels.append(label)
    return labels
