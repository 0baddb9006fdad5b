import hashlib
import http.server
import io
import tarfile
import threading
from pathlib import Path

import pytest

from suites.data.catalogue import DataFile, DataSet
from suites.data.contents import describe

POINTS = ((10, 20), (30, 40), (30, 60))


def recording_text(*strokes, count=None, name="KA"):
    """Write recordings as the tablet's program did; a stroke is a sequence of (x, y)."""
    lines = [
        f"CHARACTER_NAME: {name}",
        f"STROKE_COUNT: {len(strokes) if count is None else count}",
        "  X           Y   STYLUS_STATE STROKE",
    ]
    for number, stroke in enumerate(strokes, start=1):
        lines.append("PEN_DOWN")
        lines += [f"{x}        {y}        1        {number}" for x, y in stroke]
        lines.append("PEN_UP                  0")
    return "\r\n".join([*lines, f"END_CHARACTER: {name}", ""]).encode()


@pytest.fixture
def text():
    return recording_text


@pytest.fixture
def recordings():
    """Two writers, two characters: members of an archive as the data folder has it."""
    return {
        f"W{writer}/{character}.{writer}.txt": recording_text(
            [(writer + x, character + y) for x, y in POINTS], [(writer, 7)]
        )
        for writer in (1, 2)
        for character in (1, 2)
    }


@pytest.fixture
def make_tar():
    def make(path: Path, members: "dict[str, bytes]", *extra: tarfile.TarInfo) -> Path:
        with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
            for name, data in members.items():
                header = tarfile.TarInfo(name)
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))
            for header in extra:
                archive.addfile(header)
        return path

    return make


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """An empty data folder, and caches that are nobody's."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("SPARSEBENCH_DATA", str(folder))
    monkeypatch.setattr(
        "suites.data.folder.user_cache_path", lambda name: tmp_path / "cache" / name
    )
    return folder


@pytest.fixture
def pen_set(recordings):
    """Build a data set of the four recordings, as published at an address in some packing."""

    def build(url="https://publisher.example/pens.zip", published=b""):
        digest = f"sha256:{hashlib.sha256(published).hexdigest()}"
        content = describe("recordings", recordings)
        file = DataFile("pens/pens.tar.gz", url, digest, len(published), content)
        return DataSet("pens", "pens", "none", "https://publisher.example", (file,))

    return build


@pytest.fixture
def plain_set():
    """Build a data set of one file that is used as it is published."""

    def build(published, url="https://publisher.example/plain.bin", name="plain.bin"):
        digest = f"md5:{hashlib.md5(published, usedforsecurity=False).hexdigest()}"
        file = DataFile(f"plain/{name}", url, digest, len(published))
        return DataSet("plain", "plain", "none", "https://publisher.example", (file,))

    return build


@pytest.fixture
def publisher(monkeypatch):
    """Serve `publisher.files` on this machine; a name in `publisher.cut` breaks off half-way."""
    for variable in ("NO_PROXY", "no_proxy"):  # the second counts before the first
        monkeypatch.setenv(variable, "127.0.0.1")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/")
            self.server.asked.append(name)
            if name not in self.server.files:
                self.send_error(404)
                return
            data = self.server.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if name in self.server.cut else data)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.cut, server.asked = {}, set(), []
        server.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
