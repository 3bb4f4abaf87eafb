"""The picture of a trace: it fits, it is plain in a pipe, and nothing in it can harm a terminal."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from microweb.tracing.format import KINDS, Trace
from microweb.tracing.terminal import Picture, console_for, show
from microweb.tracing.terminal.strokes import ASCII, UNICODE, Pen

from .tracing_samples import SAMPLES, Story, endless, hostile

WIDTHS = (60, 75, 76, 80, 100, 120, 140, 160, 200)
NO_SEAM = st.characters(exclude_characters="┃╂")
HOSTILE = (
    "\x1b[31mred",
    "\x9b2J",
    "[bold]b[/bold]",
    "你好" * 40,
    "\u202etxt",
    "❤\ufe0f\u200d",
    "\t\r\n",
)


def drawn(trace: Trace, width: int = 80, encoding: str = "utf-8") -> list[str]:
    """The lines of a picture, as they arrive in a file."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    show(trace, Console(file=file, width=width))
    file.seek(0)
    return file.read().split("\n")


def check(trace: Trace, width: int) -> list[str]:
    """That a picture fits, and that from its head to its end the seam is one straight line."""
    lines = drawn(trace, width)
    assert max(map(cell_len, lines)) <= width
    for start in [index for index, line in enumerate(lines) if HEAD.search(line)]:
        end = lines.index("", start)
        assert len({columns_of_seam(line) for line in lines[start:end]}) == 1
    return lines


HEAD = re.compile("SERVER +┃|w s ┃ f ")


def columns_of_seam(line: str) -> tuple[int, ...]:
    return tuple(cell_len(line[: each.start()]) for each in re.finditer("[┃╂]", line))


@pytest.mark.parametrize("width", WIDTHS)
def test_each_picture_fits_and_its_seam_is_one_straight_line(width: int) -> None:
    for trace in SAMPLES.values():
        check(trace, width)


@given(st.text(NO_SEAM, max_size=60) | st.sampled_from(HOSTILE), st.integers(60, 200))
def test_no_text_breaks_the_picture_or_reaches_the_terminal(text: str, width: int) -> None:
    lines = check(hostile(text), width)
    assert all(line.isprintable() for line in lines)


def test_no_markup_is_obeyed() -> None:
    assert "[bold]b[/bold]" in "\n".join(drawn(hostile("[bold]b[/bold]"), 200))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_drawn(kind: str) -> None:
    story = Story()
    for direction in ("in", "out"):
        story.tell(kind, direction=direction)
    assert len(check(story.trace, 80)) > 5


@pytest.mark.parametrize(("name", "picture"), [("wsgi", 0), ("both", 1)])
def test_the_whole_story(name: str, picture: int) -> None:
    assert drawn(SAMPLES[name])[3:-3] == PICTURES[picture].strip("\n").split("\n")


PICTURES = (
    r"""
GET /caf%C3%A9
   ms WIRE   SERVER                           ┃   FRAMEWORK
  0.0 ──▶ connects from port 51234            ┃
  0.1 ──▶ GET /caf%C3%A9 HTTP/1.1             ┃
          Host, Accept, User-Agent            ┃
  0.6        app(environ, start_response) ────╂─▶ thread MainThread
               REQUEST_METHOD  'GET'          ┃
               PATH_INFO       '/cafÃ©'       ┃
                 as Latin-1 (PEP 3333)        ┃
               31 more keys                   ┃
  0.7                                         ┃   Request GET '/café'
  0.8                                         ┃   in through timing
  0.9                                         ┃    match /{word}  word='café'
  1.0                                         ┃    word(request, word='café')
                                              ┃      returns 'Hello, café!'
                                              ┃      in the server's thread
  1.1                                         ┃   out of timing  200
  1.2                                         ┃   Response 200, 13 bytes
  1.3        ◀── '200 OK' ────────────────────╂── start_response(...)
                                              ┃     content-type, content-length
  1.4        app(...) ◀┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╂┄┄ returns a list of 1 item
  1.5        iter(...) ◀┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╂┄┄ a list_iterator
             next() ◀┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╂┄┄ b'Hello, caf\xc3\xa9!'
  1.6 ◀── HTTP/1.1 200 OK                     ┃
          the server's own: Server, Date,     ┃
            Connection                        ┃
          body b'Hello, caf\xc3\xa9!'         ┃
             next() ◀┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄╂┄┄ StopIteration, the end
  1.7        close() ─────────────────────────╂─▶

200 OK in 1.7 ms. The server called app, iter, next (twice) and close; the
  application called start_response.
""",
    r"""
GET /caf%C3%A9
w s ┃ f wire, server, framework          w s ┃ f wire, server, framework
─▶  ┃   connects from port 51234         ─▶  ┃   connects from port 51234
─▶  ┃   GET /caf%C3%A9 HTTP/1.1          ─▶  ┃   GET /caf%C3%A9 HTTP/1.1
    ┃     Host, Accept, User-Agent           ┃     Host, Accept, User-Agent
  ──╂─▶ app(environ, start_response)       ──╂─▶ await app(scope, receive, send)
    ┃     REQUEST_METHOD  'GET'              ┃     type    'http'
    ┃     PATH_INFO       '/cafÃ©'           ┃     method  'GET'
    ┃       as Latin-1 (PEP 3333)            ┃     path    '/café'
    ┃     31 more keys                       ┃     8 more keys
    ┃     thread MainThread                  ┃     Task-3 on MainThread's loop
    ┃ • Request GET '/café'                  ┃ • Request GET '/café'
    ┃ • in through timing                    ┃ • in through timing
    ┃ •  match /{word}  word='café'          ┃ •  match /{word}  word='café'
    ┃ •  word(request, word='café')          ┃ •  word(request, word='café')
    ┃      returns 'Hello, café!'            ┃      returns 'Hello, café!'
    ┃      in the server's thread            ┃      thread microweb_0; the loop
    ┃                                        ┃        goes on
    ┃ • out of timing  200                   ┃ • out of timing  200
    ┃ • Response 200, 13 bytes               ┃ • Response 200, 13 bytes
  ◀─╂── start_response(...)  '200 OK'      ◀─╂── send(http.response.start)  200
    ┃     content-type, content-length       ┃     content-type, content-length
  ◀┄╂┄┄ app(...)                             ┃
    ┃     returns a list of 1 item           ┃
    ┃                                    ◀─  ┃   HTTP/1.1 200 OK
    ┃                                        ┃     the server's own: Server,
    ┃                                        ┃       Date, Connection
  ◀┄╂┄┄ iter(...) -> a list_iterator         ┃
  ◀┄╂┄┄ next()                             ◀─╂── send(http.response.body)
    ┃     b'Hello, caf\xc3\xa9!'             ┃     b'Hello, caf\xc3\xa9!'
◀─  ┃   HTTP/1.1 200 OK                      ┃
    ┃     the server's own: Server,          ┃
    ┃       Date, Connection                 ┃
    ┃     body b'Hello, caf\xc3\xa9!'        ┃
  ◀┄╂┄┄ next()                               ┃
    ┃     StopIteration, the end             ┃
    ┃                                    ◀─  ┃   body  b'Hello, caf\xc3\xa9!'
  ──╂─▶ close()                            ◀┄╂┄┄ await app(...) -> returns

200 OK in 1.7 ms. The server called      200 OK in 1.8 ms. The server called
  app, iter, next (twice) and close;       app; the application called send
  the application called                   (twice).
  start_response.
Both answer 200 OK: WSGI in 6 calls over the seam, ASGI in 3.
""",
)


def test_both_sides_of_the_seam_keep_to_their_side() -> None:
    lines = drawn(SAMPLES["wsgi"])
    [call] = [line for line in lines if "app(environ, start_response)" in line]
    assert re.search(r"app\(environ, start_response\) ─+╂─▶ thread MainThread", call)
    [start] = [line for line in lines if "start_response(...)" in line]
    assert re.search(r"◀── '200 OK' ─+╂── start_response\(\.\.\.\)", start)
    [chunk] = [line for line in lines if "b'Hello" in line and "next" in line]
    assert re.search(r"next\(\) ◀┄+╂┄┄ b'Hello", chunk)


def test_what_a_call_of_the_application_gives_back_goes_in() -> None:
    lines = drawn(SAMPLES["upload asgi"])
    assert any(re.search(r"http.request b'three' ┄+╂┄▶ receive\(\)", line) for line in lines)


def test_two_runs_side_by_side() -> None:
    lines = drawn(SAMPLES["both"])
    assert lines[0].split("  ")[0] == "WSGI: gunicorn 27.0.1"
    assert lines[0].endswith("ASGI: uvicorn 0.54.0")
    [row] = [line for line in lines if "app(environ, start_response)" in line]
    assert row.endswith("await app(scope, receive, send)")
    [row] = [line for line in lines if "iter(...)" in line]
    assert row.endswith(" ┃")
    assert "Both answer 200 OK: WSGI in 6 calls over the seam, ASGI in 3." in lines


def test_one_of_two_runs_may_have_more_requests_or_none() -> None:
    story = Story()
    story.ask()
    story.answer()
    story.begin("asgi")
    lines = check(story.trace, 80)
    assert lines[-3].startswith("─▶ call") or "200 OK in" in "\n".join(lines)
    assert "No request was seen." in drawn(Story().trace)
    empty = Story()
    empty.begin("asgi")
    assert "No request was seen." in drawn(empty.trace)


def test_more_room_shows_more() -> None:
    narrow, wide = "\n".join(drawn(SAMPLES["wsgi"], 80)), "\n".join(drawn(SAMPLES["wsgi"], 160))
    assert "Host, Accept, User-Agent" in narrow
    assert "Host: 127.0.0.1:8000" in wide
    assert "Host: " not in narrow


def test_thousands_of_events_are_a_short_picture() -> None:
    assert len(drawn(endless("asgi", 3000))) < 45


# --- where it is printed -------------------------------------------------------------------------


def test_it_is_plain_in_a_pipe_and_of_a_width_that_does_not_change(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns, width in ((None, 80), ("120", 120), ("many", 80), ("0", 80)):
        if columns is None:
            monkeypatch.delenv("COLUMNS", raising=False)
        else:
            monkeypatch.setenv("COLUMNS", columns)
        show(SAMPLES["raises"])
        text = capsys.readouterr().out
        assert "\x1b" not in text
        assert text.split("\n") == drawn(SAMPLES["raises"], width)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_colours_on_a_screen_unless_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen()
    show(SAMPLES["raises"], console_for(screen))
    assert "\x1b[1;31m" in screen.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    show(SAMPLES["raises"], console_for(screen))
    assert "\x1b[1;31m" not in screen.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("width", [60, 80, 160])
def test_other_strokes_where_an_encoding_has_not_the_fine_ones(encoding: str, width: int) -> None:
    for name in ("both", "hostile", "websocket"):
        lines = drawn(SAMPLES[name], width, encoding)
        assert max(map(cell_len, lines)) <= width
    assert ("café" in "\n".join(drawn(SAMPLES["asgi"], 80, encoding))) == (encoding != "ascii")


def test_the_plainest_strokes() -> None:
    lines = drawn(SAMPLES["wsgi"], 80, "ascii")
    assert any(re.search(r"app\(environ, start_response\) -+\+-> thread", line) for line in lines)
    assert any(re.search(r"next\(\) <\.+\+\.\. StopIteration", line) for line in lines)
    assert Pen.for_encoding("utf-8").strokes is UNICODE
    assert Pen.for_encoding("no such encoding").strokes is ASCII
    assert Pen.for_encoding("no such encoding").safe("é") == r"\xe9"


def test_it_can_be_part_of_something_else() -> None:
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(Picture(SAMPLES["both"]))
    assert "WSGI: gunicorn" in console.export_text()
