"""What the hub's commands share: opening the rooms of a home."""

import fcntl
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from alforja_hub.publish import Press
from alforja_hub.settings import HubSettings
from alforja_hub.signing import Authority
from alforja_hub.workers import Workers
from alforja_hub.workspace import Workspace
from alforja_packaging.console import in_words, say_table
from alforja_packaging.errors import RequestError
from alforja_packaging.layout import INSTALL_NAME, check_id

PASSPHRASE_ENV = "ALFORJA_HUB_PASSPHRASE"  # noqa: S105 (the name of a variable)


def now() -> datetime:
    """The hub's clock, read at the edge only."""
    return datetime.now(UTC)


def open_workspace(settings: HubSettings) -> Workspace:
    """Open the workspace of a home that has been made. Raises RequestError otherwise."""
    if not settings.repository.is_dir():
        raise RequestError(
            f"{settings.home}: holds no hub",
            advice="make one with `alforja-hub init --publisher NAME`, or name one with --home",
        )
    workspace = Workspace(settings.workspace, settings.home / "hub.sqlite")
    workspace.prepare()
    return workspace


@contextmanager
def one_change_at_a_time(settings: HubSettings) -> Iterator[None]:
    """Hold the lock that lets only one command change a hub. Raises RequestError when it is held.

    Meanwhile SIGTERM stops the command as Ctrl-C does: what is half written is cleared away.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "hub.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(
                f"{settings.home}: another command is changing this hub",
                advice="wait until it is over, then run this one again",
            ) from None
        before = signal.signal(signal.SIGTERM, _stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def build_pool(settings: HubSettings) -> Iterator[Executor]:
    """Processes for the heavy work: one for each core. However this is left, none of them stays."""
    workers = Workers(settings.workers)
    try:
        yield workers
    except BaseException:
        workers.shutdown(cancel_futures=True)  # what is being encoded would take a minute more
        raise
    workers.shutdown()


def _stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def choose_publisher(authority: Authority, wanted: str | None) -> str:
    """Give the publisher that is meant: the one named, or the only one there is. Raises RequestError."""
    publishers = sorted(authority.list_publishers())
    if wanted is None and len(publishers) == 1:
        return publishers[0]
    if wanted not in publishers:
        what = f"publisher {wanted}: is not known here" if wanted else "several institutions publish here"
        raise RequestError(what, advice=f"name one with --publisher: {', '.join(publishers) or 'there is none yet'}")
    return wanted


class CourseName(click.ParamType[str]):
    """A course id, checked as soon as it is read."""

    name = "COURSE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the name."""
        return check_id("course", value)


COURSE = CourseName()


def open_authority(settings: HubSettings) -> Authority:
    """The authority of a home. Keys are opened only when something is signed."""
    return Authority(
        settings.repository,
        settings.keys,
        settings.home / "history",
        now=now,
        passphrase_of=lambda _role: _passphrase(),
    )


def _passphrase() -> bytes | None:
    """The passphrase of all keys of this hub, from the environment."""
    text = os.environ.get(PASSPHRASE_ENV)
    return text.encode() if text else None


def open_press(settings: HubSettings, workspace: Workspace, authority: Authority) -> Press:
    """A press that only reads: for questions about what is published."""
    return Press(settings, workspace, authority, None)


def owner_of(workspace: Workspace, course: str) -> str:
    """Who publishes a course. Raises RequestError when it was never imported."""
    note = workspace.courses().get(course)
    return note.publisher if note else workspace.draft_of(course).publisher


def say_costs(costs: Mapping[str, Sequence[int]]) -> None:
    """Print what each route costs a school."""
    rows = []
    for name, (index, total, *_) in costs.items():
        what = "first install" if name == INSTALL_NAME else f"update from release {name.removeprefix('from-')}"
        rows.append((what, in_words(total), f"{total} bytes, {index} of them index"))
    say_table(rows, ("way", "size", "exactly"))
