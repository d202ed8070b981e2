"""The library's own few words, a table for each language.

Every table has the same keys. A pair is one and many of something; `{}` takes
the number, the name or the date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alforja_node.library.tongues import direction_of, pick

FALLBACK: Final = "en"

Table = Mapping[str, str | tuple[str, str]]

_EN: Final[Table] = {
    "library": "Library",
    "about": "About",
    "main_menu": "Main menu",
    "skip": "Skip to the content",
    "welcome": "Lessons for everyone, kept right here",
    "welcome_more": "Everything opens from this school’s own library. No internet needed.",
    "nothing": "No courses here yet",
    "nothing_more": "The first ones appear on this page as soon as they arrive.",
    "count_courses": ("{} course", "{} courses"),
    "count_lessons": ("{} lesson", "{} lessons"),
    "lessons": "Lessons",
    "sections": "Sections",
    "some_here": "{} of {} lessons ready",
    "coming": "On its way",
    "partly": "Media on their way",
    "signed_by": "Signed by",
    "release": "Release",
    "licence": "Licence",
    "author": "By",
    "start": "Start",
    "stale": "Not confirmed as current since {}",
    "stale_more": "There may be a newer release that has not reached this school.",
    "lesson_of": "Lesson {} of {}",
    "previous": "Previous lesson",
    "next": "Next lesson",
    "back_to_course": "Back to the course",
    "also_in": "This lesson in",
    "open_page": "Open as a full page",
    "page_of": "Page: {}",
    "watch": "Watch and listen",
    "files": "Files to take along",
    "file_coming": "on its way",
    "lesson_coming": "This lesson is on its way",
    "lesson_coming_more": "It opens here as soon as it has arrived. Nothing needs to be done.",
    "media_coming": "This recording is on its way: {}",
    "no_player": "This browser cannot play it; it can be downloaded:",
    "nothing_to_show": "There is nothing to show in this lesson.",
    "choose_language": "Language",
    "not_found": "There is nothing here",
    "not_found_more": "The page may have been moved by a newer release of its course.",
    "go_home": "Go to the library",
    "broken": "This page cannot be shown",
    "broken_more": "The fault is noted. Other lessons still open; please tell whoever looks after the library.",
    "not_yet": "This file is on its way",
    "not_yet_more": "It opens here as soon as it has arrived.",
    "unreadable": "This file cannot be read",
    "unreadable_more": (
        "The fault is noted, and the file will be fetched again. Please tell whoever looks after the library."
    ),
    "about_what": (
        "Alforja is a saddlebag: it carries courses to schools that the internet barely reaches. "
        "This library keeps them here, so that they open at once and cost nothing to read."
    ),
    "about_trust": "Who made these courses",
    "about_trust_more": (
        "Each course is signed by the institution that published it. "
        "What is not signed, or was changed on its way, is never shown."
    ),
    "about_privacy": "You are not followed",
    "about_privacy_more": "Reading needs no account. These pages keep nothing about you.",
    "complete": "Complete",
    "coming_next": "What comes next",
    "next_nothing": "Everything that is wanted is here",
    "next_index": "list of contents",
    "next_core": "text and exercises",
    "next_rich": "films and sounds",
    "next_more": "larger films",
    "next_rest": "what else belongs to it",
    "next_sum": "{} to come: {} from {}",
    "next_things": ("{} thing", "{} things"),
    "next_cap": "{} may still be used this month",
    "next_cost": "about {}",
    "next_free": "at no cost",
    "next_day": "expected on {}",
    "next_some_day": "as soon as the link carries it",
    "next_no_room": "the disk has no room for it",
    "why_recall": "replaces what was withdrawn",
    "why_dated": "wanted by {}",
    "why_at_once": "wanted at once",
    "why_requested": "asked for",
    "why_taught": "taught here",
    "why_other": "",
    "why_dated_rich": "wanted by {}",
    "why_rest": "",
}

_ES: Final[Table] = {
    "library": "Biblioteca",
    "about": "Acerca de",
    "main_menu": "Menú principal",
    "skip": "Ir al contenido",
    "welcome": "Lecciones para todos, guardadas aquí mismo",
    "welcome_more": "Todo se abre desde la biblioteca de esta escuela. No hace falta internet.",
    "nothing": "Todavía no hay cursos",
    "nothing_more": "Los primeros aparecerán en esta página en cuanto lleguen.",
    "count_courses": ("{} curso", "{} cursos"),
    "count_lessons": ("{} lección", "{} lecciones"),
    "lessons": "Lecciones",
    "sections": "Secciones",
    "some_here": "{} de {} lecciones listas",
    "coming": "En camino",
    "partly": "Audio y video en camino",
    "signed_by": "Firmado por",
    "release": "Edición",
    "licence": "Licencia",
    "author": "De",
    "start": "Empezar",
    "stale": "Sin confirmar que está al día desde el {}",
    "stale_more": "Puede haber una edición más nueva que no ha llegado a esta escuela.",
    "lesson_of": "Lección {} de {}",
    "previous": "Lección anterior",
    "next": "Lección siguiente",
    "back_to_course": "Volver al curso",
    "also_in": "Esta lección en",
    "open_page": "Abrir en página completa",
    "page_of": "Página: {}",
    "watch": "Ver y escuchar",
    "files": "Archivos para llevar",
    "file_coming": "en camino",
    "lesson_coming": "Esta lección está en camino",
    "lesson_coming_more": "Se abrirá aquí en cuanto llegue. No hay que hacer nada.",
    "media_coming": "Esta grabación está en camino: {}",
    "no_player": "Este navegador no puede reproducirla; se puede descargar:",
    "nothing_to_show": "En esta lección no hay nada que mostrar.",
    "choose_language": "Idioma",
    "not_found": "Aquí no hay nada",
    "not_found_more": "Puede que una edición más nueva del curso haya movido la página.",
    "go_home": "Ir a la biblioteca",
    "broken": "Esta página no se puede mostrar",
    "broken_more": "El fallo quedó anotado. Las demás lecciones se abren; avise a quien cuida la biblioteca.",
    "not_yet": "Este archivo está en camino",
    "not_yet_more": "Se abrirá aquí en cuanto llegue.",
    "unreadable": "Este archivo no se puede leer",
    "unreadable_more": "El fallo quedó anotado y el archivo se volverá a traer. Avise a quien cuida la biblioteca.",
    "about_what": (
        "Alforja lleva cursos a las escuelas adonde internet apenas llega. "
        "Esta biblioteca los guarda aquí, para que se abran al momento y leerlos no cueste nada."
    ),
    "about_trust": "Quién hizo estos cursos",
    "about_trust_more": (
        "Cada curso está firmado por la institución que lo publicó. "
        "Lo que no está firmado, o fue cambiado en el camino, no se muestra nunca."
    ),
    "about_privacy": "Nadie le sigue",
    "about_privacy_more": "Para leer no hace falta cuenta. Estas páginas no guardan nada sobre usted.",
    "complete": "Completo",
    "coming_next": "Lo que viene",
    "next_nothing": "Todo lo que se quiere está aquí",
    "next_index": "índice",
    "next_core": "textos y ejercicios",
    "next_rich": "videos y audios",
    "next_more": "videos más grandes",
    "next_rest": "lo demás del curso",
    "next_sum": "{} por llegar: {} desde {}",
    "next_things": ("{} cosa", "{} cosas"),
    "next_cap": "Este mes se pueden usar todavía {}",
    "next_cost": "unos {}",
    "next_free": "sin costo",
    "next_day": "se espera el {}",
    "next_some_day": "en cuanto el enlace lo traiga",
    "next_no_room": "no cabe en el disco",
    "why_recall": "reemplaza lo retirado",
    "why_dated": "se quiere para el {}",
    "why_at_once": "se quiere ya",
    "why_requested": "se ha pedido",
    "why_taught": "se enseña aquí",
    "why_other": "",
    "why_dated_rich": "se quiere para el {}",
    "why_rest": "",
}

_FR: Final[Table] = {
    "library": "Bibliothèque",
    "about": "À propos",
    "main_menu": "Menu principal",
    "skip": "Aller au contenu",
    "welcome": "Des leçons pour tous, gardées ici même",
    "welcome_more": "Tout s’ouvre depuis la bibliothèque de cette école. Pas besoin d’internet.",
    "nothing": "Pas encore de cours",
    "nothing_more": "Les premiers paraîtront sur cette page dès leur arrivée.",
    "count_courses": ("{} cours", "{} cours"),
    "count_lessons": ("{} leçon", "{} leçons"),
    "lessons": "Leçons",
    "sections": "Sections",
    "some_here": "{} leçons prêtes sur {}",
    "coming": "En route",
    "partly": "Audio et vidéo en route",
    "signed_by": "Signé par",
    "release": "Édition",
    "licence": "Licence",
    "author": "Par",
    "start": "Commencer",
    "stale": "Sans confirmation d’être à jour depuis le {}",
    "stale_more": "Il existe peut-être une édition plus récente qui n’est pas arrivée à cette école.",
    "lesson_of": "Leçon {} sur {}",
    "previous": "Leçon précédente",
    "next": "Leçon suivante",
    "back_to_course": "Retour au cours",
    "also_in": "Cette leçon en",
    "open_page": "Ouvrir en pleine page",
    "page_of": "Page : {}",
    "watch": "Voir et écouter",
    "files": "Fichiers à emporter",
    "file_coming": "en route",
    "lesson_coming": "Cette leçon est en route",
    "lesson_coming_more": "Elle s’ouvrira ici dès son arrivée. Il n’y a rien à faire.",
    "media_coming": "Cet enregistrement est en route : {}",
    "no_player": "Ce navigateur ne peut pas le lire ; on peut le télécharger :",
    "nothing_to_show": "Il n’y a rien à montrer dans cette leçon.",
    "choose_language": "Langue",
    "not_found": "Il n’y a rien ici",
    "not_found_more": "Une édition plus récente du cours a peut-être déplacé la page.",
    "go_home": "Aller à la bibliothèque",
    "broken": "Cette page ne peut pas être montrée",
    "broken_more": (
        "La panne est notée. Les autres leçons s’ouvrent ; prévenez la personne qui s’occupe de la bibliothèque."
    ),
    "not_yet": "Ce fichier est en route",
    "not_yet_more": "Il s’ouvrira ici dès son arrivée.",
    "unreadable": "Ce fichier ne peut pas être lu",
    "unreadable_more": (
        "La panne est notée et le fichier sera apporté de nouveau. "
        "Prévenez la personne qui s’occupe de la bibliothèque."
    ),
    "about_what": (
        "Alforja, c’est une besace : elle porte des cours aux écoles que l’internet atteint à peine. "
        "Cette bibliothèque les garde ici, pour qu’ils s’ouvrent aussitôt et que les lire ne coûte rien."
    ),
    "about_trust": "Qui a fait ces cours",
    "about_trust_more": (
        "Chaque cours est signé par l’institution qui l’a publié. "
        "Ce qui n’est pas signé, ou a été changé en chemin, n’est jamais montré."
    ),
    "about_privacy": "Personne ne vous suit",
    "about_privacy_more": "Lire ne demande pas de compte. Ces pages ne gardent rien sur vous.",
    "complete": "Complet",
    "coming_next": "Ce qui vient",
    "next_nothing": "Tout ce qui est voulu est là",
    "next_index": "table des matières",
    "next_core": "textes et exercices",
    "next_rich": "vidéos et sons",
    "next_more": "vidéos plus grandes",
    "next_rest": "le reste du cours",
    "next_sum": "{} à venir : {} depuis {}",
    "next_things": ("{} chose", "{} choses"),
    "next_cap": "{} peuvent encore servir ce mois-ci",
    "next_cost": "environ {}",
    "next_free": "sans frais",
    "next_day": "attendu le {}",
    "next_some_day": "dès que la liaison l’apporte",
    "next_no_room": "pas de place sur le disque",
    "why_recall": "remplace ce qui a été retiré",
    "why_dated": "voulu pour le {}",
    "why_at_once": "voulu tout de suite",
    "why_requested": "demandé",
    "why_taught": "enseigné ici",
    "why_other": "",
    "why_dated_rich": "voulu pour le {}",
    "why_rest": "",
}

_PT: Final[Table] = {
    "library": "Biblioteca",
    "about": "Sobre",
    "main_menu": "Menu principal",
    "skip": "Ir para o conteúdo",
    "welcome": "Lições para todos, guardadas aqui mesmo",
    "welcome_more": "Tudo abre a partir da biblioteca desta escola. Não é preciso internet.",
    "nothing": "Ainda não há cursos",
    "nothing_more": "Os primeiros aparecem nesta página assim que chegarem.",
    "count_courses": ("{} curso", "{} cursos"),
    "count_lessons": ("{} lição", "{} lições"),
    "lessons": "Lições",
    "sections": "Seções",
    "some_here": "{} de {} lições prontas",
    "coming": "A caminho",
    "partly": "Áudio e vídeo a caminho",
    "signed_by": "Assinado por",
    "release": "Edição",
    "licence": "Licença",
    "author": "De",
    "start": "Começar",
    "stale": "Sem confirmação de estar em dia desde {}",
    "stale_more": "Pode haver uma edição mais nova que não chegou a esta escola.",
    "lesson_of": "Lição {} de {}",
    "previous": "Lição anterior",
    "next": "Próxima lição",
    "back_to_course": "Voltar ao curso",
    "also_in": "Esta lição em",
    "open_page": "Abrir em página inteira",
    "page_of": "Página: {}",
    "watch": "Ver e ouvir",
    "files": "Arquivos para levar",
    "file_coming": "a caminho",
    "lesson_coming": "Esta lição está a caminho",
    "lesson_coming_more": "Ela abre aqui assim que chegar. Não é preciso fazer nada.",
    "media_coming": "Esta gravação está a caminho: {}",
    "no_player": "Este navegador não consegue reproduzi-la; pode ser baixada:",
    "nothing_to_show": "Não há nada para mostrar nesta lição.",
    "choose_language": "Idioma",
    "not_found": "Não há nada aqui",
    "not_found_more": "Uma edição mais nova do curso pode ter mudado a página de lugar.",
    "go_home": "Ir para a biblioteca",
    "broken": "Esta página não pode ser mostrada",
    "broken_more": "A falha foi anotada. As outras lições abrem; avise quem cuida da biblioteca.",
    "not_yet": "Este arquivo está a caminho",
    "not_yet_more": "Ele abre aqui assim que chegar.",
    "unreadable": "Este arquivo não pode ser lido",
    "unreadable_more": "A falha foi anotada e o arquivo será trazido de novo. Avise quem cuida da biblioteca.",
    "about_what": (
        "Alforja é uma bolsa de sela: leva cursos às escolas aonde a internet mal chega. "
        "Esta biblioteca os guarda aqui, para que abram na hora e lê-los não custe nada."
    ),
    "about_trust": "Quem fez estes cursos",
    "about_trust_more": (
        "Cada curso é assinado pela instituição que o publicou. "
        "O que não é assinado, ou foi mudado no caminho, nunca é mostrado."
    ),
    "about_privacy": "Ninguém segue você",
    "about_privacy_more": "Ler não exige conta. Estas páginas não guardam nada sobre você.",
    "complete": "Completo",
    "coming_next": "O que vem a seguir",
    "next_nothing": "Tudo o que se quer está aqui",
    "next_index": "índice",
    "next_core": "textos e exercícios",
    "next_rich": "vídeos e áudios",
    "next_more": "vídeos maiores",
    "next_rest": "o resto do curso",
    "next_sum": "{} a chegar: {} de {}",
    "next_things": ("{} coisa", "{} coisas"),
    "next_cap": "Ainda se podem usar {} neste mês",
    "next_cost": "cerca de {}",
    "next_free": "sem custo",
    "next_day": "esperado em {}",
    "next_some_day": "assim que a ligação trouxer",
    "next_no_room": "não cabe no disco",
    "why_recall": "substitui o que foi retirado",
    "why_dated": "para {}",
    "why_at_once": "para já",
    "why_requested": "foi pedido",
    "why_taught": "ensina-se aqui",
    "why_other": "",
    "why_dated_rich": "para {}",
    "why_rest": "",
}

TABLES: Final[Mapping[str, Table]] = {"es": _ES, "en": _EN, "fr": _FR, "pt": _PT}
_ONE_FOR_NONE: Final = frozenset(["fr", "pt"])  # zero is one of something there (CLDR plural rules)


@dataclass(frozen=True, slots=True)
class Words:
    """The library's words in one language."""

    lang: str

    @property
    def direction(self) -> str:
        """Which way the language is written."""
        return direction_of(self.lang)

    def __call__(self, key: str, *values: object) -> str:
        """Give the words of a key, with values in their places."""
        words = TABLES[self.lang][key]
        assert isinstance(words, str)
        return words.format(*values)

    def count(self, key: str, number: int) -> str:
        """Say how many there are of something."""
        words = TABLES[self.lang][key]
        assert isinstance(words, tuple)
        single = number == 1 or (number == 0 and self.lang in _ONE_FOR_NONE)
        return words[0 if single else 1].format(number)


def words_for(wanted: tuple[str, ...]) -> Words:
    """Choose the language of the library's own words for a reader of `wanted` languages."""
    return Words(pick(wanted, TABLES, FALLBACK))
