"""recognise: what a server could do with an object, told from its shape; nothing is called.

WSGI calls its application with two arguments, ASGI with three, and awaits what comes of it.
That is all there is to tell them by, and nearly always it is enough.
"""

from __future__ import annotations

import functools
import inspect
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Literal, NamedTuple

from .app import App
from .model.shape import shape_of
from .routing import Router

Kind = Literal["app", "wsgi", "asgi", "factory", "unknown", "neither"]

LABELS: dict[Kind, str] = {
    "app": "a microweb App: ",
    "wsgi": "a WSGI application: ",
    "asgi": "an ASGI application: ",
    "factory": "no application but, it seems, a factory of one: ",
    "unknown": "WSGI or ASGI, its shape does not tell: ",
    "neither": "neither a WSGI nor an ASGI application: ",
}


class Finding(NamedTuple):
    """What an object is to a server, and by what that was told."""

    kind: Kind
    why: str  # "a function of (environ, start_response)"; the mend, if there is one, after a dot

    def sentence(self, name: str) -> str:
        """What a human reads: `shop:app is a WSGI application: a Flask object, ...`."""
        return f"{name} is {LABELS[self.kind]}{self.why}."


def recognise(found: Any) -> Finding:
    """Tell an App, a WSGI or ASGI application, and what is none of them, apart."""
    if isinstance(found, App):
        return Finding("app", "its doors are .wsgi and .asgi, one for each kind of server")
    if not callable(found):
        return Finding("neither", _uncallable(found))
    is_class = isinstance(found, type)
    try:
        return _class(found) if is_class else _callable(found)
    except Exception:  # compiled code tells nothing, and a proxy whatever it likes
        if is_class:
            return Finding("neither", f"a class. {_INSTANCE.format(found.__name__)}")
        return Finding("unknown", f"{a(type(found).__name__)} that does not say what it takes")


def a(noun: str) -> str:
    """A noun with its article."""
    return f"{'an' if noun[:1] in 'aeiouAEIOU' else 'a'} {noun}"


def is_likely(name: str, found: Any) -> bool:
    """Whether an object in a module could be meant as its application, going by its name too.

    A function of two arguments may be anything, so its arguments have to be the protocol's.
    """
    if name.startswith("_") or recognise(found).kind not in ("app", "wsgi", "asgi"):
        return False
    return not isinstance(found, FunctionType) or _names(_signature(found))[:1] in (
        ["environ"],
        ["env"],
        ["scope"],
    )


# --- what can be called -----------------------------------------------------------------------


def _callable(found: Any) -> Finding:
    signature = _signature(found)
    phrase, names = _phrase(found, signature), _names(signature)
    takes = [count for count in range(4) if _binds(signature, count)]
    shape = shape_of(found)
    if names[:1] == ["request"]:
        return Finding("neither", f"{phrase}, a handler. Name the application that calls it")
    if shape == "async generator":
        return Finding("neither", f"{phrase}, an async generator, which no server calls")
    if shape == "async":
        return _async(phrase, takes)
    if _is_open(signature) and {2, 3} <= set(takes):
        return Finding("unknown", phrase)
    if 0 in takes:
        name = getattr(found, "__name__", "...")
        return Finding("factory", f"{phrase}. Call it in a file, app = {name}(), and name that")
    if 2 in takes and names[:1] != ["scope"]:
        return Finding("wsgi", phrase)
    if 3 in takes and shape == "plain":
        return Finding("asgi", f"{phrase}, plain, which has to return an awaitable")
    if takes == [1] and names == ["scope"]:
        return Finding("neither", ASGI_2)
    return Finding("neither", f"{phrase}. {_CALLS}")


def _async(phrase: str, takes: list[int]) -> Finding:
    if 3 in takes:
        return Finding("asgi", phrase)
    if 0 in takes:
        return Finding("neither", f"{phrase}. If it makes one, await it and name what it returned")
    return Finding("neither", f"{phrase}. Async code is called as ASGI, (scope, receive, send)")


def _class(found: type) -> Finding:
    """PEP 3333 allows a class whose instances are iterated ("The Application/Framework Side")."""
    signature = _signature(found)
    takes = [count for count in range(4) if _binds(signature, count)]
    if takes[-1:] == [2] and 0 not in takes and hasattr(found, "__iter__"):
        return Finding("wsgi", f"a class made with {_spelled(signature)}, and iterated")
    if takes == [3] and hasattr(found, "__await__"):
        return Finding("asgi", f"a class made with {_spelled(signature)}, and awaited")
    if takes == [1] and _names(signature) == ["scope"]:
        return Finding("neither", ASGI_2)
    return Finding("neither", f"a class. {_INSTANCE.format(found.__name__)}")


_INSTANCE = "Make an object of it, and name that: app = {}(...)"
_CALLS = "WSGI calls with (environ, start_response), ASGI with (scope, receive, send)"
ASGI_2 = (
    "an ASGI 2 application, which takes scope alone and returns what takes (receive, send)."
    " asgiref.compatibility.guarantee_single_callable makes ASGI 3 of it"
)


def _uncallable(found: Any) -> str:
    if found is None:
        return "None, as comes of a function that lacks its `return`"
    if isinstance(found, ModuleType):
        return f"a module. Go on with a name in it: {found.__name__}:app"
    if isinstance(found, Router):
        return "a Router. Mount it in an App, and name that"
    if inspect.iscoroutine(found):
        return "a coroutine, as an async function was called and not awaited"
    return f"{a(type(found).__name__)}, which cannot be called"


# --- what they take ---------------------------------------------------------------------------


def _signature(found: Any) -> inspect.Signature:
    """What it takes by itself; what it wraps is asked only where that says nothing."""
    signature = inspect.signature(found, follow_wrapped=False)
    if _is_open(signature) and not _names(signature):
        signature = inspect.signature(found)
    return signature


def _is_open(signature: inspect.Signature) -> bool:
    return any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values())


def _names(signature: inspect.Signature) -> list[str]:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, each in signature.parameters.items() if each.kind in positional]


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _spelled(signature: inspect.Signature) -> str:
    """`(environ, start_response)`, whatever is annotated."""
    empty = inspect.Parameter.empty
    bare = [each.replace(annotation=empty, default=empty) for each in signature.parameters.values()]
    return str(inspect.Signature(bare))


def _phrase(found: Any, signature: inspect.Signature) -> str:
    how = "async " if shape_of(found) == "async" else ""
    if isinstance(found, (FunctionType, BuiltinFunctionType)):
        return f"{a(how + 'function')} {_taking(signature)}"
    if isinstance(found, MethodType):
        return f"{a(how + 'method')} {_taking(signature)}"
    if isinstance(found, functools.partial):
        return f"a partial of {a(how + 'callable')}, {_taking(signature)}"
    is_door = isinstance(getattr(found, "app", None), App)
    what = f"{a(type(found).__name__)}{', the door of an App' if is_door else ' object'}"
    return f"{what}, {how}callable {_taking(signature)}"


def _taking(signature: inspect.Signature) -> str:
    return f"with {_spelled(signature)}" if signature.parameters else "without arguments"
