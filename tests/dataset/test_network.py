"""Sources on servers: HTTP, with parts of files and without, and Google Cloud Storage, all on loopback."""

import logging
import shutil
import socket
import tarfile
import threading
import zipfile
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
from aumclean.errors import DataError

PER_CLASS = 10

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Server(SimpleHTTPRequestHandler):
    """Files of a folder; it counts the bytes of each that it sends."""

    sends_parts, sent = True, Counter()

    def log_message(self, *_):
        pass

    def do_GET(self):
        file, wanted = Path(self.translate_path(self.path)), self.headers.get("Range")
        if not file.is_file():
            return super().do_GET()
        content = file.read_bytes()
        first, last = (wanted or "bytes=0-").removeprefix("bytes=").split("-")
        begin, end = (int(first), int(last or len(content) - 1) + 1) if self.sends_parts else (0, len(content))
        part = content[begin:end]
        self.send_response(206 if wanted and self.sends_parts else 200)
        if wanted and self.sends_parts:
            self.send_header("Content-Range", f"bytes {begin}-{begin + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.sent[file] += len(part)
        self.wfile.write(part)
        return None


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Images in class folders, and the same in a list, a tar, a zip file and two Parquet files."""
    from tests.conftest import write_folder

    root = tmp_path_factory.mktemp("served")
    write_folder(root / "photos", PER_CLASS)
    files = {path.relative_to(root / "photos").as_posix(): path for path in sorted((root / "photos").rglob("*.png"))}
    lines = ["path,label", *(f"photos/{name},{name.split('/')[0]}" for name in files)]
    (root / "list.csv").write_text("\n".join(lines))
    with tarfile.open(root / "all.tar", "w") as tar, zipfile.ZipFile(root / "all.zip", "w") as archive:
        for name, path in files.items():
            tar.add(path, name)
            archive.write(path, name)
    rows = [{"image": {"bytes": path.read_bytes(), "path": name}, "label": name[:4]} for name, path in files.items()]
    for number, start in enumerate(range(0, len(rows), 15)):
        pq.write_table(pa.Table.from_pylist(rows[start : start + 15]), root / f"train-{number:05d}-of-00002.parquet")
    return root


@pytest.fixture(scope="module")
def web(source):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(source)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def cloud(source):
    """A server of Google Cloud Storage with the same files."""
    from gcp_storage_emulator.server import create_server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="photos")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setenv("NO_GCE_CHECK", "true")  # nobody waits for credentials of a machine of Google's
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        store = fsspec.filesystem("gs")
        store.put(str(source / "all.tar"), "photos/all.tar")
        store.put(str(source / "photos"), "photos/set", recursive=True)
        yield "gs://photos"
    server.stop()


def digest(data, **options):
    return open_samples(read_samples(data, **options), 12, cached=False, workers=1).digest()


@pytest.mark.parametrize("name", ["photos/", "list.csv", "all.tar", "all.zip"])
def test_a_web_server_is_read_as_the_folder_is_and_no_image_more_than_twice(web, source, name):
    Server.sent.clear()
    assert digest(f"{web}/{name}") == digest(source / "photos")
    images = [image for image in Server.sent if image.suffix == ".png"]
    assert len(images) == (3 * PER_CLASS if name in {"photos/", "list.csv"} else 0)
    assert all(Server.sent[image] <= 2 * image.stat().st_size for image in images)
    tar = source / "all.tar"
    assert Server.sent[tar] <= 3 * tar.stat().st_size  # listed, some images looked at, all decoded


def test_shards_on_a_web_server_are_named_by_a_pattern(web, source):
    assert digest(f"{web}/train-{{00000..00001}}-of-00002.parquet") == digest(source / "train-*.parquet")


@pytest.mark.parametrize("name", ["set", "all.tar"])
def test_google_cloud_storage_is_read_as_the_folder_is(cloud, source, name):
    assert digest(f"{cloud}/{name}") == digest(source / "photos")


def test_what_a_server_does_not_have_or_cannot_do_is_one_line(web, source, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="nothing.csv: no such file or folder$"):
        read_samples(f"{web}/nothing.csv")
    monkeypatch.setattr(Server, "sends_parts", False)
    for suffix, says in (("tar", "its server does not send parts of a file; copy it"), ("zip", "range requests")):
        shutil.copy(source / f"all.{suffix}", source / f"whole.{suffix}")  # a name that no cache knows
        with pytest.raises(DataError, match=f"^{web}/whole.{suffix}: .*{says}") as caught:
            digest(f"{web}/whole.{suffix}")
        assert "\n" not in str(caught.value)
