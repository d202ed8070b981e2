"""Turn the captions Open edX keeps (SRT, sjson) into WebVTT, and into a text to read."""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from alforja_hub.importers.references import decode_text
from alforja_packaging.errors import FormatError

CAPTIONS_MAX_BYTES: Final = 8 * 2**20

_TIMES: Final = re.compile(
    r"^\s*(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?\s*-->\s*(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?"
)
_KEPT_TAGS: Final = re.compile(r"&lt;(/?[ibu])&gt;")
_TAGS: Final = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")
_PARAGRAPH_MIN: Final = 400
_PARAGRAPH_MAX: Final = 1200


@dataclass(frozen=True, slots=True)
class Cue:
    """What is said between two moments, in milliseconds."""

    start_ms: int
    end_ms: int
    text: str


def parse_captions(what: str, data: bytes) -> list[Cue]:
    """Read SRT, WebVTT or sjson captions. Raises FormatError when there is not one cue in them."""
    if len(data) > CAPTIONS_MAX_BYTES:
        raise FormatError(f"captions {what}: longer than the {CAPTIONS_MAX_BYTES} bytes they may have")
    text = decode_text(data)
    cues = _parse_sjson(text) if text.lstrip().startswith("{") else _parse_srt(text)
    if not cues:
        raise FormatError(f"captions {what}: hold nothing that is said at a time")
    return cues


def format_vtt(cues: Iterable[Cue]) -> bytes:
    """Write captions as WebVTT, the form browsers show."""
    lines = ["WEBVTT", ""]
    for cue in cues:
        text = _KEPT_TAGS.sub(r"<\1>", html.escape(cue.text, quote=False))
        lines += [f"{_moment(cue.start_ms)} --> {_moment(cue.end_ms)}", text, ""]
    return "\n".join(lines).encode("utf-8", "replace")


def paragraphs(cues: Iterable[Cue]) -> list[str]:
    """Join what is said into paragraphs, for those who cannot see or hear the video."""
    found: list[str] = []
    words: list[str] = []
    for cue in cues:
        words.append(" ".join(_TAGS.sub("", cue.text).split()))
        length = sum(map(len, words)) + len(words)
        if length > _PARAGRAPH_MAX or (length > _PARAGRAPH_MIN and words[-1].endswith((".", "?", "!", "。", "؟", "।"))):
            found.append(" ".join(words))
            words = []
    return [*found, " ".join(words)] if any(words) else found


def _parse_srt(text: str) -> list[Cue]:
    cues = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    at = 0
    while at < len(lines):
        times = _TIMES.match(lines[at])
        at += 1
        if times is None:
            continue
        said = []
        while at < len(lines) and lines[at].strip() and not _TIMES.match(lines[at]):
            said.append(lines[at].strip())
            at += 1
        if said and at < len(lines) and _TIMES.match(lines[at]) and said[-1].isdigit():
            said.pop()  # the number of a cue that follows without a blank line
        words = html.unescape("\n".join(said))
        plain = re.sub(r"</?(?!/?[ibu]>)[a-zA-Z][^<>]*>|\{\\[^{}]*\}", "", words).strip()
        if plain:
            cues.append(Cue(_ms(times, 1), _ms(times, 5), plain))
    return cues


def _parse_sjson(text: str) -> list[Cue]:
    try:
        fields = json.loads(text)
        rows = zip(fields["start"], fields["end"], fields["text"], strict=True)
        cues = (Cue(int(start), int(end), html.unescape(str(said)).strip()) for start, end, said in rows)
        return [cue for cue in cues if cue.text]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return []


def _ms(times: re.Match[str], first: int) -> int:
    hours, minutes, seconds, fraction = (times[first + at] for at in range(4))
    return ((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int((fraction or "0").ljust(3, "0"))


def _moment(ms: int) -> str:
    seconds, ms = divmod(max(ms, 0), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"
