"""Publish: from a draft to a signed release that nodes find.

New immutable files are laid down first, then metadata, its timestamp last: until
then nobody is told of the release, so a cut at any point leaves the state before it.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from alforja_hub import shelf
from alforja_hub.build import Builder, Pack, kept_frames, write_pack
from alforja_hub.settings import HubSettings
from alforja_hub.signing import Authority, Target
from alforja_hub.workspace import Workspace
from alforja_packaging.errors import RequestError, StoreError
from alforja_packaging.frames import Frame
from alforja_packaging.index import Opened, head_length, parse_head, sign_name
from alforja_packaging.layout import (
    BUNDLES_DIR,
    INSTALL_NAME,
    MANIFEST_NAME,
    bundle_name,
    bundle_path,
    parse_bundle_path,
    update_name,
)
from alforja_packaging.manifest import RELEASE_MAX, Manifest, format_manifest, parse_manifest

Progress = Callable[[str, int, int], None]
"""What is being built, frames done, frames in all."""


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish brought. `release` is the newest one, also when nothing was new."""

    course: str
    publisher: str
    release: int
    changed: bool
    costs: Mapping[str, Sequence[int]]
    size: int


class Press:
    """Publishes drafts of one workspace into one repository; without an executor it only answers questions."""

    def __init__(
        self, settings: HubSettings, workspace: Workspace, authority: Authority, executor: Executor | None
    ) -> None:
        self._settings, self._workspace, self._authority = settings, workspace, authority
        self._builder = Builder(workspace.path_of, settings.cache, executor) if executor else None

    def publish(self, course: str, now: datetime, progress: Progress) -> Published:
        """Make and sign the next release of a course, unless its draft is as the newest release.

        Raises RequestError, StoreError, or what signing raises. Interrupted at any
        point it can simply be run again.
        """
        draft = self._workspace.draft_of(course)
        publisher = draft.publisher
        # What a cut left decided is told first, or one release number could be signed twice.
        self._authority.finish()
        releases = self.releases(publisher, course)
        newest = releases[-1] if releases else None
        if newest and replace(draft, release=newest.release) == newest:
            return Published(course, publisher, newest.release, False, self.costs(publisher, course), _size(newest))
        release = newest.release + 1 if newest else 1
        if release > RELEASE_MAX:
            raise RequestError(f"course {course}: has no release numbers left")
        manifest = replace(draft, release=release)
        packs = self._build(manifest, releases, progress)
        self._lay_down(manifest, packs)
        self._sign(manifest, releases, packs)
        self._workspace.note_published(course, release, now.isoformat())
        self._prune(publisher, course, release)
        costs = {_route_name(pack.name): pack.stated for pack in packs}
        return Published(course, publisher, release, True, costs, _size(manifest))

    def releases(self, publisher: str, course: str) -> list[Manifest]:
        """The manifests of all signed releases of a course, oldest first."""
        numbers = sorted(
            release for _, name, release in map(parse_bundle_path, self._authority.targets(publisher)) if name == course
        )
        return [self._manifest(publisher, course, number) for number in numbers]

    def costs(self, publisher: str, course: str) -> Mapping[str, Sequence[int]]:
        """What the newest release costs a node: for each route, bytes of the index and bytes in all."""
        found = [
            (release, target)
            for path, target in self._authority.targets(publisher).items()
            for _, name, release in [parse_bundle_path(path)]
            if name == course
        ]
        if not found:
            raise RequestError(f"course {course}: has no release", advice="make one with `alforja-hub publish`")
        custom = max(found)[1].custom
        costs = {INSTALL_NAME: custom["install"]}
        return costs | {update_name(int(number)): cost for number, cost in custom.get("from", {}).items()}

    def _build(self, manifest: Manifest, releases: Sequence[Manifest], progress: Progress) -> list[Pack]:
        assert self._builder is not None
        kept: tuple[Sequence[Frame], Sequence[str]] = ((), ())
        if releases:
            earlier = releases[-1]
            name = f"{bundle_name(earlier.course.id, earlier.release)}/{INSTALL_NAME}"
            with suppress(FileNotFoundError):
                opened = self._open(self._folder(manifest.publisher) / name)
                kept = kept_frames(manifest, earlier, opened.index.frames, opened.index.packs, name)
        packs = [self._builder.install(manifest, *kept, progress=_named(progress, "first install"))]
        packs += [
            self._builder.update(manifest, held, _named(progress, f"update from release {held.release}"))
            for held in reversed(releases[-self._settings.updates_kept :])
        ]
        return packs

    def _lay_down(self, manifest: Manifest, packs: Sequence[Pack]) -> None:
        folder = self._folder(manifest.publisher)
        for pack in packs:
            write_pack(folder, pack)
        shelf.put(folder / bundle_name(manifest.course.id, manifest.release) / MANIFEST_NAME, format_manifest(manifest))

    def _sign(self, manifest: Manifest, releases: Sequence[Manifest], packs: Sequence[Pack]) -> None:
        """State the new release, and leave of older ones what still leads on."""
        digest, length = sign_name(manifest)
        course, publisher = manifest.course, manifest.publisher
        custom: dict[str, Any] = {
            "title": dict(course.title),
            "languages": list(course.languages),
            "size": _size(manifest),
        }
        custom["install"] = packs[0].stated
        updates = {str(held.release): pack.stated for held, pack in zip(reversed(releases), packs[1:], strict=False)}
        if updates:
            custom["from"] = updates
        signed = self._authority.targets(publisher)
        add = {bundle_path(publisher, course.id, manifest.release): Target(length, digest, custom)}
        for older in releases[-1:]:
            path = bundle_path(publisher, course.id, older.release)
            add[path] = replace(signed[path], custom=_adjacent_only(signed[path].custom, older.release))
        beyond = [bundle_path(publisher, course.id, older.release) for older in releases[: -self._settings.chain_kept]]
        self._authority.publish(publisher, add, beyond)

    def _prune(self, publisher: str, course: str, newest: int) -> None:
        """Remove packs that no signed release states any more and no kept index refers to."""
        folder = self._folder(publisher)
        signed = {
            release: target.custom
            for path, target in self._authority.targets(publisher).items()
            for _, name, release in [parse_bundle_path(path)]
            if name == course
        }
        install = f"{bundle_name(course, newest)}/{INSTALL_NAME}"
        needed = {install, *self._open(folder / install).index.packs}
        for release, custom in signed.items():
            name = bundle_name(course, release)
            needed |= {f"{name}/{MANIFEST_NAME}"} | {
                f"{name}/{update_name(int(one))}" for one in custom.get("from", {})
            }
        for bundle in sorted(folder.iterdir()):
            if bundle.name.rpartition(".")[0] == course:
                for path in sorted(bundle.iterdir()):
                    if f"{bundle.name}/{path.name}" not in needed:
                        shelf.remove(path)
                with suppress(OSError):  # something still needed lies in it
                    bundle.rmdir()

    def _manifest(self, publisher: str, course: str, release: int) -> Manifest:
        path = self._folder(publisher) / bundle_name(course, release) / MANIFEST_NAME
        try:
            return parse_manifest(path.read_bytes())
        except FileNotFoundError:
            raise StoreError(f"{path}: is missing", advice="bring the repository folder back from a copy") from None

    def _open(self, path: Path) -> Opened:
        with path.open("rb") as file:
            start = file.read(128)
            file.seek(0)
            return parse_head(file.read(head_length(start)), None)

    def _folder(self, publisher: str) -> Path:
        return self._settings.repository / BUNDLES_DIR / publisher


def _adjacent_only(custom: Mapping[str, Any], release: int) -> Mapping[str, Any]:
    """What an older release still states: the update from the release before it, for chains."""
    updates = {name: cost for name, cost in custom.get("from", {}).items() if int(name) == release - 1}
    return {"from": updates} if updates else {}


def _named(progress: Progress, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)


def _route_name(pack: str) -> str:
    return pack.rpartition("/")[2]


def _size(manifest: Manifest) -> int:
    return sum(content.size for content in manifest.contents)
