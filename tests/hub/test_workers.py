"""Processes that do heavy work: they answer, they fail, they are ended."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool

import pytest

from alforja_hub.workers import Workers
from alforja_packaging.errors import StoreError


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(2)
    yield made
    made.shutdown(cancel_futures=True)


def fail_with_advice() -> None:
    raise StoreError("the disk: is full", advice="make room")


def end_suddenly() -> None:
    os._exit(9)


def test_calls_are_answered_by_several_processes(workers: Workers) -> None:
    futures = [workers.submit(divmod, number, 3) for number in range(20)]
    large = workers.submit(len, b"x" * 5_000_000)  # more than a pipe holds

    assert [future.result(60) for future in futures] == [divmod(number, 3) for number in range(20)]
    assert large.result(60) == 5_000_000
    assert workers.submit(os.getpid).result(60) != os.getpid()


def test_an_error_comes_back_with_what_to_do(workers: Workers) -> None:
    with pytest.raises(StoreError, match="the disk: is full") as found:
        workers.submit(fail_with_advice).result(60)

    assert found.value.advice == "make room"
    assert workers.submit(abs, -1).result(60) == 1


def test_a_process_that_is_ended_fails_its_call_only(workers: Workers) -> None:
    with pytest.raises(BrokenProcessPool):
        workers.submit(end_suddenly).result(60)

    assert [workers.submit(abs, number).result(60) for number in range(4)] == [0, 1, 2, 3]


def test_calls_are_stopped_in_the_middle_and_nobody_waits(workers: Workers) -> None:
    futures = [workers.submit(time.sleep, 600) for _ in range(2)]
    waiting = workers.submit(abs, 1)
    while not all(future.running() for future in futures):
        time.sleep(0.01)
    workers.shutdown(cancel_futures=True)

    assert not wait([*futures, waiting], 60).not_done
    assert waiting.cancelled()


def test_a_pool_that_was_never_asked_starts_and_waits_for_nothing() -> None:
    Workers(4).shutdown()
