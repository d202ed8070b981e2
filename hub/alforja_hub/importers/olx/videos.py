"""Turn an Open edX video: the file if the course holds it, its captions, and what is said as text."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from alforja_hub.importers.olx.blocks import Block
from alforja_hub.importers.olx.captions import Cue, format_vtt, paragraphs, parse_captions
from alforja_hub.importers.olx.fragments import Element, tag
from alforja_hub.importers.olx.links import CAPTIONS, Links, href_of, pointer
from alforja_hub.importers.olx.words import Words, direction, language_name
from alforja_hub.importers.references import clean_language
from alforja_packaging.errors import FormatError
from alforja_packaging.layout import media_type

_YOUTUBE: Final = "https://www.youtube.com/watch?v="


@dataclass(slots=True)
class Videos:
    """Turns videos, and gathers the caption files made for them in `made` (course path -> bytes)."""

    links: Links
    words: Words
    language: str
    read: Callable[[str], bytes]
    made: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    elsewhere: int = 0
    """How many videos the course only points to."""

    def turn(self, block: Block) -> list[Element]:
        """Give a video's piece of a page."""
        addresses = _addresses(block)
        held = [path for address in addresses if (path := self._find(address))]
        captions = self._captions(block)
        pieces: list[Element] = []
        if held:
            pieces.append(self._player(block, held, captions))
        else:
            self.elsewhere += 1
            pieces += [tag("p", pointer(self.words["video"], address, "")) for address in _watchable(addresses, block)]
        start, end = _span(block)
        for language, (_, cues) in captions.items():
            said = [cue for cue in cues if start * 1000 <= cue.end_ms and (not end or cue.start_ms <= end * 1000)]
            pieces.append(self._transcript(language, said))
        pieces += [tag("p", tag("a", PurePosixPath(path).name, href=href_of(path))) for path in self._handouts(block)]
        return pieces

    def _find(self, address: str) -> str | None:
        """Give the held file that an address means: by its path, or by its bare name when it is on the internet."""
        name = re.split(r"[?#]", address)[0].rpartition("/")[2].rpartition("@")[2]
        path = self.links.find_static(name) if name else None
        return path if path and media_type(path).startswith(("video/", "audio/")) else None

    def _player(self, block: Block, held: list[str], captions: Mapping[str, tuple[str, list[Cue]]]) -> Element:
        player = tag("video", controls="controls", preload="none")
        start, end = _span(block)
        span = f"#t={start},{end}" if end else f"#t={start}" if start else ""
        for path in dict.fromkeys(held):
            player.append(tag("source", src=href_of(path) + span, type=media_type(path)))
        for language, (path, _) in captions.items():
            track = tag("track", kind="captions", src=href_of(path), srclang=language, label=language_name(language))
            if language == self.language:
                track.set("default", "default")
            player.append(track)
        return player

    def _transcript(self, language: str, cues: list[Cue]) -> Element:
        name = f"{self.words['transcript']} ({language_name(language)})"
        text = tag("div", *(tag("p", words) for words in paragraphs(cues)), lang=language, dir=direction(language))
        return tag("details", tag("summary", name), text, class_="transcript")

    def _captions(self, block: Block) -> dict[str, tuple[str, list[Cue]]]:
        """Make WebVTT of every language's captions that the course holds, the course's own language first."""
        found: dict[str, tuple[str, list[Cue]]] = {}
        named = _caption_names(block, self.language)
        for language, names in sorted(named.items(), key=lambda item: (item[0] != self.language, item[0])):
            source = next((path for name in names if (path := self.links.find_static(name))), None)
            if source is None:
                self.notes.append(f"video {block.name}: its captions {names[0]!r} are not in the course")
                continue
            try:
                cues = parse_captions(source, self.read(source))
            except FormatError as error:
                self.notes.append(f"{error.message}; carried as they are")
                continue
            stem = PurePosixPath(source).name.removesuffix(".sjson").rpartition(".")[0]
            path = f"{CAPTIONS}{stem}.vtt"
            self.made[path] = format_vtt(cues)
            found[language] = path, cues
        return found

    def _handouts(self, block: Block) -> list[str]:
        addresses = [block.fields.get("handout", ""), block.fields.get("track", "")]
        addresses += [element.get("src", "") for element in block.element.iterchildren("handout", "track")]
        names = dict.fromkeys(address.rpartition("/")[2].rpartition("@")[2] for address in addresses if address)
        return [path for name in names if (path := self.links.find_static(name))]


def _addresses(block: Block) -> list[str]:
    """List what a video block says its video is, files first."""
    addresses = _json_list(block.fields.get("html5_sources", ""))
    addresses += [block.fields.get("source", "")]
    addresses += [element.get("src", "") for element in block.element.iterchildren("source")]
    addresses += [element.get("url", "") for element in block.element.iter("encoded_video")]
    addresses += [element.get("client_video_id", "") for element in block.element.iter("video_asset")]
    return list(dict.fromkeys(address for address in addresses if address))


def _watchable(addresses: list[str], block: Block) -> list[str]:
    """List where on the internet the video is."""
    youtube = block.fields.get("youtube_id_1_0") or ""
    if not youtube:
        named = re.search(r"1\.0+:([\w-]+)", block.fields.get("youtube", ""))
        youtube = named[1] if named else ""
    found = [address for address in addresses if re.match(r"(?:https?:)?//", address)]
    return list(dict.fromkeys([*([_YOUTUBE + youtube] if youtube else []), *found]))


def _caption_names(block: Block, language: str) -> dict[str, list[str]]:
    """Give for every language the file names its captions may have."""
    found: dict[str, list[str]] = {}
    asset = block.fields.get("edx_video_id", "").strip()
    named = _json_table(block.fields.get("transcripts", ""))
    named |= {
        element.get("language", ""): element.get("src", "") for element in block.element.iterchildren("transcript")
    }
    if sub := block.fields.get("sub", ""):
        found[language or "en"] = [f"subs_{sub}.srt.sjson", f"{sub}.srt", f"subs_{sub}.srt"]
    for tag_, name in named.items():
        found.setdefault(clean_language(tag_) or "und", []).append(name)
    for element in block.element.iter("transcript"):
        if (code := element.get("language_code")) and asset:
            kind = element.get("file_format", "srt")
            found.setdefault(clean_language(code) or "und", []).append(f"{asset}-{code}.{kind}")
    return {tag_: [name for name in names if name] for tag_, names in found.items() if any(names)}


def _span(block: Block) -> tuple[int, int]:
    """Give the seconds at which a video begins and ends; an end of 0 is the video's own."""
    start, end = (_seconds(block.fields.get(name, "")) for name in ("start_time", "end_time"))
    return start, end if end > start else 0


def _seconds(text: str) -> int:
    try:
        parts = [int(float(part)) for part in text.strip('"').split(":")]
    except (ValueError, OverflowError):
        return 0
    return sum(part * 60**power for power, part in enumerate(reversed(parts[-3:])))


def _json_list(text: str) -> list[str]:
    try:
        value = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def _json_table(text: str) -> dict[str, str]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return {key: entry for key, entry in value.items() if isinstance(entry, str)} if isinstance(value, dict) else {}
