"""The few words the importer itself puts on a page, in the course's language."""

from collections.abc import Mapping
from typing import Final

Words = Mapping[str, str]

_EN: Final = {
    "answer": "Your answer",
    "choose": "Choose one:",
    "choose_all": "Choose all that are right:",
    "contents": "On this page",
    "drag": "Put each of these in its place:",
    "places": "Places:",
    "explanation": "Explanation",
    "external": "This part is on the internet:",
    "feedback": "What each answer tells",
    "hint": "Hint",
    "lost": "This picture is not in the course",
    "not_here": "This part needs the online platform and is not here",
    "paper": "Answer on paper for now.",
    "partly": "Shown here to be read; taking part needs the online platform",
    "rubric": "How it is judged",
    "talk": "Talk about this with your class",
    "transcript": "What is said",
    "unread": "This part could not be read",
    "video": "This video is on the internet:",
}
_ES: Final = {
    "answer": "Tu respuesta",
    "choose": "Elige una:",
    "choose_all": "Elige todas las correctas:",
    "contents": "En esta página",
    "drag": "Pon cada uno en su lugar:",
    "places": "Lugares:",
    "explanation": "Explicación",
    "external": "Esta parte está en internet:",
    "feedback": "Qué nos dice cada respuesta",
    "hint": "Pista",
    "lost": "Esta imagen no está en el curso",
    "not_here": "Esta parte necesita la plataforma en línea y no está aquí",
    "paper": "Por ahora, responde en papel.",
    "partly": "Aquí se puede leer; para participar hace falta la plataforma en línea",
    "rubric": "Cómo se evalúa",
    "talk": "Conversa sobre esto con tu clase",
    "transcript": "Lo que se dice",
    "unread": "Esta parte no se pudo leer",
    "video": "Este video está en internet:",
}
_PT: Final = {
    "answer": "Sua resposta",
    "choose": "Escolha uma:",
    "choose_all": "Escolha todas as corretas:",
    "contents": "Nesta página",
    "drag": "Ponha cada um em seu lugar:",
    "places": "Lugares:",
    "explanation": "Explicação",
    "external": "Esta parte está na internet:",
    "feedback": "O que cada resposta nos diz",
    "hint": "Dica",
    "lost": "Esta imagem não está no curso",
    "not_here": "Esta parte precisa da plataforma on-line e não está aqui",
    "paper": "Por enquanto, responda no papel.",
    "partly": "Aqui se pode ler; para participar é preciso a plataforma on-line",
    "rubric": "Como é avaliado",
    "talk": "Converse sobre isto com sua turma",
    "transcript": "O que é dito",
    "unread": "Não foi possível ler esta parte",
    "video": "Este vídeo está na internet:",
}
_FR: Final = {
    "answer": "Ta réponse",
    "choose": "Choisis une réponse :",
    "choose_all": "Choisis toutes les bonnes réponses :",
    "contents": "Sur cette page",
    "drag": "Mets chacun à sa place :",
    "places": "Places :",
    "explanation": "Explication",
    "external": "Cette partie est sur internet :",
    "feedback": "Ce que dit chaque réponse",
    "hint": "Indice",
    "lost": "Cette image n’est pas dans le cours",
    "not_here": "Cette partie demande la plateforme en ligne et n’est pas ici",
    "paper": "Pour l’instant, réponds sur papier.",
    "partly": "À lire ici ; pour participer, il faut la plateforme en ligne",
    "rubric": "Comment c’est évalué",
    "talk": "Parles-en avec ta classe",
    "transcript": "Ce qui est dit",
    "unread": "Cette partie n’a pas pu être lue",
    "video": "Cette vidéo est sur internet :",
}
_ALL: Final[Mapping[str, Words]] = {"en": _EN, "es": _ES, "pt": _PT, "fr": _FR}

_AUTONYMS: Final = {
    "en": "English",
    "es": "Español",
    "pt": "Português",
    "fr": "Français",
    "de": "Deutsch",
    "it": "Italiano",
    "qu": "Runa Simi",
    "quz": "Runa Simi",
    "ay": "Aymar aru",
    "gn": "Avañe’ẽ",
    "sw": "Kiswahili",
    "ar": "العربية",
    "zh": "中文",
    "hi": "हिन्दी",
    "ru": "Русский",
    "uk": "Українська",
    "ja": "日本語",
    "ko": "한국어",
    "he": "עברית",
}
_RIGHT_TO_LEFT: Final = frozenset(["ar", "fa", "he", "ps", "ug", "ur", "yi", "dv", "sd"])


def words_for(language: str) -> Words:
    """Give the importer's words in a language, in English when it is not among ours."""
    return _ALL.get(language.partition("-")[0].lower(), _EN)


def language_name(tag: str) -> str:
    """Call a language as its speakers do; the tag itself when it is not among ours."""
    return _AUTONYMS.get(tag.partition("-")[0].lower(), tag)


def direction(tag: str) -> str:
    """Give the direction a language is written in, as HTML's `dir` names it."""
    return "rtl" if tag.partition("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"
