"""Publish: from a draft to a signed release that nodes find.

New immutable files are laid down first, then metadata, its timestamp last: until
then nobody is told of the release, so a cut at any point leaves the state before it.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from alforja_hub import shelf
from alforja_hub.build import Builder, Kept, Pack, kept_frames, write_pack
from alforja_hub.encoding import Progress
from alforja_hub.keeping import Offered, Update, choose_dropped
from alforja_hub.settings import HubSettings
from alforja_hub.signing import Authority, Target
from alforja_hub.upkeep import Tidying, Upkeep, narrowed, open_pack, starts_of
from alforja_hub.workspace import Workspace
from alforja_packaging.errors import RequestError, StoreError
from alforja_packaging.frames import NEEDS_ZLIB, Frame, Needs
from alforja_packaging.index import Opened, sign_name
from alforja_packaging.layout import (
    BUNDLES_DIR,
    INSTALL_NAME,
    MANIFEST_NAME,
    Start,
    bundle_name,
    bundle_path,
    parse_bundle_path,
    update_name,
)
from alforja_packaging.manifest import RELEASE_MAX, Manifest, format_manifest, parse_manifest


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish brought. `release` is the newest one, also when nothing was new.

    `dropped` are updates that are offered no more, or not at all; `tidied` is what became of old packs.
    """

    course: str
    publisher: str
    release: int
    changed: bool
    costs: Mapping[str, Sequence[int]]
    size: int
    dropped: Sequence[Update]
    tidied: Tidying


@dataclass(frozen=True, slots=True)
class Route:
    """A pack on offer, opened, and the manifests it leads to and from; `held` is None for a first install.

    `packs` are the files that its frames lie in, by their number.
    """

    manifest: Manifest
    held: Manifest | None
    opened: Opened
    packs: Sequence[Path]

    def read_frame(self, frame: Frame) -> bytes:
        """Read the bytes of a frame. Raises StoreError."""
        path = self.packs[frame.pack]
        try:
            with path.open("rb") as file:
                file.seek(frame.offset)
                return file.read(frame.length)
        except OSError:
            raise StoreError(f"{path}: is missing", advice="bring the repository folder back from a copy") from None


class Press:
    """Publishes drafts of one workspace into one repository; without an executor it only answers questions.

    No frame needs more of its readers than `able`.
    """

    def __init__(
        self,
        settings: HubSettings,
        workspace: Workspace,
        authority: Authority,
        executor: Executor | None,
        *,
        able: Needs = NEEDS_ZLIB,
    ) -> None:
        self._settings, self._workspace, self._authority = settings, workspace, authority
        self._builder = (
            Builder(workspace.path_of, settings.cache, executor, workers=settings.workers, able=able)
            if executor
            else None
        )
        self._upkeep = Upkeep(settings, authority)

    def publish(self, course: str, now: datetime, progress: Progress, *, max_seconds: float | None = None) -> Published:
        """Make and sign the next release of a course, unless its draft is as the newest release.

        `max_seconds` is for how long to look for smaller frames. Raises RequestError,
        StoreError, or what signing raises. Interrupted at any point it can simply be
        run again.
        """
        draft = self._workspace.draft_of(course)
        publisher = draft.publisher
        # What a cut left decided is told first, or one release number could be signed twice.
        self._authority.finish()
        releases = self.releases(publisher, course)
        newest = self._manifest(publisher, course, releases[-1]) if releases else None
        if newest and replace(draft, release=newest.release) == newest:
            tidied = self._tidy(publisher, course, now)
            costs = self.costs(publisher, course)
            return Published(course, publisher, newest.release, False, costs, _size(newest), tidied.drop, tidied)
        release = newest.release + 1 if newest else 1
        if release > RELEASE_MAX:
            raise RequestError(f"course {course}: has no release numbers left")
        manifest = replace(draft, release=release)
        keeping = self._upkeep.keeping_of(course)
        held = [newest] if newest else []
        held += [self._manifest(publisher, course, one) for one in reversed(releases[-keeping.releases : -1])]
        packs = self._build(manifest, held, progress, max_seconds)
        stated = self._state(manifest, packs)
        dropped = choose_dropped(self._offered(manifest, packs, stated), keeping)
        stated |= narrowed(stated, dropped)
        gone = {f"{bundle_name(course, update.end)}/{update_name(update.start)}" for update in dropped}
        packs = [pack for pack in packs if pack.name not in gone]
        # Before the pack is there: a cut in between must not make its frames look like the best there are.
        self._workspace.note_haste(course, release, packs[0].hasty)
        self._lay_down(manifest, packs)
        self._sign(manifest, releases, stated)
        self._workspace.note_published(course, release, now.isoformat())
        tidied = self._tidy(publisher, course, now)
        costs = {_route_name(pack.name): pack.stated for pack in packs}
        return Published(course, publisher, release, True, costs, _size(manifest), dropped, tidied)

    def releases(self, publisher: str, course: str) -> list[int]:
        """The numbers of all signed releases of a course, oldest first."""
        return sorted(self._signed(publisher, course))

    def costs(self, publisher: str, course: str) -> Mapping[str, Sequence[int]]:
        """What the newest release costs a node: for each route, bytes of the index and bytes in all."""
        custom = self._newest(publisher, course)[1].custom
        costs = {INSTALL_NAME: custom["install"]}
        return costs | {f"from-{start}": cost for start, cost in custom.get("from", {}).items()}

    def open_route(self, publisher: str, course: str, start: Start | None) -> Route:
        """Read the pack that leads to the newest release from `start`, or from nothing.

        Raises RequestError when no update leads straight from there.
        """
        newest, target = self._newest(publisher, course)
        starts = starts_of(target)
        if start is not None and start not in starts:
            choice = f"choose with --from: {', '.join(map(str, sorted(starts)))}" if starts else "see --install"
            what = f"course {course}: no update leads straight from release {start} to release {newest}"
            raise RequestError(what, advice=choice)
        manifest = self._manifest(publisher, course, newest)
        held = None if start is None else self._manifest(publisher, start.course or course, start.release)
        folder = self._folder(publisher)
        path = folder / bundle_name(course, newest) / (INSTALL_NAME if start is None else update_name(start))
        opened = open_pack(path, held)
        return Route(manifest, held, opened, [path, *(folder / name for name in opened.index.packs)])

    def newest_start(self, publisher: str, course: str) -> Start | None:
        """The newest release of a course that an update starts from; None when there is only a first install."""
        starts = starts_of(self._newest(publisher, course)[1])
        return max((start for start in starts if not start.course), default=None)

    def _newest(self, publisher: str, course: str) -> tuple[int, Target]:
        signed = self._signed(publisher, course)
        if not signed:
            raise RequestError(f"course {course}: has no release", advice="make one with `alforja-hub publish`")
        return max(signed), signed[max(signed)]

    def _signed(self, publisher: str, course: str) -> dict[int, Target]:
        found = ((parse_bundle_path(path), target) for path, target in self._authority.targets(publisher).items())
        return {release: target for (_, name, release), target in found if name == course}

    def _build(
        self, manifest: Manifest, held: Sequence[Manifest], progress: Progress, max_seconds: float | None
    ) -> list[Pack]:
        """Build the first install, an update from each held release, the newest first, and such from other courses."""
        assert self._builder is not None
        kept = Kept()
        if held:
            course, earlier = manifest.course.id, held[0]
            name = f"{bundle_name(course, earlier.release)}/{INSTALL_NAME}"
            hasty = [] if max_seconds is not None else self._workspace.hasty(course)
            without = [f"{bundle_name(course, release)}/{INSTALL_NAME}" for release in hasty]
            with suppress(StoreError):  # an install that is lost is built anew
                opened = open_pack(self._folder(manifest.publisher) / name, None)
                frames, packs = opened.index.frames, opened.index.packs
                kept = kept_frames(manifest, earlier, frames, packs, name, without=without)
        others = self._others(manifest)
        return self._builder.build(manifest, kept, held, progress, others=others, max_seconds=max_seconds)

    def _others(self, manifest: Manifest) -> list[Manifest]:
        """The newest release of each other course of the publisher."""
        newest: dict[str, int] = {}
        for path in self._authority.targets(manifest.publisher):
            _, course, release = parse_bundle_path(path)
            newest[course] = max(release, newest.get(course, 0))
        newest.pop(manifest.course.id, None)
        return [self._manifest(manifest.publisher, course, release) for course, release in sorted(newest.items())]

    def _state(self, manifest: Manifest, packs: Sequence[Pack]) -> dict[int, Target]:
        """Give what is to be signed of each release once the new one is there; of older ones what still leads on."""
        course = manifest.course
        digest, length = sign_name(manifest)
        custom: dict[str, Any] = {
            "title": dict(course.title),
            "languages": list(course.languages),
            "size": _size(manifest),
            "install": packs[0].stated,
        }
        if packs[1:]:
            custom["from"] = {_route_name(pack.name).removeprefix("from-"): pack.stated for pack in packs[1:]}
        older = {
            release: replace(target, custom=_adjacent_only(target.custom, release))
            for release, target in self._signed(manifest.publisher, course.id).items()
            if release > manifest.release - 1 - self._settings.chain_kept
        }
        return older | {manifest.release: Target(length, digest, custom)}

    def _offered(self, manifest: Manifest, packs: Sequence[Pack], stated: Mapping[int, Target]) -> Offered:
        """The packs that would be offered, with those that are yet to be laid down."""
        publisher, course = manifest.publisher, manifest.course.id
        fresh = {pack.name: len(pack.head) + sum(body.stat().st_size for body in pack.bodies) for pack in packs}

        def size_of(name: str) -> int:
            return fresh[name] if name in fresh else self._upkeep.size_of(publisher, name)

        installs = [packs[0].name, *packs[0].packs]
        updates = [
            Update(start, end, size_of(f"{bundle_name(course, end)}/{update_name(start)}"))
            for end, target in sorted(stated.items())
            for start in starts_of(target)
        ]
        return Offered(manifest.release, sum(map(size_of, installs)), tuple(updates))

    def _lay_down(self, manifest: Manifest, packs: Sequence[Pack]) -> None:
        folder = self._folder(manifest.publisher)
        for pack in packs:
            write_pack(folder, pack)
        shelf.put(folder / bundle_name(manifest.course.id, manifest.release) / MANIFEST_NAME, format_manifest(manifest))

    def _sign(self, manifest: Manifest, releases: Sequence[int], stated: Mapping[int, Target]) -> None:
        """Sign the new release and what has changed of older ones; stop signing those beyond the chain."""
        course, publisher = manifest.course.id, manifest.publisher
        signed = self._signed(publisher, course)
        changed = {release: target for release, target in stated.items() if signed.get(release) != target}
        beyond = [bundle_path(publisher, course, release) for release in releases if release not in stated]
        add = {bundle_path(publisher, course, release): target for release, target in changed.items()}
        self._authority.publish(publisher, add, beyond)

    def _tidy(self, publisher: str, course: str, now: datetime) -> Tidying:
        plan = self._upkeep.plan(publisher, course, now)
        self._upkeep.carry_out(plan)
        return plan

    def _manifest(self, publisher: str, course: str, release: int) -> Manifest:
        path = self._folder(publisher) / bundle_name(course, release) / MANIFEST_NAME
        try:
            return parse_manifest(path.read_bytes())
        except FileNotFoundError:
            raise StoreError(f"{path}: is missing", advice="bring the repository folder back from a copy") from None

    def _folder(self, publisher: str) -> Path:
        return self._settings.repository / BUNDLES_DIR / publisher


def _adjacent_only(custom: Mapping[str, Any], release: int) -> Mapping[str, Any]:
    """What an older release still states: the update from the release before it, for chains."""
    updates = {name: cost for name, cost in custom.get("from", {}).items() if name == str(release - 1)}
    return {"from": updates} if updates else {}


def _route_name(pack: str) -> str:
    return pack.rpartition("/")[2]


def _size(manifest: Manifest) -> int:
    return sum(content.size for content in manifest.contents)
