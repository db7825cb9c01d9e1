"""Downloads from a real HTTP server on this machine that misbehaves in the known ways."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from http_server import BODY, Handler, in_turn, ranged, slow, status, whole

from bench.files import UserError
from bench.sources import transfer
from bench.sources.fetch import FetchError, fetch, fetch_all
from bench.sources.part_file import open_part
from bench.sources.source import Fetched, Source

ROOT = Path(__file__).resolve().parent.parent
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def get(tmp_path: Path) -> Iterator[Callable[..., Fetched]]:
    """fetch() into tmp_path/clip.bin, without proxies and without waiting."""
    with httpx.Client(trust_env=False, timeout=5, follow_redirects=True) as client:

        def run(*urls: str, size: int | None = len(BODY), sha256: str | None = SHA, **options):
            options = {"tries": 3, "pause": lambda seconds: None, "client": client} | options
            return fetch(Source(urls, size, sha256), tmp_path / "clip.bin", **options)

        yield run


def assert_right(tmp_path: Path) -> None:
    assert [path.name for path in tmp_path.iterdir()] == ["clip.bin"]
    assert (tmp_path / "clip.bin").read_bytes() == BODY


def test_whole_file_then_nothing_more(server, get, tmp_path):
    url = server.url("/a", ranged())
    seen: list[int] = []
    assert get(url, on_bytes=seen.append).received == sum(seen) == len(BODY)
    assert_right(tmp_path)
    assert get(url).received == 0
    assert len(server.requests) == 1


def test_cut_connections_resume_without_sending_a_byte_twice(server, get, tmp_path):
    get(server.url("/a", ranged(cut=130_000)))
    assert_right(tmp_path)
    assert server.sent == len(BODY)
    assert [span for _, span in server.requests] == [
        None, *(f"bytes={n}-" for n in range(130_000, 600_000, 130_000))
    ]  # fmt: skip


def test_a_later_process_continues_the_part(server, get, tmp_path):
    (tmp_path / "clip.bin.part").write_bytes(BODY[:400_000])
    assert get(server.url("/a", ranged())).received == 200_000
    assert_right(tmp_path)


def test_a_foreign_part_is_thrown_away_once(server, get, tmp_path):
    (tmp_path / "clip.bin.part").write_bytes(bytes(400_000))
    assert get(server.url("/a", ranged())).received == 200_000 + len(BODY)
    assert_right(tmp_path)


def test_a_part_survives_a_mirror_that_lacks_the_file(server, get, tmp_path):
    (tmp_path / "clip.bin.part").write_bytes(BODY[:400_000])
    got = get(server.url("/none", status(404)), server.url("/a", ranged()))
    assert got.received == 200_000


def test_a_part_that_is_too_long_is_thrown_away(server, get, tmp_path):
    (tmp_path / "clip.bin.part").write_bytes(BODY + b"x")
    assert get(server.url("/a", ranged())).received == len(BODY)


def test_range_answered_by_the_whole_file(server, get, tmp_path):
    url = server.url("/a", in_turn(whole(cut=100_000), whole()))
    assert get(url).received == 100_000 + len(BODY)
    assert_right(tmp_path)


@pytest.mark.parametrize("span", ["bytes 0-599999/600000", "bytes */600000", "nonsense", ""])
def test_wrong_range_answers_start_anew(server, get, tmp_path, span):
    def wrong(handler: Handler) -> None:
        handler.send(BODY, status=206, Content_Range=span)

    get(server.url("/a", in_turn(whole(cut=100_000), wrong, whole())))
    assert_right(tmp_path)


def test_next_mirror_after_404_wrong_bytes_and_lies(server, get, tmp_path):
    got = get(
        server.url("/none", status(404)),
        server.url("/page", whole(b"<html>log in</html>")),
        server.url("/wrong", ranged(BODY[:-1] + b"!")),
        server.url("/good", ranged()),
    )
    assert_right(tmp_path)
    assert got.sha256 == SHA
    assert [path for path, _ in server.requests] == ["/none", "/page", "/wrong", "/good"]


def test_the_error_names_every_source_and_hides_credentials(server, get, tmp_path):
    url = server.url("/wrong", ranged(bytes(len(BODY)))).replace("//", "//me:secret@") + "?key=1"
    server.answers["/wrong?key=1"] = server.answers["/wrong"]
    with pytest.raises(
        FetchError, match=r"(?s)/none: 404 Not Found; .*/wrong: wrong bytes"
    ) as info:
        get(server.url("/none", status(404)), url)
    assert "secret" not in str(info.value)
    assert "key" not in str(info.value)
    assert not (tmp_path / "clip.bin").exists()


@pytest.mark.parametrize("declared", [len(BODY) + 1000, len(BODY) - 1000, 10**15])
def test_a_declared_length_that_lies_is_refused_before_the_body(server, get, tmp_path, declared):
    with pytest.raises(FetchError, match=rf"declares {declared:,} bytes where 600,000"):
        get(server.url("/a", whole(declared=declared)))


def test_a_body_shorter_than_declared_fails_after_bounded_tries(server, get, tmp_path):
    url = server.url("/a", whole(BODY[:1000], declared=len(BODY)))
    with pytest.raises(FetchError, match="3 tries"):
        get(url)
    assert len(server.requests) == 3


@pytest.mark.parametrize(("body", "said"), [(BODY + b"x", "more than"), (BODY[:-9], "ended after")])
def test_without_a_declared_length_the_published_size_holds(server, get, body, said):
    with pytest.raises(FetchError, match=said):
        get(server.url("/a", whole(body, declared=None)))


def test_a_throttled_server_is_waited_for(server, get, tmp_path):
    get(server.url("/a", slow(pause_s=0.02)))
    assert_right(tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_stalls_is_asked_for_the_rest(server, get, tmp_path):
    with httpx.Client(trust_env=False, timeout=0.25) as impatient:
        got = get(server.url("/a", in_turn(slow(pause_s=1.0), ranged())), client=impatient)
    assert_right(tmp_path)
    assert got.received == len(BODY)
    assert [span for _, span in server.requests] == [None, "bytes=60000-"]


def test_busy_server_is_asked_again_after_the_time_it_names(server, get, tmp_path):
    pauses: list[float] = []
    busy = status(503, Retry_After="7")
    get(server.url("/a", in_turn(busy, busy, ranged())), pause=pauses.append)
    assert_right(tmp_path)
    assert pauses == [7.0, 7.0]


def test_back_off_grows_and_ends(server, get):
    pauses: list[float] = []
    with pytest.raises(FetchError, match="503"):
        get(server.url("/a", status(503)), pause=pauses.append, tries=6)
    assert len(pauses) == 5
    assert all(later > 0.99 * earlier for earlier, later in pairwise(pauses))
    assert 8 <= pauses[-1] <= 16


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "ftp://127.0.0.1/x", "http://", "no url"])
def test_unreachable_or_senseless_addresses_are_clear_errors(get, url):
    with pytest.raises(FetchError, match=r"clip\.bin: no source gave it"):
        get(url)


def test_redirects_are_followed_and_loops_end(server, get, tmp_path):
    loop = server.url("/loop", status(302, Location="/loop"))
    hop = server.url("/hop", status(302, Location="/a"))
    server.url("/a", ranged())
    get(loop, hop)
    assert_right(tmp_path)


def test_without_checksum_only_an_unchanged_version_is_continued(server, get, tmp_path):
    new = b"n" * 500_000

    def changed(handler: Handler) -> None:  # the file was replaced: If-Range gets all of it
        assert handler.headers["If-Range"] == '"old"'
        handler.send(new, ETag='"new"')

    url = server.url("/a", in_turn(ranged(cut=200_000, ETag='"old"'), changed))
    got = get(url, size=None, sha256=None)
    assert (tmp_path / "clip.bin").read_bytes() == new
    assert got.sha256 == hashlib.sha256(new).hexdigest()


def test_without_checksum_the_same_version_is_continued(server, get, tmp_path):
    get(server.url("/a", ranged(cut=200_000, ETag='"v1"')), size=None, sha256=None)
    assert_right(tmp_path)
    assert server.sent == len(BODY)


def test_without_checksum_or_version_nothing_is_continued(server, get, tmp_path):
    (tmp_path / "clip.bin.part").write_bytes(bytes(400_000))
    assert get(server.url("/a", ranged()), size=None, sha256=None).received == len(BODY)


def test_complete_part_of_unknown_size_is_recognised(server, get, tmp_path):
    (tmp_path / "clip.bin.part").write_bytes(BODY)
    assert get(server.url("/a", ranged()), size=None).received == 0
    assert_right(tmp_path)


def test_damaged_destination_is_fetched_again(server, get, tmp_path):
    (tmp_path / "clip.bin").write_bytes(bytes(len(BODY)))
    assert get(server.url("/a", ranged())).received == len(BODY)
    assert_right(tmp_path)


def test_too_little_space_is_said_before_the_first_request(server, tmp_path):
    sources = {tmp_path / f"{n}": Source((server.url("/a", ranged()),), 10**15, SHA) for n in "ab"}
    client = httpx.Client(trust_env=False)
    with client, pytest.raises(UserError, match="2,000,000,000 MB are to be fetched"):
        fetch_all(sources, client=client)
    assert not server.requests


def test_a_folder_that_cannot_be_made_is_a_clear_error(get, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        fetch(Source(("http://127.0.0.1:1/x",)), tmp_path / "file" / "x")


def test_two_processes_do_not_write_one_file(server, get, tmp_path):
    with (
        open_part(tmp_path / "clip.bin"),
        pytest.raises(FetchError, match="another process"),
    ):
        get(server.url("/a", ranged()))
    get(server.url("/a", ranged()))
    assert_right(tmp_path)


def test_several_files_and_one_failure(server, tmp_path):
    wanted = {
        tmp_path / "good": Source((server.url("/a", ranged(cut=250_000)),), len(BODY), SHA),
        tmp_path / "bad": Source((server.url("/none", status(410)),)),
        tmp_path / "also": Source((server.url("/b", ranged()),), sha256=SHA),
    }
    with httpx.Client(trust_env=False) as client:
        outcomes = fetch_all(wanted, client=client)
    assert isinstance(outcomes[tmp_path / "bad"], FetchError)
    assert (tmp_path / "good").read_bytes() == (tmp_path / "also").read_bytes() == BODY
    assert outcomes.keys() == wanted.keys()


@pytest.mark.parametrize(
    ("values", "said"),
    [(((), 1, SHA), "URL"), ((("u",), -1, SHA), "-1 bytes"), ((("u",), 1, "F" * 64), "FF")],
)
def test_senseless_sources_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        Source(*values)


def test_an_encoding_that_nobody_asked_for_is_refused(server, get, tmp_path):
    url = server.url("/a", ranged(gzip.compress(BODY), Content_Encoding="gzip"))
    with pytest.raises(FetchError, match="sends it encoded \\(gzip\\)"):
        get(url, size=None, sha256=None)
    assert not (tmp_path / "clip.bin").exists()


def test_a_server_that_drips_is_given_up(server, get, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "PATIENCE_S", 0.2)
    with pytest.raises(FetchError, match=r"2 tries, the last: [\d,]+ bytes in \d s"):
        get(server.url("/a", slow(0.05, piece=10)), tries=2)


FETCH = """
import sys
from pathlib import Path

from bench.__main__ import main
import bench.__main__, bench.data.obtain
from bench.sources.fetch import fetch_all, new_client
from bench.sources.source import Source

def run(args):
    print("begun", flush=True)
    fetch_all({Path(path): Source((url,))}, client=new_client())
    return 0

bench.data.obtain.run = run
path, url = sys.argv[1:]
sys.argv = ["bench", "fetch", "any"]
sys.exit(main())
"""


@pytest.mark.parametrize("answer", [status(503, Retry_After="60"), slow(50.0, piece=1)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_fetch_that_waits_ends_at_once_when_told_to(server, tmp_path, answer, number):
    url = server.url("/a", answer)
    command = [sys.executable, "-c", FETCH, str(tmp_path / "clip.bin"), url]
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    while not server.requests:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=5) == 128 + number
