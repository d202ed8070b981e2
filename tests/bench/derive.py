"""Make trees from real samples for what the samples' own versions do not show. Fixed seeds and dates, no clock."""

import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

from tests.bench import results

_DAY = (2023, 11, 14, 12, 0, 0)
_DAY_SECONDS = 1699963200
_IMAGE_BYTES = 8 * 2**20
_SECTOR_BYTES = 4096
Member = tuple[str, bytes]


class EncoderMissing(Exception):
    """What would zip the books is not on this machine."""


def edit_text(data: bytes, dice: random.Random, edits: int) -> bytes:
    """Add a sentence or change a word at so many places."""
    for number in range(edits):
        spots = [at for at in range(len(data) - 1) if data[at : at + 2] == b". "] or [len(data)]
        at = dice.choice(spots) + 1
        if dice.random() < 0.5:
            data = (
                data[:at]
                + f" Lesson {dice.randrange(100)} says more of it, see page {number + 3}.".encode()
                + data[at:]
            )
        else:
            end = data.find(b" ", at + 1)
            data = data[:at] + b" Then" + data[end if end > 0 else at :]
    return data


# Books.


def make_books(packages: Path, folder: Path, *, edited: bool, zip_by: Callable[[list[Member], Path], None]) -> None:
    """Zip every book of the samples, and one made of a Markdown course."""
    folder.mkdir()
    for name, members in _books(packages).items():
        dice = random.Random(name)
        texts = [at for at, (path, _) in enumerate(members) if path.endswith((".xhtml", ".vtt"))]
        chosen = sorted(dice.sample(texts, max(1, len(texts) // 10)))
        if edited:
            for at in chosen:
                members[at] = (members[at][0], edit_text(members[at][1], dice, 4))
        zip_by(members, folder / f"{name}.epub")


def _books(packages: Path) -> dict[str, list[Member]]:
    books: dict[str, list[Member]] = {}
    for tree in sorted((packages / "EPUB3").iterdir()):
        books[tree.name] = [
            (str(path.relative_to(tree)), path.read_bytes()) for path in sorted(tree.rglob("*")) if path.is_file()
        ]
    for path in sorted((packages / "EPUB").glob("*.epub")):
        with zipfile.ZipFile(path) as archive:
            books[path.stem] = [(info.filename, archive.read(info)) for info in archive.infolist()]
    course = packages / "Markdown-i18n" / "iot-es"
    books["iot-es"] = [("mimetype", b"application/epub+zip")] + [
        (f"EPUB/{str(path.relative_to(course)).replace('/', '-')}.xhtml", _as_page(path.read_text()))
        for path in sorted(course.rglob("*.md"))
    ]
    # The media type first, as the standard has it.
    return {name: sorted(members, key=lambda one: one[0] != "mimetype") for name, members in books.items()}


def _as_page(text: str) -> bytes:
    paragraphs = "\n".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n"))
    return f'<html xmlns="http://www.w3.org/1999/xhtml"><body>\n{paragraphs}\n</body></html>\n'.encode()


def _zip_by_zlib(members: list[Member], target: Path) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name, _DAY)
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def _zip_by_7z(level: str) -> Callable[[list[Member], Path], None]:
    def zipped(members: list[Member], target: Path) -> None:
        program = next(filter(None, map(shutil.which, ("7zz", "7z", "7za"))), None)
        if not program:
            raise EncoderMissing("7-Zip is not here (apt: 7zip)")
        with tempfile.TemporaryDirectory() as scratch:
            names = _write_members(members, Path(scratch))
            for mx, some in (("-mx0", names[:1]), (level, names[1:])):
                _call(program, "a", "-tzip", mx, "-mmt=1", "-bd", "-y", target.absolute(), *some, cwd=Path(scratch))

    return zipped


_JAVA = """
import java.io.*;
import java.nio.file.*;
import java.time.LocalDateTime;
import java.util.zip.*;

class Zip {
    public static void main(String[] a) throws IOException {
        try (var zip = new ZipOutputStream(new FileOutputStream(a[0]))) {
            for (String name : Files.readAllLines(Path.of(a[2]))) {
                byte[] data = Files.readAllBytes(Path.of(a[1], name));
                var entry = new ZipEntry(name);
                entry.setTimeLocal(LocalDateTime.of(2023, 11, 14, 12, 0));
                if (name.equals("mimetype")) {
                    var crc = new CRC32();
                    crc.update(data);
                    entry.setMethod(ZipEntry.STORED);
                    entry.setSize(data.length);
                    entry.setCrc(crc.getValue());
                }
                zip.putNextEntry(entry);
                zip.write(data);
                zip.closeEntry();
            }
        }
    }
}
"""
_NODE = """
const fs = require("fs"), path = require("path"), JSZip = require("jszip");
const [target, folder, list] = process.argv.slice(2);
const zip = new JSZip(), date = new Date(Date.UTC(2023, 10, 14, 12));
for (const name of fs.readFileSync(list, "utf8").split("\\n").filter(Boolean))
  zip.file(name, fs.readFileSync(path.join(folder, name)),
    { date, createFolders: false, compression: name === "mimetype" ? "STORE" : "DEFLATE" });
zip.generateAsync({ type: "nodebuffer" }).then(data => fs.writeFileSync(target, data));
"""


def _zip_by_java(members: list[Member], target: Path) -> None:
    if not shutil.which("javac"):
        raise EncoderMissing("no JDK is here (apt: default-jdk-headless)")
    _zip_by_script(("java", "Zip.java", _JAVA), members, target)


def _zip_by_jszip(members: list[Member], target: Path) -> None:
    modules = results.scratch() / "node_modules"
    if not shutil.which("node") or not (modules / "jszip").is_dir():
        raise EncoderMissing("node and JSZip are not here (`make bench-tools`)")
    _zip_by_script(("node", "zip.cjs", _NODE), members, target, node_path=str(modules))


def _zip_by_script(script: tuple[str, str, str], members: list[Member], target: Path, node_path: str = "") -> None:
    program, name, source = script
    with tempfile.TemporaryDirectory() as scratch:
        path, listed, folder = Path(scratch) / name, Path(scratch) / "names", Path(scratch) / "members"
        path.write_text(source)
        listed.write_text("\n".join(_write_members(members, folder)) + "\n")
        _call(program, path, target.absolute(), folder, listed, node_path=node_path)


ENCODERS: Mapping[str, Callable[[list[Member], Path], None]] = {
    "zlib": _zip_by_zlib,
    "7z5": _zip_by_7z("-mx5"),
    "7z9": _zip_by_7z("-mx9"),
    "java": _zip_by_java,
    "jszip": _zip_by_jszip,
}


def _write_members(members: list[Member], folder: Path) -> list[str]:
    for name, data in members:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (_DAY_SECONDS, _DAY_SECONDS))
    return [name for name, _ in members]


def _call(*command: str | Path, cwd: Path | None = None, node_path: str = "") -> None:
    subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TZ": "UTC", "NODE_PATH": node_path},
    )


# Others.


def make_database(source: Path, folder: Path) -> None:
    """A database of lessons with a text index; then rows changed, added and deleted, and all written anew."""
    dice = random.Random("database")
    for version in (1, 2):
        target = folder / f"v{version}" / "content.sqlite"
        target.parent.mkdir()
        target.write_bytes(source.read_bytes())
        connection = sqlite3.connect(target, isolation_level=None)
        if version == 2:
            _change_rows(connection, dice)
        connection.execute("VACUUM")
        connection.close()


def _change_rows(connection: sqlite3.Connection, dice: random.Random) -> None:
    rows = connection.execute("SELECT id, path, body FROM page ORDER BY id").fetchall()
    chosen = dice.sample(rows, 30)
    connection.execute("BEGIN")
    for number, path, body in chosen[:20]:
        fresh = edit_text(body.encode(), dice, 3).decode()
        connection.execute("UPDATE page SET body = ?, rev = rev + 1 WHERE id = ?", (fresh, number))
        connection.execute("UPDATE fts SET body = ? WHERE path = ?", (fresh, path))
    for number, path, _ in chosen[20:25]:
        connection.execute("DELETE FROM page WHERE id = ?", (number,))
        connection.execute("DELETE FROM fts WHERE path = ?", (path,))
    for _, path, body in chosen[25:]:
        text = "\n\n".join(dice.sample(body.split("\n\n"), len(body.split("\n\n"))))
        connection.execute("INSERT INTO page(path, body, rev) VALUES (?, ?, 1)", (f"new/{path}", text))
        connection.execute("INSERT INTO fts(path, body) VALUES (?, ?)", (f"new/{path}", text))
    connection.execute("COMMIT")


def make_image(packages: Path, folder: Path) -> None:
    """Files of a course in sectors, as on a disk; then small edits all over, and something put in between."""
    dice, data = random.Random("image"), bytearray()
    for path in sorted((packages / "OLX" / "openedx-demo-course").rglob("*")):
        if path.is_file() and path.stat().st_size < 2**20 and len(data) < _IMAGE_BYTES:
            data += path.read_bytes()
            data += bytes(-len(data) % _SECTOR_BYTES)
    data = data[:_IMAGE_BYTES]
    _write(folder / "v1" / "disk.img", data)
    for _ in range(200):
        at, size = dice.randrange(len(data) - 64), dice.randrange(4, 65)
        data[at : at + size] = dice.randbytes(size)
    middle = len(data) * 5 // 8
    _write(folder / "v2" / "disk.img", data[:middle] + dice.randbytes(3000) + data[middle:])


def make_stamped(site: Path, folder: Path) -> None:
    """A site of which nothing changes but the time in every page's foot: its generator ran again, a day later."""
    for version in (1, 2):
        shutil.copytree(site, folder / f"v{version}")
        dice = random.Random(version)
        now = datetime.fromtimestamp(_DAY_SECONDS, UTC) + timedelta(days=version)
        for path in sorted((folder / f"v{version}").rglob("*.html")):
            now += timedelta(milliseconds=dice.randrange(20, 900))
            page, end, rest = path.read_bytes().rpartition(b"</body>")
            path.write_bytes(page + f"<p>Built {now:%Y-%m-%d %H:%M:%S}</p>\n".encode() + end + rest)


def make_moved(packages: Path, folder: Path) -> None:
    """A Markdown course; then a folder renamed, lessons split, merged, and sections moved from file to file."""
    course, new = packages / "Markdown-i18n" / "iot-es", folder / "v2"
    shutil.copytree(course, folder / "v1")
    shutil.copytree(course, new)
    (new / "5-retail").rename(new / "5-shops")
    for lesson in sorted(path for path in (new / "2-farm" / "lessons").iterdir() if path.is_dir()):
        parts = sorted(lesson.glob("*.md"))
        text = b"\n".join(path.read_bytes() for path in parts)
        for path in parts:
            path.unlink()
        (lesson / "lesson.md").write_bytes(text)
    largest = sorted((new / "1-getting-started").rglob("*.md"), key=lambda path: (-path.stat().st_size, path))[:10]
    for path in largest:
        data = path.read_bytes()
        cut = data.rfind(b"\n## ", 0, len(data) * 2 // 3) + 1
        _write(path.with_name(f"{path.stem}-1.md"), data[:cut])
        _write(path.with_name(f"{path.stem}-2.md"), data[cut:])
        path.unlink()
    pages = sorted((new / "3-transport").rglob("*.md"))
    for source, target in zip(pages[::2], pages[1::2], strict=False):
        data = source.read_bytes()
        cut = data.rfind(b"\n## ") + 1
        source.write_bytes(data[:cut] or b"Moved.\n")
        target.write_bytes(target.read_bytes() + b"\n" + data[cut:])


def make_jpegs(packages: Path, folder: Path) -> None:
    """All JPEGs in one folder."""
    for path in sorted(packages.rglob("*")):
        if path.is_file() and path.suffix.lower() in {".jpg", ".jpeg"}:
            _write(folder / "v1" / str(path.relative_to(packages)).replace("/", "-"), path.read_bytes())


def _write(path: Path, data: bytes | bytearray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
