"""What a content team may turn. Read once, at the edge; every limit has a default and a unit."""

import os
from dataclasses import dataclass, field
from pathlib import Path

WORKER_BYTES = (
    2**30
)  # memory that one process needs for the largest frame: finding copies takes five bytes for each of its bases


def count_workers() -> int:
    """One for each core that this process may use, but no more than fit into three quarters of the machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(len(os.sched_getaffinity(0)), memory * 3 // 4 // WORKER_BYTES))


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Where a hub keeps its things, and how much it keeps."""

    home: Path
    updates_kept: int = 8  # releases from which a direct update is offered, unless a course has its own number
    grace_days: int = 14  # for which a pack stays that metadata names no more, unless a course has its own
    cache_bytes_max: int = 4 * 2**30  # of what can be computed again; the least used goes first
    chain_kept: int = 64  # releases from which a chain of adjacent updates is offered
    workers: int = field(default_factory=count_workers)  # processes that encode

    @property
    def repository(self) -> Path:
        """What is offered: static files, a complete source by themselves."""
        return self.home / "repository"

    @property
    def keys(self) -> Path:
        """Private keys. The root keys below it belong somewhere else."""
        return self.home / "keys"

    @property
    def workspace(self) -> Path:
        """Imported files and drafts of releases."""
        return self.home / "workspace"

    @property
    def cache(self) -> Path:
        """What can be computed again."""
        return self.home / "cache"

    @property
    def lapses(self) -> Path:
        """Since when packs are named no more. Lost, every grace begins anew."""
        return self.home / "lapses.json"
