"""Languages as readers meet them: their own names, their direction, and what a browser asks for."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

_ACCEPTED: Final = re.compile(
    r"\s*([A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*|\*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?))?\s*"
)
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")
_WANTED_MAX: Final = 12  # a browser's list is short; a longer one is no browser's
_RTL: Final = frozenset(["ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"])
_RTL_SCRIPTS: Final = frozenset(["arab", "hebr", "nkoo", "syrc", "thaa", "adlm"])

_NAMES: Final[dict[str, str]] = {
    "agr": "Awajún", "am": "አማርኛ", "ar": "العربية", "arn": "Mapudungun", "as": "অসমীয়া",
    "ay": "Aymar aru", "bg": "Български", "bm": "Bamanankan", "bn": "বাংলা", "ca": "Català",
    "cni": "Asháninka", "cs": "Čeština", "cy": "Cymraeg", "da": "Dansk", "de": "Deutsch",
    "el": "Ελληνικά", "en": "English", "eo": "Esperanto", "es": "Español", "eu": "Euskara",
    "fa": "فارسی", "ff": "Fulfulde", "fi": "Suomi", "fil": "Filipino", "fr": "Français",
    "gl": "Galego", "gn": "Avañe’ẽ", "gu": "ગુજરાતી", "ha": "Hausa", "he": "עברית",
    "hi": "हिन्दी", "ht": "Kreyòl ayisyen", "hu": "Magyar", "id": "Bahasa Indonesia",
    "ig": "Igbo", "it": "Italiano", "ja": "日本語", "ka": "ქართული", "km": "ខ្មែរ", "kn": "ಕನ್ನಡ",
    "ko": "한국어", "ky": "Кыргызча", "lg": "Luganda", "ln": "Lingála", "lo": "ລາວ",
    "mam": "Qyol Mam", "mg": "Malagasy", "miq": "Miskitu", "ml": "മലയാളം", "mn": "Монгол",
    "mr": "मराठी", "ms": "Bahasa Melayu", "my": "မြန်မာ", "nah": "Nāhuatl", "ne": "नेपाली",
    "nl": "Nederlands", "no": "Norsk", "ny": "Chichewa", "om": "Afaan Oromoo", "or": "ଓଡ଼ିଆ",
    "pa": "ਪੰਜਾਬੀ", "pl": "Polski", "ps": "پښتو", "pt": "Português", "qu": "Runasimi",
    "quc": "K’iche’", "quy": "Runasimi (Ayacucho)", "quz": "Runasimi (Qusqu)", "rn": "Ikirundi",
    "ro": "Română", "ru": "Русский", "rw": "Ikinyarwanda", "shi": "Tacelḥit", "si": "සිංහල",
    "sn": "chiShona", "so": "Soomaali", "sq": "Shqip", "sr": "Српски", "st": "Sesotho",
    "sv": "Svenska", "sw": "Kiswahili", "ta": "தமிழ்", "te": "తెలుగు", "tet": "Tetun",
    "tg": "Тоҷикӣ", "th": "ไทย", "ti": "ትግርኛ", "tk": "Türkmen", "tl": "Tagalog", "tr": "Türkçe",
    "ug": "ئۇيغۇرچە", "uk": "Українська", "ur": "اردو", "uz": "Oʻzbek", "vi": "Tiếng Việt",
    "wo": "Wolof", "xh": "isiXhosa", "yo": "Yorùbá", "yua": "Maaya t’aan", "zh": "中文",
    "zh-hans": "简体中文", "zh-hant": "繁體中文", "zh-cn": "简体中文", "zh-tw": "繁體中文", "zu": "isiZulu",
    "pt-br": "Português (Brasil)", "pt-pt": "Português (Portugal)",
}  # fmt: skip


def name_of(tag: str) -> str:
    """Give a language's name in that language, as a switch shows it; the tag itself when it is not known."""
    lower = tag.lower()
    primary, _, rest = lower.partition("-")
    if lower in _NAMES:
        return _NAMES[lower]
    return f"{_NAMES[primary]} ({tag[len(primary) + 1 :]})" if rest and primary in _NAMES else _NAMES.get(primary, tag)


def direction_of(tag: str) -> Literal["ltr", "rtl"]:
    """Tell which way a language is written."""
    subtags = tag.lower().split("-")
    scripts = [part for part in subtags[1:] if len(part) == 4 and part.isalpha()]
    if scripts:
        return "rtl" if scripts[0] in _RTL_SCRIPTS else "ltr"
    return "rtl" if subtags[0] in _RTL else "ltr"


def parse_wanted(chosen: str, accepted: str) -> tuple[str, ...]:
    """List the languages a reader wants, best first: the one chosen on a page, then the browser's own."""
    weighted: list[tuple[float, int, str]] = []
    for at, entry in enumerate(accepted.split(",")[:_WANTED_MAX]):
        match = _ACCEPTED.fullmatch(entry)
        if match and match[1] != "*" and (weight := float(match[2] or 1)) > 0:
            weighted.append((-weight, at, match[1]))
    own = [check_tag(chosen)] if check_tag(chosen) else []
    return tuple(dict.fromkeys([*own, *(tag for _, _, tag in sorted(weighted))]))


def check_tag(text: str) -> str:
    """Return a language tag as it is if it has the shape of one, else nothing."""
    return text if _TAG.fullmatch(text) else ""


def pick(wanted: Sequence[str], known: Iterable[str], fallback: str) -> str:
    """Choose the first wanted language, by its primary subtag, that is known."""
    held = set(known)
    return next((primary for tag in wanted if (primary := tag.lower().partition("-")[0]) in held), fallback)
