"""The smallest row, ours alone: what a benchmark stands on works."""

from pathlib import Path

import pytest

from tests.bench import page, results, wire
from tests.bench.contact import Sync
from tests.bench.trees import Family


def _pages(folder: Path) -> None:
    for version in (1, 2):
        (folder / f"v{version}").mkdir()
        for number in range(20):
            words = f"A page of release {version if number == 7 else 1}.\n" + f"Line of page {number}.\n" * 40
            (folder / f"v{version}" / f"page-{number}.md").write_text(words)


def test_a_row_is_measured_and_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALFORJA_BENCH", str(tmp_path))
    row = wire.Row(Family("pages", "twenty pages", 2, _pages, installs=False, real=False), 1, 2)

    fine = wire.measure_row(row, ours=True, others=False)

    found = results.get("rows", row.name)
    assert fine, found
    assert found
    sync = Sync(**found["sync"])
    assert sync.content_requests == 1  # a small update comes whole with its head
    assert min(sync.trust, sync.head, sync.frames) > 0
    assert sync.headers < 400 * sync.requests  # protocol.md section 4
    assert 10 < sync.node_peak_mib < 200
    assert wire.is_done(row, any_code=False)
    assert f"{sync.total:,}" in page.line_of(row)
