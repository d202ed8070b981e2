"""Every target of the fuzzer holds for its seeds, and for small changes of them."""

import random

import pytest

from tests.fuzz.targets import TARGETS, run, seeds


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_seeds_and_their_neighbours_give_values_or_errors_of_ours(name: str) -> None:
    chance = random.Random(name)
    run(TARGETS[name], b"")
    for seed in seeds():
        run(TARGETS[name], seed)
        for _ in range(20):
            data = bytearray(seed[: chance.randrange(1, len(seed) + 1)])
            for _ in range(chance.randrange(4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            run(TARGETS[name], bytes(data))
