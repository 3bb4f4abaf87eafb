"""Steps: what a trace tells of an exchange, and how two exchanges stand on common rows."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb.tracing.format import KINDS, Origin, Provenance, Trace
from microweb.tracing.steps import Exchange, Step, Words, align, aside, compared, exchanges
from microweb.tracing.steps.values import written

from .tracing_samples import (
    SAMPLES,
    Story,
    endless,
    hostile,
    octets,
    ordinary,
    raises_late,
    twice,
    upload,
)


def only(trace: Trace, run: int = 0) -> Exchange:
    [exchange] = exchanges(trace, run)
    return exchange


def keys(trace: Trace, run: int = 0) -> list[str]:
    return [step.key for step in only(trace, run).steps]


def step_of(trace: Trace, key: str) -> Step:
    return next(step for step in only(trace).steps if step.key == key)


def texts(step: Step) -> list[str]:
    return [detail.text for detail in step.words.details]


# --- calls and returns ---------------------------------------------------------------------------


def test_a_wsgi_exchange_in_steps() -> None:
    assert keys(SAMPLES["wsgi"]) == [
        "connect",
        "request bytes",
        "call application",
        "request made",
        "in through timing",
        "match",
        "handler",
        "out of timing",
        "response",
        "start response",
        "iterable",
        "iterate",
        "body chunk",
        "response bytes",
        "end of body",
        "application done",
    ]


def test_an_asgi_exchange_in_steps() -> None:
    assert keys(SAMPLES["asgi"])[9:] == [
        "start response",
        "response bytes",
        "body chunk",
        "response body",
        "application done",
    ]


def test_a_call_whose_return_says_nothing_is_one_step() -> None:
    step = step_of(SAMPLES["wsgi"], "start response")
    assert (step.stroke, step.direction, step.duration) == ("call", "out", 5_000)
    assert step.words.title == "start_response(...)"
    assert step.words.value == "'200 OK'"


def test_a_call_and_what_it_gives_back_are_one_step_where_nothing_happened_between() -> None:
    step = step_of(SAMPLES["wsgi"], "body chunk")
    assert (step.stroke, step.direction, step.duration) == ("return", "out", 20_000)
    assert (step.words.title, step.words.value) == ("next()", r"b'Hello, caf\xc3\xa9!'")


def test_a_call_stands_alone_where_something_happened_before_its_return() -> None:
    assert keys(upload("asgi"))[4:8] == ["ask for body", "continue", "request body", "read body"]


def test_what_the_wire_shows_late_does_not_part_a_call_from_its_return() -> None:
    story = Story()
    story.tell("next.call")
    story.go("the chunk before")
    story.tell("next.return", bytes=octets("this chunk"))
    assert keys(story.trace) == ["response body", "body chunk"]


def test_returns_go_to_the_call_of_their_own_task() -> None:
    story = Story("asgi")
    ours, theirs = story.where, {**story.where, "task": "Task-9"}
    story.tell("receive.call")
    story.where = theirs
    story.tell("receive.call")
    story.where = ours
    story.tell("receive.return", 5000, message={"type": "http.request", "body": octets("a")})
    [_, second, answer] = only(story.trace).steps
    assert answer.duration == 5_100_000
    assert second.duration == 0


def test_times_begin_with_the_exchange() -> None:
    assert [step.time for step in only(SAMPLES["wsgi"]).steps][:3] == [0, 100_000, 600_000]


def test_steps_within_a_layer_are_deeper() -> None:
    depths = {step.key: step.depth for step in only(SAMPLES["wsgi"]).steps}
    assert depths["in through timing"] == depths["out of timing"] == depths["response"] == 0
    assert depths["match"] == depths["handler"] == 1


# --- what they say -------------------------------------------------------------------------------


def test_one_path_as_each_side_knows_it() -> None:
    assert step_of(SAMPLES["wsgi"], "request bytes").words.title == "GET /caf%C3%A9 HTTP/1.1"
    environ = texts(step_of(SAMPLES["wsgi"], "call application"))
    assert environ[:4] == [
        "REQUEST_METHOD  'GET'",
        "PATH_INFO       '/cafÃ©'",
        "  as Latin-1 (PEP 3333)",
        "31 more keys",
    ]
    assert "path    '/café'" in texts(step_of(SAMPLES["asgi"], "call application"))
    assert step_of(SAMPLES["asgi"], "handler").words.title == "word(request, word='café')"


def test_how_a_value_came_from_the_wire_where_there_is_room() -> None:
    trace = ordinary("wsgi")
    origin = Origin("environ", "PATH_INFO", "wire", [(4, 14)], "percent-decoded")
    trace.provenance.append(Provenance(0, 1, 1, [origin]))
    details = step_of(trace, "call application").words.details[2:4]
    assert [(detail.text, detail.room) for detail in details] == [
        ("  as Latin-1 (PEP 3333)", "narrow"),
        ("  percent-decoded", "wide"),
    ]


def test_where_the_handler_ran() -> None:
    assert texts(step_of(SAMPLES["wsgi"], "call application"))[4] == "thread MainThread"
    assert texts(step_of(SAMPLES["wsgi"], "handler")) == ["in the server's thread"]
    assert texts(step_of(SAMPLES["asgi"], "handler")) == ["thread microweb_0; the loop goes on"]


def test_a_handler_on_a_loop_keeps_the_thread_of_wsgi_waiting() -> None:
    story = Story()
    story.call()
    story.where = {**story.where, "thread": "microweb-loop", "task": "Task-1"}
    story.tell("handler.call", handler="word", arguments={})
    story.tell("handler.return", 30_000, handler="word", type="str", value="a")
    assert texts(step_of(story.trace, "handler")) == [
        "Task-1 on microweb-loop's loop; the server's thread waits",
        "took 30.0 ms",
    ]


def test_the_headers_that_are_the_servers_own() -> None:
    [*_, own, body] = texts(step_of(SAMPLES["wsgi"], "response bytes"))
    assert own == "the server's own: Server, Date, Connection"
    assert body == r"body b'Hello, caf\xc3\xa9!'"


@pytest.mark.parametrize(
    ("protocol", "said"),
    [("wsgi", "blocked its thread 300 ms"), ("asgi", "suspended its task 100 ms")],
)
def test_who_waits_for_a_body(protocol: Any, said: str) -> None:
    assert said in texts(step_of(upload(protocol), "read body"))


def test_a_foreign_framework_is_dark_and_that_is_said_once() -> None:
    dark = [step for step in only(SAMPLES["dark"]).steps if step.key == "inside"]
    assert [step.words.title for step in dark] == ["Flask is not instrumented: inside is dark"]
    assert "inside" not in keys(SAMPLES["wsgi"])


def test_what_the_server_keeps_for_itself() -> None:
    assert keys(SAMPLES["alone"]) == ["request body", "server alone", "response bytes"]
    assert "the application was not called" in only(SAMPLES["alone"]).summary


def test_an_exception_that_crosses_the_seam() -> None:
    step = step_of(SAMPLES["raises"], "app raises")
    assert (step.words.tone, step.words.value) == ("problem", "raises ValueError: no such thing")
    assert texts(step) == ["It left the application: the server must answer."]
    late = step_of(raises_late(), "next raises")
    assert texts(late) == ["The status is out: the server can only cut the connection."]


def test_a_client_that_leaves() -> None:
    assert "before the end: the rest has no taker" in texts(
        step_of(SAMPLES["left early"], "application done")
    )
    assert "the client has left" in texts(step_of(SAMPLES["left asgi"], "client left"))
    for name in ("left", "left asgi"):
        assert "the client left before the end" in only(SAMPLES[name]).summary


def test_a_disconnect_after_the_answer_is_nothing_to_mention() -> None:
    story = Story("asgi")
    story.ask()
    story.answer()
    story.receive("http.disconnect")
    assert texts(step_of(story.trace, "client left")) == []
    assert only(story.trace).summary.startswith("200 OK in ")


def test_a_file_is_not_seen_at_the_seam() -> None:
    said = "It is the server's own: no chunk of the file crosses the seam."
    assert said in texts(step_of(SAMPLES["file"], "iterable"))


def test_bytes_written_at_once_are_one_step_and_a_new_message_is_another() -> None:
    story = Story()
    story.go("HTTP/1.1 100 Continue\r\n\r\n")
    story.go("HTTP/1.1 200 OK\r\n\r\n")
    story.go("hel")
    story.go("lo")
    story.go("later", 50_000)
    steps = only(story.trace).steps[1:]
    assert [step.key for step in steps] == ["continue", "response bytes", "response body"]
    assert texts(steps[1]) == ["", "body b'hello'"]


def test_bytes_of_which_the_trace_holds_only_the_first() -> None:
    story = Story()
    value = {"$bytes": "HTTP/1.1 200 OK\r\n\r\nab", "size": 5000}
    story.tell("bytes", direction="out", connection=1, bytes=value)
    story.go("c")
    assert texts(only(story.trace).steps[1])[-1] == "body 4,981 bytes b'ab'"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"$bytes": "caf\xe9", "size": 4}, r"b'caf\xe9'"),
        ({"$bytes": "ab", "size": 9000}, "9,000 bytes b'ab'"),
        ({"$text": "ab", "length": 9000}, "9,000 characters 'ab'"),
        ({"$text": "***", "length": 3, "masked": True}, "'***'"),
        ({"$type": "io.BufferedReader"}, "<io.BufferedReader>"),
        (["a", {"$more": 12}], "['a', ... 12 more]"),
        ({"a": None, "$more": 2}, "{'a': None, ... 2 more}"),
        (list(range(9)), "[0, 1, 2, 3, 4, 5, ... 3 more]"),
        ([[[[[]]]]], "[[[[...]]]]"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{'a': {'b': {'c': {...}}}}"),
    ],
)
def test_values_as_python_would_write_them(value: Any, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize(
    ("data", "title", "said"),
    [
        ({"route": None}, "no route matches", []),
        ({"route": None, "redirect": "/a/"}, "no route matches", ["but one would at '/a/'"]),
        (
            {"route": None, "allow": ["GET", "HEAD"]},
            "no route for this method",
            ["allow  GET, HEAD"],
        ),
    ],
)
def test_why_no_route_matches(data: dict[str, Any], title: str, said: list[str]) -> None:
    story = Story()
    story.tell("match", **data)
    step = step_of(story.trace, "match")
    assert (step.words.title, texts(step)) == (title, said)


def test_bodies_inside_the_framework() -> None:
    story = Story()
    story.tell("body", bytes=octets("a=1"))
    story.tell("body", bytes=None, form=[["a", "1"], ["b", "2"]])
    assert [(step.words.title, step.words.value) for step in only(story.trace).steps] == [
        ("whole body", "b'a=1'"),
        ("body, parsed as it came", "2 fields"),
    ]


def test_an_exception_on_its_way_out_through_the_layers() -> None:
    story = Story()
    story.call()
    for layer in ("outer", "inner"):
        story.tell("layer.call", layer=layer)
    story.tell("handler.call", handler="word", arguments={})
    story.tell("handler.raise", handler="word", type="ValueError", message="no")
    story.tell("layer.raise", layer="inner", type="ValueError", message="no", status=None)
    story.tell("layer.raise", layer="outer", type="microweb.HTTPException", status=404)
    steps = only(story.trace).steps[-3:]
    assert [step.words.value for step in steps] == [
        "raises ValueError: no",
        "raises ValueError",
        "raises HTTPException, answered 404",
    ]
    assert {step.words.tone for step in steps} == {"problem"}


def test_a_handler_that_returns_what_json_has_no_word_for() -> None:
    story = Story()
    story.tell("handler.call", handler="word", arguments={})
    story.tell("handler.return", handler="word", type="microweb.model.files.FileResponse")
    assert step_of(story.trace, "handler").words.value == "returns a FileResponse"


def test_a_handler_of_which_more_is_seen_before_it_returns() -> None:
    story = Story("asgi")
    story.tell("app.call", scope={"type": "websocket", "path": "/chat"})
    story.tell("handler.call", handler="chat", arguments={})
    story.receive("websocket.receive", text="hello")
    story.tell("handler.return", handler="chat", type="NoneType", value=None)
    first, *_, last = only(story.trace).steps[1:]
    assert (first.key, first.words.title) == ("handler", "chat(ws)")
    assert (last.key, last.words.value) == ("handler returns", "returns None")


def test_what_the_framework_did_not_see_may_be_a_mounted_application() -> None:
    story = Story()
    story.ask()
    story.inside()
    story.exchange = 2
    story.call()
    _, second = exchanges(story.trace, 0)
    assert second.steps[-1].words.title == "nothing was seen inside"


def test_the_line_that_called() -> None:
    story = Story()
    where = {"module": "a.b", "file": "/site packages/a/b.py", "line": 7, "function": "run"}
    story.tell("app.call", environ={}).source = where
    story.tell("handler.call", handler="word", arguments={}).source = where
    story.tell("write.call", bytes=octets("")).source = {**where, "file": None}
    assert texts(step_of(story.trace, "call application"))[-1] == "a/b.py:7 run"
    assert texts(step_of(story.trace, "handler"))[-1] == "a/b.py:7"
    assert step_of(story.trace, "call application").words.details[-1].room == "wide"


def test_why_the_client_is_told_to_continue() -> None:
    continued = step_of(upload("wsgi"), "continue")
    assert texts(continued) == ["for the application wants the body"]
    story = Story()
    story.go("HTTP/1.1 100 Continue\r\n\r\n")
    assert texts(step_of(story.trace, "continue")) == ["before the application has asked"]


def test_headers_that_replace_those_before() -> None:
    story = Story()
    story.start()
    story.tell("start_response.call", status="500 Oh", headers=[["a", "b"]], exc_info="ValueError")
    story.go("HTTP/1.1 500 Oh\r\ncontent-type: text/plain\r\na: b\r\n\r\n")
    said = texts(only(story.trace).steps[1])
    assert said[0] == "exc_info: ValueError, in place of what it said before"
    assert "the server's own: content-type" in texts(step_of(story.trace, "response bytes"))


def test_a_receive_that_is_given_up() -> None:
    story = Story("asgi")
    story.tell("receive.call")
    story.tell("receive.raise", type="asyncio.exceptions.CancelledError", message="")
    step = only(story.trace).steps[-1]
    assert (step.key, step.words.value, step.words.tone) == ("waits no longer", "given up", "plain")


@pytest.mark.parametrize(
    ("base", "data", "title"),
    [
        ("wsgi.input", {"method": "read", "arguments": [1]}, "wsgi.input.read(1)"),
        ("wsgi.input", {"method": "read", "arguments": {"size": 1}}, "wsgi.input.read(size=1)"),
        ("send", {"message": {"type": "http.response.start"}}, "send(http.response.start)"),
        ("write", {}, "write()"),
    ],
)
def test_a_call_of_the_application_that_fails(base: str, data: Any, title: str) -> None:
    story = Story()
    story.tell(f"{base}.call", **data)
    story.tell(f"{base}.raise", type="OSError", message="gone")
    step = only(story.trace).steps[-1]
    assert (step.words.title, step.words.value) == (title, "raises OSError: gone")


def test_a_server_that_has_got_all_need_not_ask_for_the_end() -> None:
    story = Story()
    story.ask()
    story.start(headers=[["Content-Length", "5"]])
    story.next("hello")
    story.go("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    story.close()
    assert only(story.trace).summary.startswith("200 OK in ")


def test_an_answer_that_has_not_left_is_none() -> None:
    """PEP 3333 holds the headers until there is a chunk."""
    story = Story()
    story.ask()
    story.start()
    story.tell("reset", 1_000_000, direction="in", connection=1)
    assert only(story.trace).summary.startswith("The client left without an answer, after ")


@pytest.mark.parametrize("kind", ["reset", "eof"])
def test_a_client_that_goes_when_it_has_all_is_no_client_that_left(kind: str) -> None:
    for protocol in ("wsgi", "asgi"):
        story = Story(protocol)
        story.ask()
        story.answer()
        story.tell(kind, 900_000, direction="in", connection=1)
        assert re.match(r"200 OK in 1\.\d ms\.", only(story.trace).summary)


def test_frames_by_their_kind() -> None:
    frames = [step for step in only(SAMPLES["websocket"]).steps if step.key.startswith("frame")]
    assert [step.words.title for step in frames] == [*["text frame"] * 4, "close frame"]
    assert only(SAMPLES["websocket"]).summary.startswith("A conversation of 3.6 ms: 2 messages in")


# --- all there is, and more ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, "unheard.of", "unheard.call", "unheard.return"])
@pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
def test_every_kind_is_told_whatever_its_data_are(kind: str, protocol: Any) -> None:
    names = "environ scope message bytes headers status arguments route allow path_params form"
    names += " type method layer handler connection port"
    for junk in (None, 7, "text", [], {}, [[1]], {"$bytes": 1}):
        data = dict.fromkeys(names.split(), junk)
        story = Story(protocol)
        for direction in ("in", "out"):
            story.tell(kind, direction=direction)
            story.tell(kind, direction=direction, **data)
        assert only(story.trace).summary


@given(st.text())
def test_every_text_is_told(text: str) -> None:
    assert only(hostile(text)).steps


# --- many, several, none -------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
def test_the_middle_of_a_long_stream_is_counted(protocol: Any) -> None:
    steps = only(endless(protocol, 2000)).steps
    assert len(steps) < 25
    [more] = [step.words.title for step in steps if step.key == "more response"]
    assert more.startswith("... 1,996 more chunks in ")


def test_many_steps_that_have_nothing_in_common_are_cut_too() -> None:
    story = Story()
    for number in range(500):
        story.tell(f"unheard.of.{number}")
    steps = only(story.trace).steps
    assert len(steps) == 241
    assert steps[120].words.title.startswith("... 260 more steps in ")


def test_several_requests_and_a_lifespan_beside_them() -> None:
    trace = twice()
    assert [each.number for each in exchanges(trace, 0)] == [1, 2]
    assert aside(trace, 0) == "Lifespan: startup.complete"
    assert aside(SAMPLES["wsgi"], 0) == ""
    assert exchanges(Story().trace, 0) == []


# --- alignment -----------------------------------------------------------------------------------


def steps(letters: str) -> list[Step]:
    return [Step(Words(letter, letter), "seam", "in") for letter in letters]


def aligned(left: str, right: str) -> list[tuple[str, str]]:
    rows = align(steps(left), steps(right))
    return [(one.key if one else "", other.key if other else "") for one, other in rows]


def test_equal_steps_stand_on_one_row() -> None:
    assert aligned("abxc", "aybc") == [
        ("a", "a"),
        ("", "y"),
        ("b", "b"),
        ("x", ""),
        ("c", "c"),
    ]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_alignment_loses_nothing_and_changes_no_order(left: str, right: str) -> None:
    rows = aligned(left, right)
    assert "".join(one for one, _ in rows) == left
    assert "".join(other for _, other in rows) == right
    assert all(one == other for one, other in rows if one and other)
    assert ("", "") not in rows


def test_two_protocols_meet_at_what_they_share() -> None:
    trace = ordinary("wsgi", "asgi")
    rows = align(only(trace, 0).steps, only(trace, 1).steps)
    common = {one.key for one, other in rows if one and other}
    assert {"request bytes", "call application", "handler", "start response"} <= common
    assert "application done" in common
    assert {one.key for one, other in rows if one and not other} >= {"iterable", "iterate"}


def test_two_answers_compared() -> None:
    trace = ordinary("wsgi", "asgi")
    left, right = only(trace, 0), only(trace, 1)
    expected = "Both answer 200 OK: WSGI in 6 calls over the seam, ASGI in 3."
    assert compared(left, right) == expected
    other = replace(left, answer="")
    assert (
        compared(left, other) == "The answers differ: 200 OK from the left, nothing from the right."
    )
