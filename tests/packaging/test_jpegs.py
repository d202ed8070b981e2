"""JPEGs that travel as JPEG XL: back bit for bit, and nothing hostile gets at us or our memory."""

import base64
import random
import sys
import zlib
from collections.abc import Iterator

import pytest

from alforja_packaging import jpegs
from alforja_packaging.errors import VerifyError

needs_library = pytest.mark.skipif(not jpegs.available(), reason="pillow-jxl-plugin is not installed")

WAVES = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeXBkeFxl
Z2P/wAALCACAAIABAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJx
FDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZ
mqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AHAgGrMLirqPxVS+Y7TXNXOTLWzo
qk4q7rCHyTWPpCf6V+NamuqBbD6VB4fwEaqF2w/tcfWrniBx9mjpxf8A4kP4U3SiTo8v0pNGBOn3P40ulIf7MuvxqujMTV62RiRWpDAStQ3lv8hrnbmI
CStfRtq4qfWpVEJrB0u4H2r8av6/Pm2H0qv4ekJRqp3IY6uPrWlrsLG2jqyLc/2D+FLpUAGjy/SjR0Uafc/jTNMdRpd1+NPhs8HkVpW8Crir6lFWs3Ur
hVQ81x99eDzTg1f0m7Jxg1NrMrNCax9GR2uvxrc1m1Y2w47VJ4as/kbIqOe1C6uM+taOvoi2sdJJMi6D+FU9Pu1Gjzc9qqaXeZ0+5wfWq2m3DNpl1+Nb
jXiL3oGoDsacb5mHBrM1CV3U9a5q4ikeXvXQ6DYs2MitfU9P/c8jtVLRbNVuuR3rZ11Y0th06VW0G4RI25FZF/fqNXGD3o8SagTbR4NQSXLvoX4VDpQk
fSJevSpNDtHbT7jj1q3ounk6Zc5HrWaJpHPerttBI5HWtm209mAyKfcaZ8nIrFmskSTkVvaKsceOlTa5dRpAeR0rmtO1JRdcHvU3iPUibbg9qztBundG
wTVC5Ekmrjr1rU1uyd7aLINaEWmE6DyO1W9G09V0eXI7VPosEaadc9O9JpssaaXddO9UbbSwCMitm0sUTGQK1Y1jjXtWfqV3GiHkVxeo6mBKcGrGmamT
0NN1y7keE8msPR1kku+/Wt3WLF3txkHpVjwvpZ2HIqSTTlXV1yO9a+uwRx2sfSnvNHHoPbpVGx1FF0ebB7Gs7TtU/wCJfc4PrWfYX7vpl1g+tdQbyNOh
FN/tMDoaR9TYjg1jaldSOp5NctcpJJL3re0GxdyMitnUdL/c8iq2hacq3QyO9dBrUEcdsOnSodAnjjjbpWTqGoqurjB703xNqh+zR4NU5r530Lg9qp6Y
8kmkTdelLolrI+n3PB71b0TTGOmXOR61AbmRz1NWIEkc961bexdhyKW40z5eRWRLYIsnIrodDhjTHSretTxpAenSue03UFW64PepvEepH7Nwe1Zmh3ru
jYNZd20kmrjr1rQ1y1d7aPrV2LTidC5Harei6ao0eXI7Vb0O1jTTrngd6fpbRx6XddO9ZNvp/IyK17SyVcZFa8UaIvaqmoTIiGuRvr4CQ4NXNL1AnoaT
XLt2hPNYGkmR7rv1rX1q2d7cU/wzYEo2RRLYKNXXI71sa5bolrHwKmLImg9ulQaddqujzYPaqWmah/xL7nB9apWF8zaZdYPrWyJVWpo7sDoalN4SODWV
qU7Mp5rlLve0tbOiQMxFaOq2eYeRVDRLRRddO9butQotsPpTPDzIsbVQvLkLq4x61N4jvP8ARo8GoJbpjoXXtVTTXdtIm+lR6NGzafc/jUmkWpOmXWfe
p/MYmrEIYmr8cRIqveQfKa564hAlrd0RFGKu6wyiA1i6TNi6/GtHX5z9m/CqegSsUas67LHVx9aua/GTbR1L5GdC/Cl0mAf2PL9Kk0WNRp9z+NP0raNL
uvxqBEGauQAVoRkBaq3zfIa5m6f97WtozHirOskmE1i6SCbr8a1NdT/Rh9Kh8PINjVUuVH9rj61f1/Ato6kLAaD+FM0t/wDiTzfSm6O5/s+5/GmaWSdL
uvxpqMSau24JxWlEhK1VvYzsNc1dJ+9rY0YAYqxrJAhNYmkuPtX41pa9J/ow+lQeHnyjVUuSTq4+taGvKTbR1L5Z/sH8KTSo/wDiTzfSm6OoGn3P403T
MDS7r8alitua0LeICry7VWs/UZlCGuSvbkeaa0dIuM4qxrMjNCax9HVmuvxrb1qBjbD6Uvhu2OxqguIANXH1q/r6KtrHQ7qug/hVbTrgDR5ue1VtKuf+
Jfc/jUOmTE6ZdfjWsblVPWlW9HY1L9sJHBrNv5XZTXN3EbtLW/oVoxxxWrqll+55FZ+i2qrdc+tbOuqiWw+lVtBmRY2rJvrxRq4we9P8R3ubaPBqJ7hm
0Lj0qLSt76RL9Kfolu7afc8etWdGsidMucj1rOErue9XbaGRyOtbFtYsw5FOudO+Q5FYk1mqycitzRVjTHSp9cuUSA8jpXN6dqCi64PerHiLUCbbg9qz
9BundGxVC5Ej6uOvWtTW7R2touKvx6cToPI7VZ0awC6PLkdqm0WBE0656d6TTZI00u66d6//2Q==
""")
"""A JPEG of 128 x 128 greys, made for this test."""

SPECK = base64.b64decode("""
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgyPC4z
NDL/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAABv/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AGP/Z
""")
"""A JPEG of 8 x 8 pixels of one grey."""

PIXELS = base64.b64decode("""
/woYEBAJCAABACQBSxiLFcIJbFOXdfgFAgJAQsZ3+LkcatqZexLQoyaRLE9zmiCI50IRPQEQt2HHyupgvT9fHl67VfEb0P/R4w4QMkapZYw6ai8pAQ==
""")
"""A JPEG XL that was never a JPEG."""

VAST = zlib.decompress(
    base64.b64decode("""
eNpjYGDg8YrwUeDlaudiYGAQSSupLMiqyFEAshmgtAiQLgDx/3P9+snoWKjMwMDIkpVUlHKQV4FDl5mJoaVhwmovBgaHE4E3mxZa/Ffv6BE8ZbFcZIu8
ovOMpXxGZxxe8plGyBvNqTnT4MynpVN0YQPzbXfev7+VT8uU3WlsW/Q7vqfwmMr0nE8nNZbbGJ81vV1jfM6S29bkoqt0rcklT29b06uh0bWm1yK7bc1u
ps6uNbuVedrW/G7p7Vrze5XcdhYPW6XrLB51uuv9fDIlPO/n0xnpcrteLJ4ct+vl8sXzqt5sOu9X/Xbb/b7qdwe57W0+HpWut/l00l3/75cr4fl/v95I
56/78ajfv+7ns/n9db8+HNf//+fL9fz/f388/8//gRnobW6OhgcMAl5unm4MjIxAvwMhA1CcfQ0oXBqAAg+iGQQYMhiZDRiwoQZJhlEwCkbBKBgFIxJw
FIDgv/98DcoMLIccRBxEFja8O8G8kEnNobmFNUns1evjLnccTjGC1ApsaDE6lWspyd/DrrptbcGHszGaGkAwhfmzDldQjkVPX59jb1+e7aVLhm7WPYk8
DAdYDvz/z8DgA6zG8bJ/EqGGWuqJYPd/AbP9GAwFZjAyHBac9mU68wfniI5tR5ljM6Z8tjqy6b8wn6ruv9xYrowUQ+8Zf86WpJ87wbXP+cpMK7mdT4U/
2b9/ys7l84nh6RX7vHflM1NPqB1yLt1qpTXvKXec0MTZnmcsSqChr8EIALLNFc0=
""")
)
"""The transcode of a JPEG of 8000 x 8000 pixels of one grey: 2 276 bytes that want 900 MiB to be undone."""

VAST_SIZE = 750_330


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(jpegs, "_library", lambda: None)
    jpegs.available.cache_clear()
    yield
    jpegs.available.cache_clear()


def packed(jpeg: bytes) -> bytes:
    transcoded = jpegs.transcode(jpeg)
    assert transcoded is not None
    return transcoded


@needs_library
def test_a_jpeg_travels_smaller_and_comes_back_bit_for_bit() -> None:
    waves = packed(WAVES)

    assert len(waves) < len(WAVES)
    assert jpegs.restore(waves, size=len(WAVES), what="it") == WAVES


@needs_library
def test_what_follows_a_picture_comes_back_too() -> None:
    jpeg = WAVES + b"and then a tail that no viewer shows"

    assert jpegs.restore(packed(jpeg), size=len(jpeg), what="it") == jpeg


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", WAVES[:600], b"x" + WAVES, SPECK, PIXELS])
def test_what_is_no_jpeg_or_gains_nothing_is_left_alone(data: bytes) -> None:
    assert jpegs.transcode(data) is None


@needs_library
def test_a_damaged_jpeg_is_left_alone_or_comes_back_with_its_damage() -> None:
    chance = random.Random(1)
    for _ in range(12):
        jpeg = bytearray(WAVES)
        jpeg[chance.randrange(2, len(jpeg))] ^= 1 << chance.randrange(8)
        transcoded = jpegs.transcode(bytes(jpeg))

        assert transcoded is None or jpegs.restore(transcoded, size=len(jpeg), what="it") == jpeg


def test_a_jpeg_over_the_bound_is_left_alone_and_refused() -> None:
    assert jpegs.transcode(WAVES + bytes(jpegs.JPEG_MAX_BYTES)) is None
    with pytest.raises(VerifyError, match="of 16777216 bytes at most"):
        jpegs.restore(b"", size=jpegs.JPEG_MAX_BYTES + 1, what="it")
    with pytest.raises(VerifyError, match="of 16777216 bytes at most"):
        jpegs.restore(bytes(jpegs.JPEG_MAX_BYTES + 1), size=1, what="it")


@needs_library
def test_what_a_node_could_not_undo_is_not_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jpegs.transcode(WAVES) is not None

    monkeypatch.setattr(jpegs, "_PROOF", jpegs._Bounds(memory_bytes=2**20, cpu_s=1))

    assert jpegs.transcode(WAVES) is None


@needs_library
@pytest.mark.parametrize("size", [0, len(WAVES) - 1, len(WAVES) + 1])
def test_another_size_than_was_signed_is_refused(size: int) -> None:
    with pytest.raises(VerifyError, match=f"^frame 7: does not give back a JPEG of {size} bytes"):
        jpegs.restore(packed(WAVES), size=size, what="frame 7")


@needs_library
@pytest.mark.parametrize("data", [b"", WAVES, PIXELS, PIXELS[:40]])
def test_what_is_no_transcode_is_refused(data: bytes) -> None:
    with pytest.raises(VerifyError, match=r"^it: does not give back a JPEG"):
        jpegs.restore(data, size=48, what="it")


@needs_library
def test_a_damaged_transcode_is_refused_or_gives_the_size_it_should() -> None:
    chance, waves = random.Random(1), packed(WAVES)
    refused = 0
    for _ in range(40):
        damaged = bytearray(waves)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        try:
            assert len(jpegs.restore(bytes(damaged), size=len(WAVES), what="it")) == len(WAVES)
        except VerifyError:
            refused += 1

    assert refused > 20


@needs_library
def test_a_few_bytes_that_want_all_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VerifyError, match="within its bounds"):
        jpegs.restore(VAST, size=VAST_SIZE, what="it")

    monkeypatch.setattr(jpegs, "_RESTORE", jpegs._Bounds(memory_bytes=2 * 2**30, cpu_s=60))
    assert len(jpegs.restore(VAST, size=VAST_SIZE, what="it")) == VAST_SIZE


@needs_library
def test_the_library_never_runs_in_our_process() -> None:
    jpegs.restore(packed(WAVES), size=len(WAVES), what="it")

    assert not [name for name in sys.modules if name.startswith(("pillow_jxl", "PIL"))]


@pytest.mark.usefixtures("no_library")
def test_without_the_library_nothing_is_transcoded_and_a_transcode_is_refused() -> None:
    assert not jpegs.available()
    assert jpegs.transcode(WAVES) is None
    with pytest.raises(VerifyError, match=r"^it: this computer cannot undo JPEG XL"):
        jpegs.restore(b"", size=1, what="it")
