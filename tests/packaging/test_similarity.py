"""Sketches tell which releases are alike."""

import random

import numpy as np
import pytest

from alforja_packaging.similarity import SKETCH_MAX, Features, choose_alike, find_features, share, sketch


def sketched(*contents: bytes) -> Features:
    return sketch(find_features([content]) for content in contents)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("size", [40_000, 900_000])
def test_a_share_is_estimated_within_a_few_per_cent(part: float, size: int) -> None:
    noise = random.Random(7)
    common, own = noise.randbytes(int(size * part)), noise.randbytes(size - int(size * part))
    other = noise.randbytes(size * 3)

    assert share(sketched(common, own), sketched(other, common)) == pytest.approx(part, abs=0.07)


def test_a_sketch_is_bounded_and_does_not_depend_on_order() -> None:
    contents = [random.Random(seed).randbytes(300_000) for seed in range(4)]

    assert sketched(*contents).size == SKETCH_MAX
    assert np.array_equal(sketched(*contents), sketched(*reversed(contents)))


def test_the_most_alike_are_chosen_first_and_no_more_than_asked() -> None:
    parts = [random.Random(seed).randbytes(50_000) for seed in range(6)]
    wanted = sketched(*parts)
    others = [sketched(*parts[:count]) for count in (1, 3, 5, 4, 0)]

    assert choose_alike(wanted, others, least=0.25, most=2) == [2, 3]
    assert choose_alike(wanted, others, least=0.99, most=2) == []
    assert share(sketched(b""), wanted) == 0.0
