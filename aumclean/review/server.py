"""A review session as a web server for one person on this machine: loopback only, a secret in every address."""

import json
import secrets
import socket
import threading
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from aumclean.errors import AumcleanError, ConfigError
from aumclean.review.session import Refused, ReviewSession

HOST = "127.0.0.1"
LARGEST_BODY = 8_000_000  # bytes; some 80,000 decisions at once
LONGEST_PATH = 200  # characters; the longest that the page asks for has fewer, and a number of 5,000 digits is none
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE = {
    "": ("page.html", "text/html"),
    "page.svg": ("page.svg", "image/svg+xml"),
    **{f"{name}.css": (f"{name}.css", "text/css") for name in ("page", "grid")},
    **{
        f"{name}.js": (f"{name}.js", "text/javascript")
        for name in ("choose", "curve", "desk", "detail", "dom", "end", "grid", "queue", "store")
    },
}


class Guard:
    """Lets through only what a page of this server asks, so that no other site and no other user can decide.

    A foreign site may reach a port of this machine, even under a name of its own that it points at 127.0.0.1: the Host
    and Origin headers give it away. Another user of the machine does not know the token.
    """

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self.app, self.token = app, token
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        status = self._refusal(Request(scope))
        if status is None:
            scope["path"] = scope["path"].removeprefix(f"/{self.token}")
            await self.app(scope, receive, send)
        else:
            await Response(status_code=status, headers=HEADERS)(scope, receive, send)

    def _refusal(self, request: Request) -> int | None:
        headers = request.headers
        origin = headers.get("origin")
        if headers.get("host") not in self.hosts or (origin is not None and origin not in self.origins):
            return 403
        if request.method not in {"GET", "HEAD"} and (
            origin is None or headers.get("content-type") != "application/json"
        ):
            return 403
        token = request.url.path.lstrip("/").split("/")[0]
        if len(request.url.path) > LONGEST_PATH:
            return 404
        return None if secrets.compare_digest(token.encode(), self.token.encode()) else 404


def make_app(session: ReviewSession, port: int, token: str) -> ASGIApp:
    """The web application; every address begins with the token."""

    def page(request: Request) -> Response:
        name, media_type = PAGE[request.url.path.rpartition("/")[2]]
        return Response((files("aumclean.review") / name).read_bytes(), media_type=media_type, headers=HEADERS)

    def about(request: Request) -> Response:
        return _answer(session.about)

    def item(request: Request) -> Response:
        return _answer(session.item, int(request.path_params["position"]))

    def end(request: Request) -> Response:
        return _answer(session.end)

    def image(request: Request) -> Response:
        return _picture(lambda: session.pictures.large(request.path_params["sample_id"]))

    def small(request: Request) -> Response:
        return _picture(lambda: session.pictures.small(request.path_params["sample_id"]))

    def report(request: Request) -> Response:
        if session.queue.blind or not session.run.html.is_file():
            return Response(status_code=404, headers=HEADERS)
        own = {name: value for name, value in HEADERS.items() if name != "Content-Security-Policy"}  # it has its own
        return Response(session.run.html.read_bytes(), headers=own, media_type="text/html")

    def table(request: Request) -> Response:
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="decisions.csv"'}
        return Response(session.decisions_csv(), media_type="text/csv", headers=headers)

    async def decide(request: Request) -> Response:
        return await run_in_threadpool(_answer, session.decide, await _body(request))

    async def undo(request: Request) -> Response:
        return await run_in_threadpool(_answer, session.undo, await _body(request))

    routes = [
        *(Route(f"/{name}", page) for name in PAGE),
        Route("/api/session", about),
        Route("/api/item/{position:int}", item),
        Route("/api/end", end),
        Route("/image/{sample_id:int}", image),
        Route("/small/{sample_id:int}", small),
        Route("/decisions.csv", table),
        Route("/report.html", report),
        Route("/api/decide", decide, methods=["POST"]),
        Route("/api/undo", undo, methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), port, token)


async def _body(request: Request) -> dict[str, Any]:
    """What was posted, {} when it is no JSON object or too much."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            return {}
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _answer(ask: Callable[..., dict[str, Any]], *arguments: Any) -> Response:
    """JSON in ASCII, so that no name can break it."""
    try:
        content, status = ask(*arguments), 200
    except Refused as refused:
        content, status = {"error": str(refused)}, 400
    except AumcleanError as error:  # a full disk, a journal that somebody damaged: nothing was saved, and why
        content, status = {"error": str(error)}, 500
    headers = {**HEADERS, "Cache-Control": "no-store"}
    return Response(json.dumps(content), status, headers, "application/json")


def _picture(ask: Callable[[], tuple[bytes, str]]) -> Response:
    try:
        content, media_type = ask()
    except Exception as error:  # gone, changed or broken since the scan; the page shows so in its place
        return Response(" ".join(str(error).split()), 404, HEADERS, "text/plain")
    headers = {**HEADERS, "Cache-Control": "private, max-age=3600, immutable"}
    return Response(content, headers=headers, media_type=media_type)


class Server:
    """A server that has its port already, so that its address can be told before it runs."""

    def __init__(self, session: ReviewSession, port: int) -> None:
        """Take the port.

        Args:
            session: what to serve.
            port: which; 0 for any that is free.

        Raises:
            ConfigError: when the port is taken.
        """
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((HOST, port))
            self.socket.listen(128)  # whoever is told the address may come before `run` does
        except (OSError, OverflowError) as error:
            self.socket.close()
            raise ConfigError(f"--port: {port} cannot be used ({getattr(error, 'strerror', None) or error})") from None
        self.session = session
        self.port = self.socket.getsockname()[1]
        self.token = secrets.token_urlsafe(24)
        self.url = f"http://{HOST}:{self.port}/{self.token}/"

    def run(self) -> None:
        """Serve until Ctrl-C."""
        threading.Thread(target=self.session.pictures.make_ahead, daemon=True).start()
        config = uvicorn.Config(
            make_app(self.session, self.port, self.token),
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        uvicorn.Server(config).run(sockets=[self.socket])
