"""Templates: what they know, what they escape, and what they say when something is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest

from microweb import App, HTMLResponse, RedirectResponse, Request, Router, Templates
from microweb.testing import TestClient

from .conftest import Connect

HOSTILE = "<script>alert('x')</script>&\""
ESCAPED = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&#34;"

Write = Callable[..., Templates]
both_kinds = pytest.mark.parametrize("kind", ["def", "async def"])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(page, files)` makes templates of these texts; `page` is in page.html."""

    def make(page: str = "", files: dict[str, str] | None = None, **arguments: Any) -> Templates:
        for name, text in {"page.html": page, **(files or {})}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, "utf-8")
        return Templates(tmp_path, **arguments)

    return make


def app_of(templates: Templates, file: str = "page.html", kind: str = "def", **context: Any) -> App:
    """An app that answers with a template at /, and has routes to point at."""
    app = App()

    def plain(request: Request) -> Any:
        return templates.response(request, file, **context)

    async def asynchronous(request: Request) -> Any:
        return templates.response(request, file, **context)

    app.get("/", name="home")(plain if kind == "def" else asynchronous)
    app.get("/users/{name}", name="user")(lambda request, name: name)
    return app


# --- What a template makes -------------------------------------------------------------------


@both_kinds
def test_a_template_knows_its_context_and_the_request_and_is_sent_as_html(
    connect: Connect, write: Write, kind: str
) -> None:
    templates = write("<p>Hello {{ name }}, of {{ request.query.town }} é</p>")
    response = connect(app_of(templates, kind=kind, name="Ada")).get("/?town=London")
    assert response.text == "<p>Hello Ada, of London é</p>"
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_status_and_headers_are_those_of_the_response(connect: Connect, write: Write) -> None:
    templates = write("gone")
    app = app_of(templates, status=410, headers=[("x-a", "1"), ("x-a", "2")])
    response = connect(app).get("/")
    assert (response.status_code, response.text) == (410, "gone")
    assert response.headers.get_list("x-a") == ["1", "2"]


def test_render_gives_the_text(connect: Connect, write: Write) -> None:
    templates = write("<p>{{ who }}</p>")
    app = App()
    app.get("/")(lambda request: {"html": templates.render(request, "page.html", who="Ada")})
    assert connect(app).get("/").json() == {"html": "<p>Ada</p>"}


def test_templates_extend_and_include_one_another(connect: Connect, write: Write) -> None:
    files = {
        "base.html": "<title>{% block title %}{% endblock %}</title>{% include 'parts/nav.html' %}",
        "parts/nav.html": "<a href='{{ url_path_for('home') }}'>{{ who }}</a>",
    }
    page = "{% extends 'base.html' %}{% block title %}{{ who }}{% endblock %}"
    text = connect(app_of(write(page, files), who="Ada")).get("/").text
    assert text == "<title>Ada</title><a href='/'>Ada</a>"


def test_macros_imported_with_context_know_the_request(connect: Connect, write: Write) -> None:
    files = {"macros.html": "{% macro home() %}{{ url_path_for('home') }}{% endmacro %}"}
    page = "{% from 'macros.html' import home with context %}{{ home() }}"
    assert connect(app_of(write(page, files))).get("/").text == "/"


def test_globals_and_filters_are_for_every_template(connect: Connect, write: Write) -> None:
    templates = write(
        "{{ site }}: {{ 3|stars }}", globals={"site": "Sky"}, filters={"stars": lambda n: "*" * n}
    )
    templates.environment.globals["unused"] = "and the rest of Jinja2 is there as well"
    assert connect(app_of(templates)).get("/").text == "Sky: ***"


def test_an_error_page_of_ones_own(connect: Connect, write: Write) -> None:
    templates = write("<h1>{{ error.detail }}: {{ request.path }}</h1>")
    app = App()

    @app.exception_handler(404)
    def missing(request: Request, error: Any) -> Any:
        return templates.response(request, "page.html", status=error.status, error=error)

    response = connect(app).get("/a<b")
    assert (response.status_code, response.text) == (404, "<h1>Not Found: /a&lt;b</h1>")


def test_a_changed_file_is_read_again(connect: Connect, write: Write, tmp_path: Path) -> None:
    client = connect(app_of(write("before")))
    assert client.get("/").text == "before"
    (tmp_path / "page.html").write_text("after")
    os.utime(tmp_path / "page.html", (1, 1))  # whatever the clock can tell apart
    assert client.get("/").text == "after"


# --- Escaping ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a.html", "a.htm", "a.xml", "a.svg", "A.HTML", "a.html.jinja", "a.html.j2", "a", "a.txt.html"],
)
def test_what_is_put_in_is_escaped(connect: Connect, write: Write, name: str) -> None:
    templates = write(files={name: "<p title=\"{{ text }}\">{{ text }}{{ '<b>' }}</p>"})
    response = connect(app_of(templates, name, text=HOSTILE)).get("/")
    assert response.text == f'<p title="{ESCAPED}">{ESCAPED}&lt;b&gt;</p>'


def test_strings_made_templates_are_escaped_too(write: Write) -> None:
    template = write().environment.from_string("{{ text }}")
    assert template.render(text=HOSTILE) == ESCAPED


@pytest.mark.parametrize("name", ["mail.txt", "MAIL.TXT"])
def test_a_text_is_not_escaped_and_never_sent_as_html(
    connect: Connect, write: Write, name: str
) -> None:
    templates = write(files={name: "Dear {{ text }}"})
    response = connect(app_of(templates, name, text=HOSTILE)).get("/")
    assert response.text == f"Dear {HOSTILE}"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_string_that_a_handler_returns_stays_text(connect: Connect, write: Write) -> None:
    templates = write("<p>{{ 1 }}</p>")
    app = App()
    app.get("/")(lambda request: templates.render(request, "page.html"))
    response = connect(app).get("/")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "<p>1</p>"


# --- Links --------------------------------------------------------------------------------------

LINK = "<a href='{{ url_path_for('user', name=who) }}'>{{ url_for('user', name=who) }}</a>"


@pytest.mark.parametrize(
    ("root_path", "prefix"), [("", ""), ("/mounted", "/mounted"), ("/a b/é", "/a%20b/%C3%A9")]
)
@pytest.mark.parametrize(
    ("who", "encoded"), [("Ada", "Ada"), ("é <&'\"?#", "%C3%A9%20%3C&amp;&#39;%22%3F%23")]
)
def test_links_are_encoded_escaped_and_below_where_the_application_is_mounted(
    connect: Connect, write: Write, root_path: str, prefix: str, who: str, encoded: str
) -> None:
    client = connect(app_of(write(LINK), who=who), root_path=root_path)
    path = f"{prefix}/users/{encoded}"
    assert client.get(f"{root_path}/").text == f"<a href='{path}'>http://testserver{path}</a>"


@pytest.mark.parametrize("root_path", ["", "/mounted", "/a b"])
def test_a_link_leads_to_its_handler(connect: Connect, write: Write, root_path: str) -> None:
    app = app_of(write("{{ url_path_for('user', name='b?c') }}"))
    client = connect(app, root_path=root_path)
    assert client.get(client.get(f"{root_path}/").text).text == "b?c"


def test_a_redirect_to_a_route_stays_where_the_application_is_mounted(connect: Connect) -> None:
    app = App()
    admin = Router("/admin", name="admin")
    admin.get("/{page}")(lambda request, page: page)
    admin.get("/old", name="old")(
        lambda request: RedirectResponse(request.url_path_for("admin.<lambda>", page="nëw"))
    )
    app.mount("", admin)
    client = connect(app, root_path="/mounted")
    response = client.get("/mounted/admin/old", follow_redirects=False)
    assert response.headers["location"] == "/mounted/admin/n%C3%ABw"
    assert client.get("/mounted/admin/old", follow_redirects=True).text == "nëw"


@pytest.mark.parametrize("root_path", ["", "/", "//evil.example", "/mounted"])
@pytest.mark.parametrize("path", ["evil.example", "/evil.example", "//evil.example"])
def test_no_link_names_another_host(connect: Connect, root_path: str, path: str) -> None:
    app = App()

    @app.get("/{rest:path}", name="any")
    def link(request: Request, rest: str) -> str:
        request.root_path = root_path
        return request.url_path_for("any", rest=path)

    text = connect(app).get("/x").text
    assert re.match("/[^/]", text)


def test_a_link_to_a_route_that_is_not_there_is_an_error_that_names_it(write: Write) -> None:
    templates = write("{{ url_path_for('nowhere') }}")
    with pytest.raises(LookupError, match="no route is named 'nowhere'; there are home, user"):
        render(templates)


# --- Slips ----------------------------------------------------------------------------------------


def render(templates: Templates, file: str = "page.html", **context: Any) -> str:
    """The text, or the error, that the WSGI door gives."""
    app = app_of(templates, file, **context)
    return TestClient(app, "wsgi", raise_server_exceptions=True).get("/").text


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("{{ uesr }}", "'uesr' is undefined"),
        ("{% if uesr %}{% endif %}", "'uesr' is undefined"),
        ("{% for one in uesr %}{% endfor %}", "'uesr' is undefined"),
        ("{{ user.nmae }}", "has no attribute 'nmae'"),
    ],
)
def test_a_variable_that_is_not_there_is_named(write: Write, page: str, named: str) -> None:
    with pytest.raises(jinja2.UndefinedError, match=named):
        render(write(page), user={"name": "Ada"})


def test_a_variable_that_may_be_missing_can_be_asked_for(write: Write) -> None:
    page = "{{ user is defined }} {{ user|default('nobody') }}"
    assert render(write(page)) == "False nobody"


@pytest.mark.parametrize("page", ["{% extends 'nowhere.html' %}", "{% include 'nowhere.html' %}"])
def test_a_missing_template_says_where_it_was_looked_for(
    write: Write, tmp_path: Path, page: str
) -> None:
    said = re.escape(f"'nowhere.html' not found in search path: {str(tmp_path)!r}")
    with pytest.raises(jinja2.TemplateNotFound, match=said):
        render(write(), "nowhere.html")
    with pytest.raises(jinja2.TemplateNotFound, match=said):
        render(write(page))


@pytest.mark.parametrize("name", ["../secret.html", "/etc/passwd", "a/../../secret.html", "a\x00b"])
def test_no_template_outside_of_the_directory_is_found(
    write: Write, tmp_path: Path, name: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.html").write_text("secret")
    templates = Templates(tmp_path / "in")
    with pytest.raises((jinja2.TemplateNotFound, ValueError)):
        render(templates, name)


def test_a_directory_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(NotADirectoryError, match=f"(?s){re.escape(str(place))}.*__file__"):
            Templates(place)


def test_a_relative_directory_stays_the_same(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("here")
    monkeypatch.chdir(tmp_path.parent)
    templates = Templates(tmp_path.name)
    monkeypatch.chdir("/")
    assert render(templates) == "here"


@pytest.mark.parametrize("name", ["url_path_for", "url_for", "request"])
def test_what_every_template_has_cannot_be_replaced(write: Write, name: str) -> None:
    templates = write("")
    with pytest.raises(TypeError, match=f"'page.html'.*'{name}' is there already"):
        render(templates, **{name: "mine"})
    with pytest.raises(TypeError, match=f"globals.*'{name}' is there already"):
        write("", globals={name: "mine"})


def test_an_error_in_a_template_shows_its_line_on_the_debug_page(
    connect: Connect, write: Write, tmp_path: Path
) -> None:
    app = app_of(write("<p>\n{{ user.nmae }}\n</p>"), user={})
    app.debug = True
    text = connect(app).get("/", headers={"accept": "text/plain"}).text
    assert "has no attribute 'nmae'" in text
    assert f"{tmp_path / 'page.html'}:2" in text
    assert ">    2  {{ user.nmae }}" in text


def test_without_debug_an_error_in_a_template_is_a_secret(
    connect: Connect, write: Write, tmp_path: Path
) -> None:
    response = connect(app_of(write("{{ nmae }}"))).get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")


def test_an_application_without_templates_never_imports_jinja2() -> None:
    program = (
        "import sys, microweb\n"
        "from microweb.testing import TestClient\n"
        "assert TestClient(microweb.App(), 'wsgi').get('/', headers={'accept': 'text/html'})\n"
        "assert 'jinja2' not in sys.modules, 'jinja2 was imported'\n"
        "assert microweb.Templates('/')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# --- Requests side by side ------------------------------------------------------------------------


def test_parallel_requests_do_not_see_each_others_variables(connect: Connect, write: Write) -> None:
    templates = write("{{ who }} {{ request.query.who }} {{ url_path_for('user', name=who) }}")
    barrier = threading.Barrier(8, timeout=30)
    app = App()
    app.get("/users/{name}", name="user")(lambda request, name: name)

    @app.get("/")
    def home(request: Request) -> HTMLResponse:
        barrier.wait()
        answer = templates.response(request, "page.html", who=request.query["who"])
        assert isinstance(answer, HTMLResponse)
        return answer

    client = connect(app)
    answers: dict[str, str] = {}

    def visit(who: str) -> None:
        answers[who] = client.get("/", params={"who": who}).text

    names = [f"user{number}" for number in range(8)]
    threads = [threading.Thread(target=visit, args=(who,)) for who in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {who: f"{who} {who} /users/{who}" for who in names}


def test_a_stream_of_pieces_rendered_as_they_are_asked_for(connect: Connect, write: Write) -> None:
    templates = write("{{ number }}\n")
    app = App()

    @app.get("/")
    def pieces(request: Request) -> Iterator[str]:
        for number in range(3):
            yield templates.render(request, "page.html", number=number)

    assert connect(app).get("/").text == "012"
