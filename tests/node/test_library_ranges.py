"""Which bytes are answered: conditions and ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_node.library.ranges import Reply, plan_reply

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("wanted", "reply"),
    [
        ("", Reply(200, 0, 10)),
        ("bytes=0-3", Reply(206, 0, 4)),
        ("bytes=4-", Reply(206, 4, 6)),
        ("bytes=-3", Reply(206, 7, 3)),
        ("bytes=-30", Reply(206, 0, 10)),
        ("bytes=8-99", Reply(206, 8, 2)),
        ("bytes=10-", Reply(416)),
        ("bytes=-0", Reply(416)),
        ("bytes=3-2", Reply(200, 0, 10)),
        ("bytes=-", Reply(200, 0, 10)),
        ("bytes=0-1,4-5", Reply(200, 0, 10)),
        ("lines=0-3", Reply(200, 0, 10)),
        ("bytes=0-3x", Reply(200, 0, 10)),
    ],
)
def test_a_range_is_answered_as_rfc_9110_says(wanted: str, reply: Reply) -> None:
    assert plan_reply(ETAG, 10, wanted=wanted) == reply


@pytest.mark.parametrize("if_range", ['"other"', 'W/"abc"', "Tue, 24 Nov 2026 11:00:00 GMT", "abc"])
def test_a_stale_if_range_gets_the_whole_file(if_range: str) -> None:
    assert plan_reply(ETAG, 10, if_range=if_range, wanted="bytes=4-") == Reply(200, 0, 10)


def test_a_fresh_if_range_gets_the_range() -> None:
    assert plan_reply(ETAG, 10, if_range=ETAG, wanted="bytes=4-") == Reply(206, 4, 6)


@pytest.mark.parametrize("stated", [ETAG, 'W/"abc"', '"x", "abc"', "*"])
def test_what_the_reader_has_is_not_sent_again(stated: str) -> None:
    assert plan_reply(ETAG, 10, if_none_match=stated, wanted="bytes=4-") == Reply(304)


def test_another_etag_gets_the_file() -> None:
    assert plan_reply(ETAG, 10, if_none_match='"abcd"') == Reply(200, 0, 10)


@given(size=st.integers(0, 50), first=st.none() | st.integers(0, 60), last=st.none() | st.integers(0, 60))
def test_what_is_answered_always_lies_within_the_file(size: int, first: int | None, last: int | None) -> None:
    wanted = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    reply = plan_reply(ETAG, size, wanted=wanted)

    assert reply.status in (200, 206, 416)
    assert 0 <= reply.offset <= reply.offset + reply.length <= size
    assert reply.status != 206 or reply.length > 0
    if reply.status == 206 and first is not None:
        data = bytes(range(size))
        assert data[reply.offset : reply.offset + reply.length] == data[first : None if last is None else last + 1]
