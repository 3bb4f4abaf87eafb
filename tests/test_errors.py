"""Default answers to errors: text, a page or problem details, whichever the client prefers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, HTTPException, Request, Response
from microweb.model import problems
from microweb.model.error_page import error_page
from microweb.model.problems import error_answer
from microweb.testing import TestClient

from .conftest import Connect

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
PROBLEM = "application/problem+json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
SECRET = "swordfish"

both_kinds = pytest.mark.parametrize("kind", ["def", "async def"])
every_form = pytest.mark.parametrize(
    ("accept", "content_type"), [("*/*", TEXT), (BROWSER, HTML), ("application/json", PROBLEM)]
)


def app_of(error: Exception, kind: str = "def", *, debug: bool = False) -> App:
    app = App(debug=debug)

    def plain(request: Request) -> None:
        raise error

    async def asynchronous(request: Request) -> None:
        raise error

    app.get("/")(plain if kind == "def" else asynchronous)
    return app


def ask(client: TestClient, accept: str | None, path: str = "/", method: str = "GET") -> Any:
    client.headers.pop("accept", None)
    headers = {} if accept is None else {"accept": accept}
    return client.request(method, path, headers=headers, follow_redirects=False)


class Page(HTMLParser):
    """The texts of a page, by the element they stand in; and its elements."""

    def __init__(self, response: httpx.Response | str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(response if isinstance(response, str) else response.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag = self.elements[-1][0] if self.elements else ""
        self.texts[tag] = self.texts.get(tag, "") + data


# --- Which form ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/plain", TEXT),
        ("nonsense", TEXT),
        ("image/avif,image/webp,*/*;q=0.8", TEXT),  # for an <img>
        ("image/png", TEXT),  # better an answer it cannot show than none
        ("text/plain;q=0", TEXT),
        (BROWSER, HTML),
        ("text/html, application/json;q=0.9", HTML),
        ("text/html, */*", HTML),
        ("TEXT/HTML", HTML),
        ("application/json", PROBLEM),
        ("application/problem+json", PROBLEM),
        ("application/*", PROBLEM),
        ("application/json; charset=utf-8", PROBLEM),
        ("text/html;q=0.5, application/problem+json;q=0.6", PROBLEM),
        ("application/json, text/plain, */*", PROBLEM),  # axios, Angular
        ("application/json, text/javascript, */*; q=0.01", PROBLEM),  # jQuery
    ],
)
def test_an_error_is_answered_in_the_form_that_the_client_prefers(
    connect: Connect, accept: str | None, content_type: str
) -> None:
    client = connect(app_of(HTTPException(409, "Somebody was faster.")))
    response = ask(client, accept)
    assert response.status_code == 409
    assert response.headers["content-type"] == content_type
    assert response.headers["vary"] == "accept"
    assert "Somebody was faster." in response.text


@both_kinds
def test_text_is_the_bare_detail(connect: Connect, kind: str) -> None:
    client = connect(app_of(HTTPException(403, "<b>No</b> é"), kind))
    assert ask(client, None).text == "<b>No</b> é"
    assert ask(client, None, "/missing").text == "Not Found"


@both_kinds
def test_problem_details_have_the_phrase_the_status_and_the_detail(
    connect: Connect, kind: str
) -> None:
    client = connect(app_of(HTTPException(403, "<b>No</b> é"), kind))
    assert ask(client, PROBLEM).json() == {
        "title": "Forbidden",
        "status": 403,
        "detail": "<b>No</b> é",
    }
    assert ask(client, PROBLEM, "/missing").json() == {
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
    }


@both_kinds
def test_the_page_shows_status_phrase_and_detail_and_escapes_it(
    connect: Connect, kind: str
) -> None:
    client = connect(app_of(HTTPException(403, "<script>alert('é')</script>&amp;"), kind))
    page = Page(ask(client, BROWSER))
    assert page.texts["title"].strip() == "403 Forbidden"
    assert page.texts["b"].split() == ["403", "Forbidden"]
    assert page.texts["p"].strip() == "<script>alert('é')</script>&amp;"
    assert "script" not in dict(page.elements)


def test_a_detail_that_says_no_more_than_the_phrase_is_not_repeated(connect: Connect) -> None:
    client = connect(app_of(HTTPException(400, "")))
    for path, phrase in (("/", "Bad Request"), ("/missing", "Not Found")):
        page = Page(ask(client, BROWSER, path))
        assert page.texts["b"].split(maxsplit=1)[1].strip() == phrase
        assert "p" not in dict(page.elements)


def test_a_status_without_a_phrase_is_an_error_all_the_same(connect: Connect) -> None:
    client = connect(app_of(HTTPException(499)))
    assert ask(client, PROBLEM).json()["title"] == "Error"
    assert Page(ask(client, BROWSER)).texts["title"].strip() == "499 Error"


def test_the_page_stands_alone_and_may_do_nothing(connect: Connect) -> None:
    response = ask(connect(app_of(HTTPException(404, "No such thing."))), BROWSER)
    page = Page(response)
    assert dict(page.elements)["html"] == {"lang": "en"}
    assert {tag for tag, _ in page.elements} <= {
        *["html", "meta", "title", "style", "h1", "b", "p"],
    }
    assert not any({"src", "href", "style"} & attributes.keys() for _, attributes in page.elements)
    assert "url(" not in response.text
    assert "@import" not in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none';")
    assert "microweb" not in response.text.lower()


@given(st.integers(400, 599), st.text())
def test_no_detail_breaks_out_of_the_page(status: int, detail: str) -> None:
    plain = Page(error_page(HTTPException(status, "detail")))
    page = Page(error_page(HTTPException(status, detail)))
    assert [tag for tag, _ in page.elements] in (
        [tag for tag, _ in plain.elements],
        [tag for tag, _ in plain.elements if tag != "p"],
    )


@given(st.integers(400, 599), st.text(st.characters()))
def test_every_detail_can_be_sent_in_every_form(status: int, detail: str) -> None:
    class Asked(Request):
        def header(self, name: str) -> str | None:
            return accept

        def _header_pairs(self) -> list[tuple[str, str]]:
            return [("accept", accept)]

    for accept in ("*/*", "text/html", "application/json"):
        response = error_answer(Asked(), HTTPException(status, detail))
        if accept == "application/json":
            assert json.loads(response.body)["detail"] == detail


# --- Members of one's own ---------------------------------------------------------------------

ERRORS = {"errors": [{"field": "age", "says": "too high"}]}


def test_a_problem_adds_members_that_a_program_can_use(connect: Connect) -> None:
    client = connect(app_of(HTTPException(422, "Please mend the form.", problem=ERRORS)))
    assert ask(client, PROBLEM).json() == {
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "Please mend the form.",
        "errors": [{"field": "age", "says": "too high"}],
    }
    assert ask(client, None).text == "Please mend the form."
    assert "errors" not in ask(client, BROWSER).text


def test_a_problem_may_have_a_type_and_a_title_of_its_own(connect: Connect) -> None:
    problem = {"type": "https://example.org/out-of-credit", "title": "You are out of credit."}
    client = connect(app_of(HTTPException(403, "It costs 50.", problem=problem)))
    assert ask(client, PROBLEM).json() == {"status": 403, "detail": "It costs 50.", **problem}


@pytest.mark.parametrize("name", ["status", "detail"])
def test_a_problem_cannot_contradict_its_own_exception(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        HTTPException(422, problem={name: 1})


def test_a_problem_that_is_no_json_is_told_at_once() -> None:
    with pytest.raises(TypeError, match="is not JSON"):
        HTTPException(422, problem={"errors": {1, 2}})


def test_an_exception_handler_sees_the_problem(connect: Connect) -> None:
    app = app_of(HTTPException(422, problem=ERRORS))
    app.exception_handler(422)(lambda request, error: error.problem)
    response = ask(connect(app), None)
    assert (response.status_code, response.json()) == (422, ERRORS)


# --- What is around the form ------------------------------------------------------------------


@every_form
def test_headers_of_the_exception_are_kept(
    connect: Connect, accept: str, content_type: str
) -> None:
    headers = [("www-authenticate", "Basic"), ("www-authenticate", "Digest"), ("vary", "cookie")]
    response = ask(connect(app_of(HTTPException(401, headers=headers))), accept)
    assert response.headers["content-type"] == content_type
    assert response.headers.get_list("www-authenticate") == ["Basic", "Digest"]
    assert response.headers["vary"] == "accept, cookie"


def test_headers_of_one_error_are_not_those_of_the_next(connect: Connect) -> None:
    app = App()

    @app.get("/{name}")
    def refuse(request: Request, name: str) -> None:
        raise HTTPException(403, headers={"x-name": name})

    @app.middleware
    def mark(request: Request) -> Iterator[None]:
        response: Response = yield  # type: ignore[assignment]
        assert "x-mark" not in response.headers
        response.headers["x-mark"] = request.path

    client = connect(app)
    for accept in ("*/*", BROWSER, PROBLEM):
        for name in ("one", "two"):
            response = ask(client, accept, f"/{name}")
            assert response.headers.get_list("x-name") == [name]
            assert response.headers.get_list("x-mark") == [f"/{name}"]
            assert response.headers["vary"] == "accept"


@every_form
def test_405_has_allow_in_every_form(connect: Connect, accept: str, content_type: str) -> None:
    response = ask(connect(app_of(HTTPException(404))), accept, method="POST")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert response.headers["content-type"] == content_type
    assert response.headers["vary"] == "accept"


@every_form
@pytest.mark.parametrize("path", ["/", "/missing"])
def test_head_has_the_headers_of_get_and_no_body(
    connect: Connect, path: str, accept: str, content_type: str
) -> None:
    client = connect(app_of(HTTPException(503, "Later.")))
    get, head = (ask(client, accept, path, method) for method in ("GET", "HEAD"))
    assert head.headers == get.headers
    assert head.headers["content-length"] == str(len(get.content))
    assert (head.status_code, head.content) == (get.status_code, b"")


@every_form
def test_a_redirect_by_exception_is_a_redirect(
    connect: Connect, accept: str, content_type: str
) -> None:
    error = HTTPException(303, headers={"location": "/log-in"})
    response = ask(connect(app_of(error)), accept)
    assert (response.status_code, response.text) == (303, "See Other")
    assert response.headers["location"] == "/log-in"
    assert response.headers["content-type"] == TEXT
    assert "vary" not in response.headers


@every_form
def test_304_has_no_body(connect: Connect, accept: str, content_type: str) -> None:
    response = ask(connect(app_of(HTTPException(304, headers={"etag": '"a"'}))), accept)
    assert (response.status_code, response.content) == (304, b"")
    assert "content-type" not in response.headers


@every_form
def test_an_answer_to_options_and_a_slash_redirect_do_not_depend_on_accept(
    connect: Connect, accept: str, content_type: str
) -> None:
    app = App()
    app.get("/here/")(lambda request: "here")
    client = connect(app)
    options = ask(client, accept, "/here/", "OPTIONS")
    assert (options.status_code, options.content) == (204, b"")
    redirect = ask(client, accept, "/here")
    assert (redirect.status_code, redirect.headers["location"]) == (308, "/here/")


@every_form
def test_a_detail_whose_type_the_error_names_itself_stays_as_it_is(
    connect: Connect, accept: str, content_type: str
) -> None:
    error = HTTPException(400, "<error/>", {"content-type": "application/xml"})
    response = ask(connect(app_of(error)), accept)
    assert response.headers["content-type"] == "application/xml"
    assert response.text == "<error/>"


@every_form
@pytest.mark.parametrize("what", [404, HTTPException, LookupError, Exception])
def test_where_the_application_answers_errors_itself_it_wins(
    connect: Connect, what: Any, accept: str, content_type: str
) -> None:
    app = App()
    app.exception_handler(what)(lambda request, error: "mine")
    response = ask(connect(app), accept, "/missing")
    mine = what in (404, HTTPException)
    assert response.status_code == 404
    assert (response.text == "mine") == mine
    assert response.headers["content-type"] == (TEXT if mine else content_type)


@every_form
def test_an_http_exception_of_a_layer_or_an_exception_handler_is_answered_alike(
    connect: Connect, accept: str, content_type: str
) -> None:
    app = app_of(LookupError("no such user"))

    @app.exception_handler(LookupError)
    def translate(request: Request, error: LookupError) -> None:
        raise HTTPException(404, "There is no such user.")

    @app.middleware
    def guard(request: Request) -> Iterator[None]:
        if request.path == "/guarded":
            raise HTTPException(401, "Who are you?")
        yield

    client = connect(app)
    for path, status, detail in (
        ("/", 404, "There is no such user."),
        ("/guarded", 401, "Who are you?"),
    ):
        response = ask(client, accept, path)
        assert response.status_code == status
        assert response.headers["content-type"] == content_type
        assert detail in response.text


# --- Unexpected errors ------------------------------------------------------------------------


@both_kinds
@every_form
def test_an_unexpected_error_is_a_500_that_tells_nothing(
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    accept: str,
    content_type: str,
) -> None:
    response = ask(connect(app_of(RuntimeError(SECRET), kind)), accept)
    assert response.status_code == 500
    assert response.headers["content-type"] == content_type
    assert response.headers["vary"] == "accept"
    assert "Internal Server Error" in response.text
    for trace in (SECRET, "RuntimeError", "Traceback", __file__):
        assert trace not in response.text
    assert [record.levelno for record in caplog.records if record.name == "microweb"] == [
        logging.ERROR
    ]


def test_problem_details_of_an_unexpected_error(connect: Connect) -> None:
    assert ask(connect(app_of(RuntimeError(SECRET))), PROBLEM).json() == {
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Internal Server Error",
    }


@every_form
def test_a_last_resort_that_fails_is_answered_for(
    connect: Connect, accept: str, content_type: str
) -> None:
    app = app_of(RuntimeError(SECRET))

    @app.exception_handler(500)
    def broken(request: Request, error: Exception) -> None:
        raise RuntimeError(SECRET)

    response = ask(connect(app), accept)
    assert response.status_code == 500
    assert response.headers["content-type"] == content_type
    assert SECRET not in response.text


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", TEXT), ("application/json", TEXT), ("text/html;q=0", TEXT), (BROWSER, HTML)],
)
def test_debug_shows_the_traceback_as_a_page_or_as_text(
    connect: Connect, accept: str, content_type: str
) -> None:
    response = ask(connect(app_of(RuntimeError(SECRET), debug=True)), accept)
    assert response.status_code == 500
    assert response.headers["content-type"] == content_type
    assert response.headers["vary"] == "accept"
    assert SECRET in response.text


@every_form
def test_debug_leaves_expected_errors_as_they_are(
    connect: Connect, accept: str, content_type: str
) -> None:
    response = ask(connect(app_of(HTTPException(403, "No."), debug=True)), accept)
    assert (response.status_code, response.headers["content-type"]) == (403, content_type)
    assert "traceback" not in response.text.lower()


# --- The doors ---------------------------------------------------------------------------------


@given(
    st.lists(
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")),
        max_size=3,
    )
)
def test_both_doors_understand_accept_alike(values: list[str]) -> None:
    answers: list[tuple[str | None, bytes]] = []
    for door in ("wsgi", "asgi"):
        client = TestClient(APP, door)
        client.headers.pop("accept", None)
        headers = [(b"accept", value.encode("latin-1")) for value in values]
        response = client.get("/missing", headers=headers)
        answers.append((response.headers["content-type"], response.content))
    assert answers[0] == answers[1]


APP = App()
Maker = Callable[[], HTTPException]


@pytest.mark.parametrize(
    "make",
    [
        lambda: HTTPException(404),
        lambda: HTTPException(404, "No", {"a": "b"}),
        lambda: HTTPException(404, problem={"a": 1}),
    ],
)
def test_an_http_exception_shows_what_it_is(make: Maker) -> None:
    error = make()
    assert str(error) == f"404 {error.detail}"
    assert repr(error) == f"HTTPException(404, {error.detail!r})"


# --- a 404, which is made once and shared -----------------------------------------------------


def test_a_404_is_the_same_again_in_every_form(connect: Connect) -> None:
    client = connect(App())
    for _ in range(3):
        for accept, content_type in [("*/*", TEXT), (BROWSER, HTML), ("application/json", PROBLEM)]:
            answer = client.get("/nowhere", headers={"accept": accept})
            assert (answer.status_code, answer.headers["content-type"]) == (404, content_type)
            assert answer.headers["vary"] == "accept"
            assert answer.headers["content-length"] == str(len(answer.content))


def test_what_a_layer_does_to_a_404_is_not_done_to_the_next(connect: Connect) -> None:
    app = App()

    @app.middleware
    def layer(request: Request) -> Generator[None, Response, None]:
        response = yield
        response.headers.add("x-path", request.path)
        response.body += request.path.encode()

    client = connect(app)
    for path in ("/one", "/two"):
        answer = client.get(path)
        assert answer.headers["x-path"] == path
        assert answer.text == f"Not Found{path}"


def test_what_clients_write_into_accept_does_not_pile_up(connect: Connect) -> None:
    client = connect(App())
    for number in range(3 * problems.MOST_MADE):
        assert client.get("/", headers={"accept": f"text/plain;v={number}"}).status_code == 404
    assert len(problems._made) <= problems.MOST_MADE
    long = "text/html," + "a/b," * problems.USUAL_LENGTH
    assert client.get("/", headers={"accept": long}).headers["content-type"] == HTML
    assert all(len(accept or "") <= problems.USUAL_LENGTH for _, accept in problems._made)
