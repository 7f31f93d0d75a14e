"""Sources on servers, all on loopback: HTTP, HTTPS, Google Cloud Storage, the hub of Hugging Face."""

import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha1
from http.server import HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
from aumclean.dataset.samples import Decoding
from aumclean.errors import DataError
from aumclean.files import location

PER_CLASS = 10

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Listener(ThreadingHTTPServer):
    """All that ask at once are heard; of more than five the others would wait a second to ask again."""

    request_queue_size = 128


class Server(SimpleHTTPRequestHandler):
    """Files of a folder; it counts the bytes of each that it sends."""

    sends_parts, sent, faults = True, Counter(), {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        file, wanted = Path(self.translate_path(self.path)), self.headers.get("Range")
        if not file.is_file():
            return super().do_GET()
        if self.faults.get(file):
            return self.send_error(self.faults[file].pop())
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
    server = Listener(("127.0.0.1", 0), partial(Server, directory=str(source)))
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPServer, "request_queue_size", Listener.request_queue_size)
        server.start()
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
    monkeypatch.setattr(location, "PAUSES", (0.01, 0.01))
    with pytest.raises(DataError, match="nothing.csv: no such file or folder$"):
        read_samples(f"{web}/nothing.csv")
    monkeypatch.setattr(Server, "sends_parts", False)
    for suffix, says in (("tar", "its server does not send parts of a file; copy it"), ("zip", "range requests")):
        shutil.copy(source / f"all.{suffix}", source / f"whole.{suffix}")  # a name that no cache knows
        with pytest.raises(DataError, match=f"^{web}/whole.{suffix}: .*{says}") as caught:
            digest(f"{web}/whole.{suffix}")
        assert "\n" not in str(caught.value)


def test_what_a_fault_kept_away_is_fetched_again_and_what_is_gone_costs_itself_alone(web, source, monkeypatch):
    monkeypatch.setattr(location, "PAUSES", (0.01, 0.01))
    images = sorted((source / "photos").rglob("*.png"))
    data, expected = f"{web}/photos/", digest(source / "photos")
    monkeypatch.setattr(Server, "faults", {image: [429, 503] for image in images[::7]})
    samples = replace(read_samples(data), decoding=Decoding((0, 255)))  # nothing looked at before
    assert open_samples(samples, 12, cached=False, workers=1).digest() == expected
    assert not any(Server.faults.values())
    Server.faults.update({images[0]: [404] * 3, images[1]: [403] * 3})
    found = open_samples(samples, 12, cached=False, workers=1)
    assert found.unreadable["reason"].to_pylist() == ["missing", "permission denied"]
    monkeypatch.setattr(Server, "faults", {images[2]: [503] * 3})
    with pytest.raises(DataError, match=f"^{web}/photos/.*503"):
        open_samples(samples, 12, cached=False, workers=1)
    monkeypatch.setattr(Server, "faults", {source / "all.tar": []})
    members = read_samples(f"{web}/all.tar")
    Server.faults[source / "all.tar"] += [503, 503]
    assert open_samples(members, 12, cached=False, workers=1).digest() == expected


@pytest.mark.parametrize("name", ["list.csv", "all.tar", "all.zip", "train-{00000..00001}-of-00002.parquet"])
def test_parts_of_files_that_a_fault_kept_away_are_fetched_again(web, source, monkeypatch, name):
    monkeypatch.setattr(location, "PAUSES", (0.01, 0.01))
    file = source / name.replace("{00000..00001}", "00001")
    data = f"{web}/{name}"
    expected = digest(data)
    monkeypatch.setattr(Server, "faults", {file: [429, 503]})
    assert digest(data) == expected and not Server.faults[file]
    Server.faults[file] += [503] * 3
    with pytest.raises(DataError, match=f"^{web}/{file.name}: cannot be read .*503"):
        digest(data)
    Server.faults[file] = []
    if file.suffix in {".zip", ".parquet"}:  # of which the images are parts
        samples = read_samples(data)
        Server.faults[file] += [503, 429]
        assert open_samples(samples, 12, cached=False, workers=1).digest() == expected
        assert not Server.faults[file]


@pytest.mark.parametrize("address", ["s3://photos/set", "gs://photos/list.csv", "https://127.0.0.1:{}/list.csv"])
def test_a_host_that_does_not_answer_is_one_line_in_seconds(address, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name in ("AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    monkeypatch.setattr(location, "_answered", set())
    monkeypatch.setattr(location, "PATIENCE", 1.0)
    fsspec.get_filesystem_class(address.partition(":")[0])  # which takes its own time to load
    started, url = time.monotonic(), address.format(port)
    with pytest.raises(DataError, match=rf"^{url}: cannot be read \((no answer within 1 s|Cannot connect)") as caught:
        read_samples(url)
    assert time.monotonic() - started < 20  # alone, the libraries of S3 and Google try for 27 and 79 s
    assert "\n" not in str(caught.value)


class Hub(SimpleHTTPRequestHandler):
    """What Hugging Face's hub answers of one data set, whose files are those of a folder."""

    protocol_version = "HTTP/1.1"
    api, files = "/api/datasets/some/photos", "/datasets/some/photos/resolve/main/"

    def log_message(self, *_):
        pass

    def about(self, path):
        root = Path(self.directory)
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
        return {"type": "file", "path": name, "oid": sha1(path.read_bytes()).hexdigest(), "size": path.stat().st_size}

    def answer(self, status, content, **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self):
        path, root = unquote(urlsplit(self.path).path), Path(self.directory)
        if path.startswith(f"{self.api}/tree/main"):
            folder = root / path.removeprefix(f"{self.api}/tree/main").strip("/")
            deep = "recursive=true" in self.path.lower()
            below = sorted(folder.rglob("*") if deep else folder.iterdir())
            self.answer(200, json.dumps([self.about(one) for one in below]).encode(), Content_Type="application/json")
        elif path in {self.api, f"{self.api}/revision/main"}:
            about = {"_id": "1", "id": "some/photos", "sha": "0" * 40, "private": False, "siblings": []}
            self.answer(200, json.dumps(about).encode(), Content_Type="application/json")
        elif path.startswith(self.files) and (file := root / path.removeprefix(self.files)).is_file():
            content = file.read_bytes()
            first, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")
            begin, end = int(first), min(int(last or len(content)), len(content) - 1)
            span = f"bytes {begin}-{end}/{len(content)}"
            self.answer(206, content[begin : end + 1], Content_Range=span, ETag=f'"{sha1(content).hexdigest()}"')
        else:
            self.answer(404, b"{}", X_Error_Code="EntryNotFound")

    do_HEAD = do_GET

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        paths = [Path(self.directory) / path for path in asked["paths"]]
        found = [self.about(path) for path in paths if path.exists()]
        self.answer(200, json.dumps(found).encode(), Content_Type="application/json")


DIGEST = """
import sys
from aumclean.dataset.open import open_samples
from aumclean.dataset.read import read_samples
for address in sys.argv[1:]:
    samples = read_samples(address)
    print(open_samples(samples, 12, cached=False, workers=1).digest(), *samples.images.stamp(samples.rows[:1]))
"""


def elsewhere(*addresses, **environment):
    """What a process of its own says of them, a line each, since libraries read their environment once."""
    command = [sys.executable, "-c", DIGEST, *addresses]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_a_data_set_on_the_hub_of_hugging_face_is_read_as_its_files_are(source, tmp_path):
    (tmp_path / "data").mkdir()
    for shard in source.glob("train-*.parquet"):
        shutil.copy(shard, tmp_path / "data")
    shutil.copy(tmp_path / "data/train-00000-of-00002.parquet", tmp_path / "data/test-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("# photos")
    server = Listener(("127.0.0.1", 0), partial(Hub, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1"}
    expected = digest(source / "train-*.parquet")
    address = "hf://datasets/some/photos"
    found = elsewhere(address, f"{address}/data/train-*.parquet", **environment)
    assert [line.split()[0] for line in found.stdout.splitlines()] == [expected, expected], found.stderr
    version = sha1((tmp_path / "data/train-00000-of-00002.parquet").read_bytes()).hexdigest()
    assert all(version in line for line in found.stdout.splitlines())  # so that another commit is decoded again
    server.shutdown()
    server.server_close()


def test_a_web_server_must_be_trusted(source, tmp_path):
    certificate = self_made_certificate(tmp_path)
    server = Listener(("127.0.0.1", 0), partial(Server, directory=str(source)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"https://127.0.0.1:{server.server_port}/list.csv"
    trusted = elsewhere(address, SSL_CERT_FILE=str(certificate))
    assert trusted.stdout.split()[:1] == [digest(source / "photos")], trusted.stderr
    last = elsewhere(address).stderr.splitlines()[-1]
    assert last.startswith(f"aumclean.errors.DataError: {address}: cannot be read (")
    assert "certificate verify failed" in last
    server.shutdown()
    server.server_close()


def self_made_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "photos")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(private + made.public_bytes(Encoding.PEM))
    return folder / "server.pem"
