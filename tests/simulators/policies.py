"""Simple policies to stand beside the planner: each is one list that is gone through from the start."""

import random
from collections.abc import Iterable, Sequence

from alforja_node.planning.ways import Kind
from tests.simulators.traces import School
from tests.simulators.virtual import Alforja, InOrder, Policy, Want


def make_policies() -> Sequence[Policy]:
    """All policies, the planner last."""
    return (
        InOrder("taught courses, each as one archive", _archives),
        InOrder("taught courses, lesson by lesson", lambda school: _lessons(school, _taught(school))),
        InOrder(
            "the same, what was cut off begins anew", lambda school: _lessons(school, _taught(school)), by_file=True
        ),
        InOrder("files at random", _at_random),
        InOrder("smallest lesson first", _smallest),
        InOrder("whole lessons by date", lambda school: _by_date(school, (Kind.CORE, Kind.RICH))),
        InOrder("cores of taught courses, in order", _taught_cores),
        Alforja(),
        Alforja("alforja, breadth_weeks 2", breadth_weeks=2),
    )


def _taught(school: School) -> Sequence[int]:
    return list(dict.fromkeys(one.course for one in school.teachings if not one.pinned))


def _frames(school: School, course: int, place: int, kinds: Iterable[Kind]) -> list[Want]:
    way = school.ways[course]
    own = {number for part in way.parts if part.place == place and part.kind in kinds for number in part.frames}
    own |= {base for number in own for base in way.under.get(number, ())}
    return [(course, number) for number in sorted(own)]


def _archives(school: School) -> list[Want]:
    """What all cores build upon comes last, so nothing can be opened before all of a course is there."""
    return [want for course in _taught(school) for want in reversed(_whole(school, course))]


def _whole(school: School, course: int) -> list[Want]:
    opened = school.ways[course].opened
    assert opened is not None
    return [(course, number) for number in range(len(opened.index.frames))]


def _lessons(school: School, courses: Iterable[int]) -> list[Want]:
    both = (Kind.CORE, Kind.RICH)
    return [
        want
        for course in courses
        for place in range(school.size.lessons)
        for want in _frames(school, course, place, both)
    ]


def _at_random(school: School) -> list[Want]:
    every = [want for course in range(school.size.courses) for want in _whole(school, course)]
    random.Random("files").shuffle(every)
    return every


def _smallest(school: School) -> list[Want]:
    every = [
        _frames(school, course, place, [kind])
        for course in range(school.size.courses)
        for place in range(school.size.lessons)
        for kind in (Kind.CORE, Kind.RICH)
    ]
    return [want for wants in sorted(every, key=lambda wants: _size(school, wants)) for want in wants]


def _size(school: School, wants: Iterable[Want]) -> int:
    total = 0
    for course, number in wants:
        opened = school.ways[course].opened
        assert opened is not None
        assert number is not None
        total += opened.index.frames[number].length
    return total


def _by_date(school: School, kinds: Sequence[Kind]) -> list[Want]:
    told = sorted((one for one in school.teachings if not one.pinned), key=lambda one: (one.said, one.course))
    return [want for one in told for want in _frames(school, one.course, one.lesson, kinds)]


def _taught_cores(school: School) -> list[Want]:
    rest = _lessons(school, _taught(school))
    cores = [
        want
        for place in range(school.size.lessons)
        for course in _taught(school)
        for want in _frames(school, course, place, [Kind.CORE])
    ]
    return [*cores, *rest]
