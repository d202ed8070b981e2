"""`alforja-hub import`: bring a course in."""

import tempfile
from pathlib import Path

import click

from alforja_hub.cli.common import COURSE, choose_publisher, now, one_change_at_a_time, open_authority, open_workspace
from alforja_hub.importers import IMPORTERS, choose_importer, open_source
from alforja_hub.settings import HubSettings
from alforja_hub.workspace import CourseNote
from alforja_packaging.console import in_words, json_option, say_json, show_progress


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--course", type=COURSE, required=True, metavar="ID", help="What the course is called here, as in maths-7."
)
@click.option(
    "--as", "importer", type=click.Choice([one.name for one in IMPORTERS]),
    help="What SOURCE is. By default recognised; `folder` carries any tree exactly as it is.",
)  # fmt: skip
@click.option("--publisher", metavar="NAME", help="Who signs the course, when several publish here.")
@json_option
@click.pass_obj
def command(
    settings: HubSettings, source: Path, course: str, importer: str | None, publisher: str | None, as_json: bool
) -> None:
    """Bring a course in from SOURCE: a folder, or a zip or tar archive of one.

    The course is copied into the workspace; nothing is offered to schools before
    `alforja-hub publish`. Importing again replaces what will be published next.
    """
    workspace = open_workspace(settings)
    owner = choose_publisher(open_authority(settings), _owner(workspace.courses().get(course), publisher))
    scratch_folder = tempfile.TemporaryDirectory(prefix="alforja-import-")
    with one_change_at_a_time(settings), scratch_folder as scratch, show_progress(quiet=as_json) as progress:
        task = progress.add_task(f"importing {course}", total=None)
        folder = open_source(source, Path(scratch))
        chosen = choose_importer(folder, importer)
        imported = chosen.read(folder, course)
        note = CourseNote(course, owner, chosen.name, str(source.absolute()), now().isoformat())
        draft = workspace.take_in(
            imported, owner, note, lambda done, total: progress.update(task, completed=done, total=total)
        )
    size = sum(content.size for content in draft.contents)
    lessons = len(draft.course.lessons())
    if as_json:
        say_json({
            "course": course, "publisher": owner, "importer": chosen.name, "files": len(draft.files), "bytes": size,
            "lessons": lessons, "notes": list(imported.notes),
        })  # fmt: skip
        return
    for line in imported.notes:
        click.echo(f"note: {line}", err=True)
    click.echo(f"{course}: {len(draft.files)} files, {in_words(size)}, {lessons} lessons, read as {chosen.name}")
    click.echo(f"  publish it with `alforja-hub publish {course}`")


def _owner(note: CourseNote | None, wanted: str | None) -> str | None:
    """A course stays with its publisher unless another one is named."""
    return wanted or (note.publisher if note else None)
