"""A session of its own for each test, and the server as users start it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from aumclean.review.queue import suspects
from aumclean.review.session import ReviewSession
from tests.faults.child import begun


@pytest.fixture
def session(own_run):
    """Ann's session at the suspects of the planted run."""
    return ReviewSession(own_run, suspects(own_run), "ann")


@contextmanager
def serving(run, *options, reviewer="ann", python=sys.executable):
    """Start `aumclean review`; yields `.process`, `.url`, `.ask(path, body)`."""
    command = [python, "-m", "aumclean", "review", str(run.path), "--reviewer", reviewer, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        assert url, process.stderr.read()
        parts = urlsplit(url)

        def ask(path, body=None, method=None, **headers):
            """(status, headers, body) of one request below the token; `headers` replace or, as None, leave out."""
            own = {"Host": parts.netloc}
            if body is not None:
                own |= {"Origin": f"http://{parts.netloc}", "Content-Type": "application/json"}
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
            own |= {name.replace("_", "-"): value for name, value in headers.items()}
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
            try:
                connection.putrequest(method or ("GET" if body is None else "POST"), path, skip_host=True)
                for name, value in own.items():
                    if value is not None:
                        connection.putheader(name, value)
                if body is not None:
                    connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body)
                answer = connection.getresponse()
                return answer.status, answer.headers, answer.read()
            finally:
                connection.close()

        yield SimpleNamespace(process=process, url=url, base=parts.path, netloc=parts.netloc, ask=ask)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def serve():
    """Start the server on a run: a context manager."""
    return serving


@contextmanager
def forked(run, *options, reviewer="ann"):
    """`aumclean review` in a fork of this process, which has loaded all of it already; yields the address."""
    server = begun(["review", run.path, "--reviewer", reviewer, *options])
    try:
        while not (said := os.pread(server.files[0].fileno(), 200, 0)).endswith(b"\n"):
            assert os.waitpid(server.pid, os.WNOHANG) == (0, 0)
            time.sleep(0.01)
        yield said.decode().strip()
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.ended()


@pytest.fixture(scope="session")
def desk():
    """The address of a server on a run: a context manager."""
    return forked


@pytest.fixture
def identity():
    """A new id for a request."""
    return lambda: uuid.uuid4().hex


@pytest.fixture
def page(browser):
    """A page that fails the test when its script or its policy complains."""
    complaints = []
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.complaints = complaints
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def five_thousand(make_large):
    """A run of 5,000 photographs, most of them suspect."""
    return make_large(5000, 4900, 48)
