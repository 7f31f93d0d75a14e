import http.client
import json
import math
import os
import random
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from aumclean.decisions.journal import Journal
from aumclean.errors import ConfigError
from aumclean.review.queue import suspects
from aumclean.review.server import Server, _answer
from aumclean.review.session import ReviewSession
from aumclean.run.directory import Run


@pytest.fixture(scope="module")
def server(finished, serve, tmp_path_factory):
    """One server for the tests that ask without deciding much."""
    run = Run(shutil.copytree(finished.run.path, tmp_path_factory.mktemp("served") / "run"))
    with serve(run) as started:
        started.run = run
        yield started


def first_sample(server):
    return json.loads(server.ask(f"{server.base}api/session")[2])["rows"]["sample_id"][0]


def test_only_what_the_page_itself_asks_is_answered(server, identity):
    base, origin = server.base, f"http://{server.netloc}"
    sample = first_sample(server)
    good = {"id": identity(), "decisions": [{"sample_id": sample, "decision": "keep"}]}

    def status(*arguments, **headers):
        return server.ask(*arguments, **headers)[0]

    assert status(base) == status(f"{base}desk.js") == status(f"{base}api/session") == 200
    assert status(base, Host=server.netloc.replace("127.0.0.1", "localhost")) == 200
    for path in ("/", "/api/session", "/wrong-token/", f"/{base[1:-2]}/", "/desk.js", f"//{base[1:]}x"):
        assert status(path) == 404
    for host in ("evil.example", f"evil.example:{server.netloc.split(':')[1]}", "127.0.0.1", None, "127.0.0.1:1"):
        assert status(base, Host=host) in {400, 403}
    for foreign in ("http://evil.example", "null", "https://" + server.netloc, origin + ".evil.example"):
        assert status(base, Origin=foreign) == 403
        assert status(f"{base}api/decide", good, Origin=foreign) == 403
    assert status(f"{base}api/decide", good, Origin=None) == 403
    assert status(f"{base}api/decide", good, Content_Type="text/plain") == 403
    assert status(f"{base}api/decide", good, "PUT") == 405
    assert status(f"{base}api/decide", b"x" * 70000) == status(f"{base}api/decide", b"[1]") == 400
    assert not server.run.decisions.exists()
    assert status(f"{base}api/decide", good) == 200


def test_every_answer_forbids_what_the_page_does_not_need(server):
    for path in (
        "",
        "page.css",
        "grid.js",
        "api/session",
        "api/end",
        "image/0",
        "small/0",
        "decisions.csv",
        "image/999",
        "nothing",
    ):
        _, headers, _ = server.ask(server.base + path)
        if path != "nothing":
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
        assert "server" not in headers
    assert server.ask(server.base)[2].count(b"<script src=") == 1
    assert b"style=" not in server.ask(server.base)[2]


OUTWARD = [
    "image/../../run.json", "image/%2e%2e%2frun.json", "../../etc/passwd", "image//etc/passwd", "image/-1",
    "image/360", "page.py", "server.py", "image/0/..", "image/1e1", "..%2fdesk.py", "api/item/-1", "api/item/360",
]  # fmt: skip


def test_no_path_leads_out_of_the_data(server):
    for path in OUTWARD:
        status, _, body = server.ask(server.base + path)
        assert status in {400, 404}, path
        assert b"schema_version" not in body and b"root:" not in body and b"import" not in body


def test_what_no_page_would_ask_is_refused_and_never_an_error(server, identity):
    base = server.base
    for path in ("api/item/", "image/", "small/"):
        assert server.ask(f"{base}{path}{'9' * 5000}")[0] == 404
        assert server.ask(f"{base}{path}{'9' * 50}")[0] in {400, 404}
    one = {"sample_id": first_sample(server), "decision": "keep"}
    good = {"id": identity(), "decisions": [one]}
    hostile = ({**one, "note": "a\ud800"}, {**one, "sample_id": 10**400}, [], "x")
    for body in (b"[" * 60_000, b"1" * 60_000, b"\xff", *({"id": identity(), "decisions": [bad]} for bad in hostile)):
        assert server.ask(f"{base}api/decide", body)[0] == 400
        assert isinstance(body, dict) or server.ask(f"{base}api/undo", body)[0] == 400
    assert server.ask(f"{base}api/decide", good)[0] == 200
    assert server.ask(f"{base}api/undo", {"id": good["id"]})[0] == 400


def test_hostile_names_stay_text(own_run):
    hostile = "<script>alert(1)</script>\u2028\"'&"
    table = pq.read_table(own_run.samples)
    labels = [hostile if label == "blue" else label for label in table["label"].to_pylist()]
    paths = [f"{hostile}/{path}" for path in table["path"].to_pylist()]
    table = table.set_column(2, "label", [labels]).set_column(1, "path", [paths])
    pq.write_table(table, own_run.samples)
    record = own_run.read()
    names = [hostile if name == "blue" else name for name in record.data.class_names]
    own_run.write(record.model_copy(update={"data": record.data.model_copy(update={"class_names": names})}))
    answer = _answer(ReviewSession(own_run, suspects(own_run), "ann").about)
    assert (answer.status_code, answer.media_type) == (200, "application/json")
    assert hostile in json.loads(answer.body)["classes"]
    assert answer.body.isascii()


def test_ctrl_c_ends_with_exit_code_0_and_says_what_comes_next(own_run, serve, identity):
    with serve(own_run) as server:
        decisions = [{"sample_id": first_sample(server), "decision": "keep"}]
        server.ask(f"{server.base}api/decide", {"id": identity(), "decisions": decisions})
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=20)
    assert (server.process.returncode, out) == (0, "")
    assert "1 of 30 decided; they are in" in err or "1 of " in err
    assert f"aumclean clean {own_run.path}" in err
    assert "Traceback" not in err


def test_a_port_in_use_is_one_clear_line(server):
    port = int(server.netloc.split(":")[1])
    with pytest.raises(ConfigError, match=rf"--port: {port} cannot be used \(Address already in use\)"):
        Server(None, port)


def random_step(rng, rows, classes, identity):
    """One decision, or up to forty at once."""
    made = []
    for at in rng.sample(range(len(rows["sample_id"])), rng.choice([1, 1, rng.randint(2, 40)])):
        decision = rng.choice(["keep", "relabel", "remove", "unsure"])
        others = [name for index, name in enumerate(classes) if index != rows["label"][at]]
        label = rng.choice(others) if decision == "relabel" else None
        made.append({"sample_id": rows["sample_id"][at], "decision": decision, "new_label": label})
    return {"id": identity(), "decisions": made}


def decide_through_kills(run, serve, identity, steps, kills, seed):
    """Make random steps on a server that is killed now and then; returns what was confirmed, per decision."""
    rng = random.Random(seed)
    at_risk = set(rng.sample(range(steps), kills))
    done, confirmed, pending = 0, {}, None
    while done < steps:
        with serve(run, "--all") as server:
            about = json.loads(server.ask(f"{server.base}api/session")[2])
            while done < steps:
                pending = pending or random_step(rng, about["rows"], about["classes"], identity)
                killer = None
                if done in at_risk:
                    at_risk.remove(done)
                    delay = rng.random() * 0.008  # a step takes a few milliseconds: before, amid and after it
                    killer = subprocess.Popen(["sh", "-c", f"sleep {delay:.4f}; kill -9 {server.process.pid}"])
                try:
                    status, _, _ = server.ask(f"{server.base}api/decide", pending)
                except (OSError, http.client.HTTPException):
                    status = None  # no answer, or half of one: on disk or not, it is sent again with the same id
                if status is not None:
                    assert status == 200
                    confirmed |= {f"{pending['id']}x{n}": one for n, one in enumerate(pending["decisions"])}
                    done, pending = done + 1, None
                if killer:
                    killer.wait()
                    server.process.wait()
                    break
    return confirmed


def assert_none_lost_and_none_doubled(run, confirmed):
    entries = [entry.model_dump() for _, entry in Journal(run.decisions).entries]
    ids = [entry["id"] for entry in entries]
    assert sorted(ids) == sorted(confirmed)
    for entry in entries:
        assert {name: entry[name] for name in confirmed[entry["id"]]} == confirmed[entry["id"]]
    assert len(run.decisions.read_bytes().splitlines()) == len(confirmed)
    return ids


def test_killing_the_server_loses_and_doubles_nothing(own_run, serve, identity):
    confirmed = decide_through_kills(own_run, serve, identity, steps=20, kills=1, seed=0)
    assert assert_none_lost_and_none_doubled(own_run, confirmed) == list(confirmed)


@pytest.mark.slow
def test_killing_the_server_often_loses_and_doubles_nothing(own_run, serve, identity):
    """`python tests/benchmarks/review.py kills` asks for 200 steps and 50 kills."""
    steps, kills = (int(os.environ.get(name, default)) for name, default in (("STEPS", 60), ("KILLS", 8)))
    confirmed = decide_through_kills(own_run, serve, identity, steps, kills, seed=1)
    print(f"{len(confirmed):,} decisions in {steps} steps, {kills} kills")
    assert_none_lost_and_none_doubled(own_run, confirmed)


def decide_at_once(run, serve, identity, decisions, kills):
    """Ten clients decide on a server that is killed amid their requests; returns what was confirmed, per decision."""
    clients, confirmed, pending = range(10), {}, [None] * 10
    chances = [random.Random(number) for number in clients]

    def decide(number, server, about, enough):
        while pending[number] or len(confirmed) < enough:
            step = pending[number] or random_step(chances[number], about["rows"], about["classes"], identity)
            pending[number] = step
            try:
                status, _, _ = server.ask(f"{server.base}api/decide", step)
            except (OSError, http.client.HTTPException):
                return  # sent again, to the next server
            assert status == 200
            confirmed.update({f"{step['id']}x{n}": one for n, one in enumerate(step["decisions"])})
            pending[number] = None

    for kill in range(1, kills + 2):
        with serve(run, "--all") as server, ThreadPoolExecutor(len(clients)) as pool:
            about = json.loads(server.ask(f"{server.base}api/session")[2])
            enough = decisions if kill > kills else math.inf
            deciding = [pool.submit(decide, number, server, about, enough) for number in clients]
            while kill <= kills and len(confirmed) < decisions * kill // (kills + 1):
                assert not any(one.done() for one in deciding)
                time.sleep(0.001)
            if kill <= kills:
                server.process.kill()
            for one in deciding:
                one.result()
    return confirmed


@pytest.mark.release
def test_killing_the_server_of_ten_clients_often_loses_and_doubles_nothing(own_run, serve, identity):
    decisions, kills = (int(os.environ.get(name, default)) for name, default in (("DECISIONS", 2000), ("KILLS", 100)))
    confirmed = decide_at_once(own_run, serve, identity, decisions, kills)
    assert len(confirmed) >= decisions
    assert_none_lost_and_none_doubled(own_run, confirmed)
