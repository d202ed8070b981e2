"""The one form of JSON: the same value is always the same bytes (docs/format.md section 4)."""

import json
import re
from typing import Any

from alforja_packaging.errors import FormatError

_LONE = re.compile("[\udc80-\udcff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def format_json(value: object) -> str:
    """Write a value in the format's one JSON form.

    Sorted keys, no spaces, UTF-8 as it is; only lone surrogates (bytes of file
    names that are not UTF-8) are escaped. Raises FormatError for numbers JSON
    does not have.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    except ValueError as error:
        raise FormatError(f"cannot be written as JSON ({error})") from None
    if text.isascii():
        return text
    text = _LONE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    if _SURROGATE.search(text):
        raise FormatError("cannot be written as JSON (half a character)")
    return text


def parse_json(data: bytes | bytearray, what: str) -> dict[str, Any]:
    """Read one JSON object, refusing a key that is there twice. Raises FormatError."""
    value = parse_value(data, what)
    if not isinstance(value, dict):
        raise FormatError(f"{what}: is not a JSON object")
    return value


def parse_value(data: bytes | bytearray | str, what: str) -> Any:
    """Read any JSON of the format: whole numbers, no key twice. Raises FormatError."""
    try:
        return json.loads(data, object_pairs_hook=_once, parse_float=_whole_only, parse_constant=_whole_only)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what}: is not readable JSON ({error})") from None


def _whole_only(number: str) -> None:
    raise ValueError(f"{number[:40]} is not a whole number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is there twice")
    return fields
