"""Turn an Open edX problem into a page's piece that can be read, and answered on paper.

What is right is not shown; hints and explanations fold away. A problem's program
is never run.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from alforja_hub.importers.olx.fragments import Element, add_all, add_text, tag, text_of
from alforja_hub.importers.olx.words import Words

_DROPPED: Final = frozenset(
    re.findall(
        r"\w+",
        """
        script answer responseparam additional_answer startouttext endouttext correct_answer textline_answer
        responsepartial hintgroup hintpart numericalhint stringhint formulahint meta transformation grader_payload
        initial_display answer_display allowed_files rubric
        """,
    )
)
_CHOICES: Final = frozenset(["choicegroup", "radiogroup", "checkboxgroup", "choicetextgroup", "radiotextgroup"])
_LINES: Final = frozenset(["textline", "numericalinput", "formulaequationinput", "chemicalequationinput"])
_BOXES: Final = frozenset(["textbox", "codeinput", "filesubmission", "matlabinput"])
_FEEDBACK: Final = frozenset(
    ["choicehint", "optionhint", "correcthint", "stringequalhint", "regexphint", "compoundhint", "targetedfeedback"]
)
_PROGRAMS: Final = frozenset(
    re.findall(
        r"\w+",
        """
        schematic designprotein2dinput editamoleculeinput editageneinput crystallography vsepr_input
        javascriptinput drag_and_drop_input
        """,
    )
)


@dataclass(slots=True)
class Problem:
    """A problem turned: `body` to read, and what its makers keep folded away until asked."""

    words: Words
    body: Element
    hints: list[Element] = field(default_factory=list)
    feedback: list[Element] = field(default_factory=list)
    solutions: list[Element] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    """The kinds of answer that only a program on the platform can take."""


def turn_problem(element: Element, words: Words, *, show_solution: bool) -> Problem:
    """Turn a `problem` element. Answers, grading and programs stay behind."""
    problem = Problem(words, tag("div"))
    _turn_inside(problem, element, problem.body)
    if not len(problem.body) and not text_of(problem.body) and element.get("markdown", "null") != "null":
        problem.body.append(tag("pre", element.get("markdown", "")))
    _fold(problem, show_solution=show_solution)
    return problem


def _fold(problem: Problem, *, show_solution: bool) -> None:
    words = problem.words
    problem.body.append(tag("p", words["paper"], class_="paper"))
    for number, hint in enumerate(problem.hints, 1):
        name = words["hint"] if len(problem.hints) == 1 else f"{words['hint']} {number}"
        problem.body.append(tag("details", tag("summary", name), hint, class_="hint"))
    if problem.feedback:
        entries = tag("ul")
        add_all(entries, problem.feedback)
        problem.body.append(tag("details", tag("summary", words["feedback"]), entries, class_="feedback"))
    for solution in problem.solutions if show_solution else ():
        problem.body.append(tag("details", tag("summary", words["explanation"]), solution, class_="solution"))


def _turn_inside(problem: Problem, element: Element, into: Element) -> None:
    """Turn what an element holds, and put it at the end of another."""
    add_text(into, element.text or "")
    for child in element:
        if isinstance(child.tag, str):
            for piece in _turn(problem, child):
                into.append(piece)
        add_text(into, child.tail or "")


def _turn(problem: Problem, element: Element) -> list[Element]:
    kind = etree.QName(element).localname.lower()
    if kind in _DROPPED:
        return []
    if kind in _TURNS:
        return _TURNS[kind](problem, element)
    if kind in _CHOICES:
        return [_choices(problem, element)]
    if kind in _LINES:
        return _blank(problem, element)
    if kind in _BOXES:
        return [tag("span", class_="blank tall", role="img", aria_label=problem.words["answer"])]
    if kind in _FEEDBACK:
        problem.feedback += [_inside(problem, element, "li")]
        return []
    if kind in _PROGRAMS:
        problem.programs.append(kind)
        return [tag("p", f"{problem.words['not_here']} ({kind}).", class_="note")]
    if kind.endswith("response") or kind in ("text", "responsegroup", "multipleresponse"):
        return [_inside(problem, element, "div", class_="question")]
    turned = _inside(problem, element, "div" if kind == "center" else kind)
    for name, value in element.attrib.items():
        turned.set(etree.QName(str(name)).localname, str(value))
    return [turned]


def _inside(problem: Problem, element: Element, name: str, **attributes: str) -> Element:
    made = tag(name, **attributes)
    _turn_inside(problem, element, made)
    return made


def _label(problem: Problem, element: Element) -> list[Element]:
    return [_inside(problem, element, "p", class_="ask")]


def _description(problem: Problem, element: Element) -> list[Element]:
    return [_inside(problem, element, "p", class_="about")]


def _solution(problem: Problem, element: Element) -> list[Element]:
    problem.solutions.append(_inside(problem, element, "div"))
    return []


def _hints(problem: Problem, element: Element) -> list[Element]:
    problem.hints += [_inside(problem, hint, "div") for hint in element.iterchildren("hint")]
    return []


def _clarification(problem: Problem, element: Element) -> list[Element]:
    made = tag("small", " (")
    _turn_inside(problem, element, made)
    add_text(made, ")")
    return [made]


def _choices(problem: Problem, element: Element) -> Element:
    """Turn choices into a lettered list, so that a letter is an answer on paper."""
    several = element.tag == "checkboxgroup"
    entries = tag("ol", type="A", class_="choices")
    made = tag("div")
    for child in element:
        if child.tag == "choice":
            entries.append(_choice(problem, child))
        elif isinstance(child.tag, str):
            add_all(made, _turn(problem, child))
    made.append(tag("p", problem.words["choose_all" if several else "choose"], class_="how"))
    made.append(entries)
    return made


def _choice(problem: Problem, element: Element) -> Element:
    before = len(problem.feedback)
    made = _inside(problem, element, "li")
    if not len(made):
        made.text = (made.text or "").strip()
    name = text_of(made)
    for hint in problem.feedback[before:]:
        told = tag("b", f"{name}: ")
        told.tail, hint.text = hint.text, None
        hint.insert(0, told)
    return made


def _options(problem: Problem, element: Element) -> list[Element]:
    """Turn a drop-down into a lettered list; its options are elements, or one attribute in Python's form."""
    choices = list(element.iterchildren("option"))
    entries = tag("ol", type="A", class_="choices")
    if choices:
        add_all(entries, [_choice(problem, option) for option in choices])
    else:
        add_all(entries, [tag("li", name) for name in _option_names(element.get("options", ""))])
    for entry in entries:
        entry.tail = None
    return [tag("p", problem.words["choose"], class_="how"), entries]


def _option_names(options: str) -> list[str]:
    try:
        names = ast.literal_eval(options)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return re.findall(r"[^(),'\"]+", options)
    return [str(name) for name in names] if isinstance(names, (tuple, list)) else [str(names)]


def _blank(problem: Problem, element: Element) -> list[Element]:
    blank = tag("span", class_="blank", role="img", aria_label=problem.words["answer"])
    label = element.get("label")
    pieces = [tag("p", label, class_="ask")] if label else []
    pieces.append(blank)
    if after := element.get("trailing_text"):
        blank.tail = f" {after}"
    return pieces


def _image(problem: Problem, element: Element) -> list[Element]:
    picture = tag("img", src=element.get("src", ""), alt=element.get("alt", ""))
    return [tag("p", picture), *_blank(problem, element)]


def _jsinput(problem: Problem, element: Element) -> list[Element]:
    """Show the page of a scripted exercise; only its grading needs the platform."""
    problem.programs.append("jsinput")
    height = re.sub(r"[^0-9]", "", element.get("height", "")) or "400"
    frame = tag("iframe", src=element.get("html_file", ""), title=element.get("title", ""))
    frame.set("style", f"width:100%;height:{height}px;border:0")
    return [frame]


def _annotation(problem: Problem, element: Element) -> list[Element]:
    pieces: list[Element] = []
    for child in element.iterchildren():
        if child.tag == "options":
            entries = tag("ol", type="A", class_="choices")
            add_all(entries, [_inside(problem, option, "li") for option in child.iterchildren("option")])
            pieces.append(entries)
        elif child.tag == "text":
            pieces.append(_inside(problem, child, "blockquote"))
        elif isinstance(child.tag, str):
            pieces.append(_inside(problem, child, "p"))
    return [*pieces, tag("span", class_="blank tall", role="img", aria_label=problem.words["answer"])]


_TURNS: Final[dict[str, Callable[[Problem, Element], list[Element]]]] = {
    "label": _label,
    "description": _description,
    "solution": _solution,
    "demandhint": _hints,
    "clarification": _clarification,
    "optioninput": _options,
    "imageinput": _image,
    "jsinput": _jsinput,
    "annotationinput": _annotation,
}
