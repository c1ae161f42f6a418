"""A run that goes on: who may look at it, and that what is told is what the log says, however often one comes back."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import looked_at
import pytest

from mars2_env.errors import ConfigError
from mars2_env.view.live import ADDRESS, Live
from mars2_env.view.runs import all_made, open_run
from mars2_env.view.tail import Tail


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return looked_at.grown(tmp_path / "x", count=2, budget=5)


@pytest.fixture
def live(run: Path) -> Iterator[Live]:
    server = Live([open_run(run)])
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.close()
    thread.join()


def ask(live: Live, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(ADDRESS, live.server_port, timeout=30)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def status(live: Live, path: str, **headers: str) -> int:
    with closing(ask(live, path, **headers)) as answer:
        return answer.status


def messages(answer: http.client.HTTPResponse, count: int) -> list[tuple[str, str, Any]]:
    """The first so many messages of a stream: id, name, data."""
    found: list[tuple[str, str, Any]] = []
    fields: dict[str, str] = {}
    while len(found) < count:
        line = answer.readline().decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
            fields = {}
    return found


def tree_path(live: Live, place: int = 0) -> str:
    log = live.runs[0].lines()[place]["log"].replace("%", "%25")
    return f"/{live.token}/tree?run=0&log={log}"


def test_the_page_is_served_to_who_knows_the_token_alone(live: Live) -> None:
    assert status(live, f"/{live.token}/") == 200
    for path in (
        "/",
        "/x/",
        f"/{live.token[:-1]}/",
        f"/{live.token}x/",
        f"/{live.token}",
        f"/%2e%2e/{live.token}/",
        "/é/"[:1] + "a/",
    ):
        assert status(live, path) == 404


def test_it_listens_on_the_loopback_address_alone(live: Live) -> None:
    assert live.server_address[0] == "127.0.0.1"
    assert live.address == f"http://127.0.0.1:{live.server_port}/{live.token}/"
    assert len(live.token) >= 32


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_hosts_and_other_sites_are_refused(live: Live, headers: dict[str, str]) -> None:
    for path in (f"/{live.token}/", f"/{live.token}/runs", tree_path(live)):
        assert status(live, path, **headers) == 403


def test_its_own_origin_is_answered(live: Live) -> None:
    own = {"Origin": f"http://127.0.0.1:{live.server_port}", "Sec_Fetch_Site": "same-origin"}
    assert status(live, f"/{live.token}/", **own) == 200
    assert status(live, f"/{live.token}/", Host=f"localhost:{live.server_port}") == 200


def test_answers_carry_the_policy_and_are_kept_nowhere(live: Live) -> None:
    with closing(ask(live, f"/{live.token}/")) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("log", ["..%2F..%2Fetc%2Fpasswd", "run.json", "", "%00", "x.jsonl"])
def test_no_file_is_read_but_logs_of_the_run(live: Live, log: str) -> None:
    with closing(ask(live, f"/{live.token}/tree?run=0&log={log}")) as answer:
        assert answer.read() == b""
    assert status(live, f"/{live.token}/tree?run=9&log={log}") == 404
    assert status(live, f"/{live.token}/../run.json") == 404


def test_only_reading_is_answered(live: Live) -> None:
    connection = http.client.HTTPConnection(ADDRESS, live.server_port, timeout=30)
    connection.request("POST", f"/{live.token}/", b"x")
    with closing(connection.getresponse()) as answer:
        assert answer.status == 501


def test_a_tree_is_told_as_it_is_in_the_file(live: Live, run: Path) -> None:
    made = next(all_made(open_run(run)))
    with closing(ask(live, tree_path(live))) as answer:
        (_, first, head), (number, second, more) = messages(answer, 2)
    assert (first, second) == ("head", "more")
    assert head["problem"] == json.loads(json.dumps(made.tree["problem"]))
    assert more["records"] == json.loads(json.dumps(made.tree["events"]))
    assert more["traces"] == json.loads(json.dumps(made.tree["traces"]))
    log = run / "trees" / made_log(live)
    assert number == f"0-{log.stat().st_size}"


def made_log(live: Live) -> str:
    found: str = live.runs[0].lines()[0]["log"]
    return found


def test_the_id_of_a_message_is_the_byte_of_the_log_behind_which_a_lost_connection_goes_on(
    live: Live, run: Path
) -> None:
    lines = (run / "trees" / made_log(live)).read_bytes().splitlines(keepends=True)
    for known in (1, 4, len(lines) - 1):
        last = f"0-{sum(map(len, lines[:known]))}"
        with closing(ask(live, tree_path(live), Last_Event_ID=last)) as answer:
            ((_, name, more),) = messages(answer, 1)
        assert name == "more"
        assert len(more["records"]) == len(lines) - known


def test_what_is_appended_is_told_and_what_is_half_written_is_not(live: Live, run: Path) -> None:
    log = run / "trees" / made_log(live)
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:4]) + lines[4][:30])
    with closing(ask(live, tree_path(live))) as answer:
        _, (_, _, more) = messages(answer, 2)
        assert len(more["records"]) == 3
        with log.open("ab") as file:
            file.write(lines[4][30:] + lines[5])
        ((_, _, more),) = messages(answer, 1)
        assert len(more["records"]) == 2


def test_a_log_that_got_shorter_is_told_anew(run: Path) -> None:
    log = sorted((run / "trees").glob("*.jsonl"))[0]
    lines = log.read_bytes().splitlines(keepends=True)
    tail = Tail(log, open_run(run).records)
    assert tail.poll()
    assert len(tail.told) == len(lines) - 1
    log.write_bytes(b"".join(lines[:5]))
    assert tail.poll()
    assert (len(tail.told), tail.number) == (4, 1)
    assert tail.after(0) == tail.told
    assert not tail.poll()


def test_a_log_that_is_damaged_is_told_as_far_as_it_goes(run: Path) -> None:
    log = sorted((run / "trees").glob("*.jsonl"))[0]
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:4], b"nonsense\n", *lines[4:]]))
    tail = Tail(log, open_run(run).records)
    tail.poll()
    assert len(tail.told) == 3
    assert "line 5: not an event" in tail.trouble["log"]


def test_a_run_that_has_just_begun_is_shown_when_its_first_tree_is_there(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with closing(Live([open_run(tmp_path / "x", begun=False)])) as live:
        thread = Thread(target=live.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        with closing(ask(live, f"/{live.token}/runs")) as answer:
            ((_, name, first),) = messages(answer, 1)
            assert (name, first["about"]["set"]) == ("run", "")
            looked_at.grown(tmp_path / "x", count=1, budget=3)
            line = until_ended(answer)
        assert line["nodes"] == 3
        assert live.runs[0].about()["set"] == "words"
        with closing(ask(live, tree_path(live))) as answer:
            _, (_, _, more) = messages(answer, 2)
        assert "prompt" in more["records"][0]


def until_ended(answer: http.client.HTTPResponse) -> dict[str, Any]:
    """The line of the first tree whose end is told of."""
    while True:
        ((_, name, data),) = messages(answer, 1)
        if name == "trees" and data["trees"][0]["ended"] is not None:
            found: dict[str, Any] = data["trees"][0]
            return found


def test_damage_is_told_as_it_comes(live: Live, run: Path) -> None:
    log = run / "trees" / made_log(live)
    with closing(ask(live, tree_path(live))) as answer:
        messages(answer, 2)
        with log.open("ab") as file:
            file.write(b"nonsense\n")
        ((_, _, more),) = messages(answer, 1)
    assert more["records"] == []
    assert "the log is damaged" in more["trouble"]["log"]


def test_the_command_serves_until_it_is_interrupted(run: Path) -> None:
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # background jobs ignore it
    program = f"{heard}; from mars2_env.cli import main; main()"
    command = [sys.executable, "-c", program, "view", str(run), "--live", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        address = urlsplit(process.stdout.readline().split()[-1])
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
        connection.request("GET", address.path)
        with closing(connection.getresponse()) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert "interrupted; nothing was written" in process.stderr.read()


def test_a_port_that_is_taken_is_refused(live: Live, run: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be listened on"):
        Live([open_run(run)], live.server_port)
