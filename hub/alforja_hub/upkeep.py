"""Keep a repository small: stop offering old updates, and later remove what nobody is told of.

What current metadata names is never removed. What it names no more stays for a
grace period, so that a node in the middle of a download, or one that reads a
mirror's older metadata, still finds it. Interrupted anywhere, it can be run again.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alforja_hub import shelf
from alforja_hub.keeping import (
    Keeping,
    Lapses,
    Offered,
    Update,
    choose_dropped,
    course_of,
    end_of_grace,
    note_lapsed,
)
from alforja_hub.settings import HubSettings
from alforja_hub.signing import Authority, Target
from alforja_packaging.errors import FormatError, StoreError, VerifyError
from alforja_packaging.index import FIRST_LINE_MAX_BYTES, Opened, head_length, parse_head
from alforja_packaging.layout import (
    BUNDLES_DIR,
    INSTALL_NAME,
    MANIFEST_NAME,
    Start,
    bundle_name,
    bundle_path,
    parse_bundle_path,
    parse_start,
    update_name,
)
from alforja_packaging.manifest import Manifest

_HALF_WRITTEN = ".new"
_WORTH_NOTING = timedelta(hours=1)  # of time that passed: a write for every course and run would wear


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A file that metadata names no more: its name below `bundles/`, its size in bytes, and how long it stays."""

    name: str
    size: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Tidying:
    """What is to be done for one course. `offered` is what metadata names afterwards."""

    publisher: str
    course: str
    keeping: Keeping
    offered: Offered
    drop: tuple[Update, ...]
    remove: tuple[Lapsed, ...]
    waiting: tuple[Lapsed, ...]
    lapses: Lapses

    @property
    def over(self) -> int:
        """Bytes by which what must stay is above the bound."""
        return max(0, self.offered.size - self.keeping.bytes_max) if self.keeping.bytes_max is not None else 0


class Upkeep:
    """The packs of one repository, and the hub's memory of what lapsed when."""

    def __init__(self, settings: HubSettings, authority: Authority) -> None:
        self._settings, self._authority = settings, authority

    def keeping_of(self, course: str) -> Keeping:
        """What is to be kept of a course."""
        chosen = self._read_chosen(course)
        return Keeping(
            releases=_count(chosen.get("releases"), 1) or self._settings.updates_kept,
            bytes_max=_count(chosen.get("bytes_max"), 0),
            grace_days=_or(_count(chosen.get("grace_days"), 0), self._settings.grace_days),
        )

    def keep(self, course: str, chosen: Mapping[str, int | None]) -> None:
        """Remember what a content team chose: fields of Keeping by name. Other choices stay."""
        assert set(chosen) <= {one.name for one in fields(Keeping)}
        if chosen:
            shelf.put(self._chosen_path(course), json.dumps(self._read_chosen(course) | dict(chosen)).encode())

    def courses(self) -> list[tuple[str, str]]:
        """The publisher and name of every course that has files in the repository."""
        folders = (self._settings.repository / BUNDLES_DIR).glob("*/*.*")
        return sorted({course_of(f"{one.parent.name}/{one.name}/") for one in folders if one.is_dir()})

    def size_of(self, publisher: str, name: str) -> int:
        """Bytes of a pack, 0 when it is not there."""
        try:
            return (self._folder(publisher) / name).stat().st_size
        except FileNotFoundError:
            return 0

    def lapsed(self, publisher: str, course: str) -> set[str]:
        """The files of a course that current metadata does not name, as `moe/maths.1/install`."""
        signed = self._signed(publisher, course)
        named = _name_all(publisher, course, signed, self._installs(publisher, course, signed))
        return {name for name, _ in self._lying(publisher, course)} - named

    def plan(self, publisher: str, course: str, now: datetime, grace_days: int | None = None) -> Tidying:
        """Decide what to stop offering and what to remove. Changes nothing; raises StoreError."""
        keeping = self.keeping_of(course)
        if grace_days is not None:
            keeping = replace(keeping, grace_days=grace_days)
        signed = self._signed(publisher, course)
        installs = self._installs(publisher, course, signed)
        offered = Offered(
            max(signed, default=0),
            sum(self.size_of(publisher, name) for name in installs),
            tuple(
                Update(start, end, self.size_of(publisher, f"{bundle_name(course, end)}/{update_name(start)}"))
                for end, target in sorted(signed.items())
                for start in starts_of(target)
            ),
        )
        drop = choose_dropped(offered, keeping)
        named = _name_all(publisher, course, signed | narrowed(signed, drop), installs)
        sizes = {name: size for name, size in self._lying(publisher, course) if name not in named}
        lapses = note_lapsed(self.read_lapses(), sizes, now, publisher=publisher, course=course)
        lapsed = [Lapsed(name, sizes[name], end_of_grace(lapses, name, keeping.grace_days)) for name in sorted(sizes)]
        proven = lapses.proven(now)
        return Tidying(
            publisher, course, keeping, offered.without(drop), drop,
            remove=tuple(one for one in lapsed if one.until <= proven),
            waiting=tuple(one for one in lapsed if one.until > proven),
            lapses=lapses,
        )  # fmt: skip

    def carry_out(self, plan: Tidying) -> None:
        """Do what was planned: stop offering, note since when, then remove."""
        if plan.drop:
            changed = narrowed(self._signed(plan.publisher, plan.course), plan.drop)
            paths = {bundle_path(plan.publisher, plan.course, release): one for release, one in changed.items()}
            self._authority.publish(plan.publisher, paths)
        # The note comes before any removal: what lapsed with this plan has its time even if we are cut here.
        self.put_lapses(plan.lapses)
        bundles = self._settings.repository / BUNDLES_DIR
        for one in plan.remove:
            shelf.remove(bundles / one.name)
        for folder in self._bundle_folders(plan.publisher, plan.course):
            for path in folder.glob(f"*{_HALF_WRITTEN}"):  # of a run that was cut: nobody else writes now
                shelf.remove(path)
            with suppress(OSError):  # something still lies in it
                folder.rmdir()
        gone = {one.name for one in plan.remove}
        since = {name: when for name, when in plan.lapses.since.items() if name not in gone}
        self.put_lapses(replace(plan.lapses, since=since))

    def _installs(self, publisher: str, course: str, signed: Mapping[int, Target]) -> set[str]:
        """The packs that first installs lie in, as `maths.1/install`."""
        stating = [release for release, target in signed.items() if INSTALL_NAME in target.custom]
        return {name for release in stating for name in self._install_packs(publisher, course, release)}

    def _install_packs(self, publisher: str, course: str, release: int) -> set[str]:
        install = f"{bundle_name(course, release)}/{INSTALL_NAME}"
        return {install, *open_pack(self._folder(publisher) / install, None).index.packs}

    def _signed(self, publisher: str, course: str) -> dict[int, Target]:
        if publisher not in self._authority.list_publishers():
            return {}  # nobody vouches for it any more
        found = ((parse_bundle_path(path), target) for path, target in self._authority.targets(publisher).items())
        return {release: target for (_, name, release), target in found if name == course}

    def _lying(self, publisher: str, course: str) -> Iterator[tuple[str, int]]:
        for folder in self._bundle_folders(publisher, course):
            for path in sorted(folder.iterdir()):
                if path.suffix != _HALF_WRITTEN:
                    yield f"{publisher}/{folder.name}/{path.name}", path.stat().st_size

    def _bundle_folders(self, publisher: str, course: str) -> list[Path]:
        folder = self._folder(publisher)
        found = sorted(folder.iterdir()) if folder.is_dir() else []
        return [one for one in found if one.name.rpartition(".")[0] == course and one.is_dir()]

    def _folder(self, publisher: str) -> Path:
        return self._settings.repository / BUNDLES_DIR / publisher

    # What is remembered

    def _chosen_path(self, course: str) -> Path:
        return self._settings.workspace / "keeping" / f"{course}.json"

    def _read_chosen(self, course: str) -> dict[str, Any]:
        path = self._chosen_path(course)
        try:
            chosen = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            chosen = None
        if not isinstance(chosen, dict):
            raise StoreError(f"{path}: is not readable", advice="remove the file, then choose anew with --keep-bytes")
        return chosen

    def read_lapses(self) -> Lapses:
        """Since when what is needed no more is so."""
        try:
            found = json.loads(self._settings.lapses.read_bytes())
            newest, since = found["newest"], found["since"]
            return Lapses(_moment(newest), {str(name): _moment(when) for name, when in since.items()})
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return Lapses()  # lost or unreadable: every grace begins anew, nothing goes early

    def put_lapses(self, lapses: Lapses) -> None:
        """Keep that, where it is worth a write."""
        known = self.read_lapses()
        if lapses.newest is None or (
            lapses.since == known.since and known.newest and lapses.newest - known.newest < _WORTH_NOTING
        ):
            return
        since = {name: when.isoformat() for name, when in sorted(lapses.since.items())}
        shelf.put(self._settings.lapses, json.dumps({"newest": lapses.newest.isoformat(), "since": since}).encode())


def narrowed(signed: Mapping[int, Target], dropped: Collection[Update]) -> dict[int, Target]:
    """Give the targets that change, by release, when some updates are offered no more."""
    changed: dict[int, Target] = {}
    for release, target in signed.items():
        gone = {str(update.start) for update in dropped if update.end == release}
        stated = target.custom.get("from", {})
        left = {start: cost for start, cost in stated.items() if start not in gone}
        if left != stated:
            rest = {name: value for name, value in target.custom.items() if name != "from"}
            changed[release] = replace(target, custom=rest | ({"from": left} if left else {}))
    return changed


def starts_of(target: Target) -> list[Start]:
    """The releases that updates to a signed release start from."""
    return [parse_start(start) for start in target.custom.get("from", {})]


def open_pack(path: Path, held: Manifest | None) -> Opened:
    """Read the head of one of our own packs. Raises StoreError when it is not there or not whole."""
    try:
        with path.open("rb") as file:
            start = file.read(FIRST_LINE_MAX_BYTES)
            file.seek(0)
            return parse_head(file.read(head_length(start)), held)
    except FileNotFoundError:
        raise StoreError(f"{path}: is missing", advice="bring the repository folder back from a copy") from None
    except (FormatError, VerifyError) as error:
        raise StoreError(f"{path}: {error}", advice="bring the repository folder back from a copy") from None


def _name_all(publisher: str, course: str, signed: Mapping[int, Target], installs: Collection[str]) -> set[str]:
    """The files that metadata names, and the packs that first installs refer to, as `moe/maths.1/install`."""
    names = set(installs)
    for release, target in signed.items():
        folder = bundle_name(course, release)
        names |= {f"{folder}/{MANIFEST_NAME}"} | {f"{folder}/{update_name(start)}" for start in starts_of(target)}
    return {f"{publisher}/{name}" for name in names}


def as_dict(keeping: Keeping) -> dict[str, int | None]:
    """What is kept, for a program to read."""
    return asdict(keeping)


def _moment(text: object) -> datetime:
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(value: object, least: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= least else None


def _or(value: int | None, default: int) -> int:
    return default if value is None else value
