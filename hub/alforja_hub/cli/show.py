"""`alforja-hub show`: what a course contains."""

from collections.abc import Sequence

import click

from alforja_hub.cli.common import COURSE, now, open_authority, open_press, open_workspace
from alforja_hub.cli.keeping import as_fields, describe
from alforja_hub.settings import HubSettings
from alforja_hub.upkeep import Tidying, Upkeep
from alforja_packaging.console import in_words, json_option, say_json
from alforja_packaging.course import choose_text
from alforja_packaging.manifest import Manifest


@click.command()
@click.argument("course", type=COURSE)
@json_option
@click.pass_obj
def command(settings: HubSettings, course: str, as_json: bool) -> None:
    """Show what COURSE contains as it stands in the workspace, and which releases there are."""
    workspace = open_workspace(settings)
    draft = workspace.draft_of(course)
    authority = open_authority(settings)
    releases = open_press(settings, workspace, authority).releases(draft.publisher, course)
    kept = Upkeep(settings, authority).plan(draft.publisher, course, now())
    if as_json:
        say_json(_as_dict(draft, releases, kept))
        return
    size = sum(content.size for content in draft.contents)
    click.echo(f"{draft.publisher}/{course}: {choose_text(draft.course.title, ())[1]}")
    click.echo(
        f"  {len(draft.files)} files, {in_words(size)}; languages {', '.join(draft.course.languages) or 'not stated'}"
    )
    click.echo(
        f"  licence {draft.course.licence or 'not stated'}; releases {', '.join(map(str, releases)) or 'none yet'}"
    )
    click.echo(f"  keeps {describe(kept.keeping)}")
    if releases:
        old = sum(one.size for one in (*kept.waiting, *kept.remove))
        extra = f", and {in_words(old)} that no release needs any more" if old else ""
        click.echo(f"  packs on offer {in_words(kept.offered.size)}{extra}")
    for section in draft.course.sections:
        click.echo(f"\n{choose_text(section.title, ())[1]}")
        for lesson in section.lessons:
            core, rich = (_size_of(draft, paths) for paths in (lesson.core, lesson.rich))
            extra = f" + {in_words(rich)} of video and the like" if rich else ""
            click.echo(f"  {choose_text(lesson.title, ())[1]}  [{lesson.id}]  {in_words(core)}{extra}")


def _as_dict(draft: Manifest, releases: list[int], kept: Tidying) -> dict[str, object]:
    course = draft.course
    return {
        "course": course.id, "publisher": draft.publisher, "title": dict(course.title), "releases": releases,
        "description": dict(course.description), "languages": list(course.languages), "licence": course.licence,
        "author": course.author, "files": len(draft.files), "bytes": sum(content.size for content in draft.contents),
        **{name: as_fields(kept, ())[name] for name in ("keeping", "pack_bytes")},
        "sections": [
            {
                "title": dict(section.title),
                "lessons": [
                    {"id": lesson.id, "title": dict(lesson.title), "core": list(lesson.core), "rich": list(lesson.rich)}
                    for lesson in section.lessons
                ],
            }
            for section in course.sections
        ],
    }  # fmt: skip


def _size_of(draft: Manifest, paths: Sequence[str]) -> int:
    return sum(draft.contents[draft.number_of[digest]].size for digest in draft.digests_of(paths))
