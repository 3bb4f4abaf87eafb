"""load: from `module:attribute`, as it is typed, to the object; or what stands in the way."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from .recognise import a, is_likely


class TargetError(Exception):
    """A target names nothing that can be used; the message says what, where, and the mend."""


def load(target: str) -> Any:
    """The object that `module:attribute[.attribute]` names.

    Modules are looked for in the current folder first, as gunicorn and uvicorn do. Raises
    TargetError, saying which part could not be found, and what was found instead. What the
    module itself raises is passed on: it is the module's own.
    """
    module_name, attributes = _parts(target)
    found: Any = _imported(module_name)
    place = module_name
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise TargetError(f"{target!r}: there is no {name!r} in {_missing(found, name, place)}")
        found = getattr(found, name)
        place = f"{place}{'.' if ':' in place else ':'}{name}"
    return found


def _parts(target: str) -> tuple[str, str]:
    module_name, colon, attributes = target.rpartition(":")
    if target.endswith(".py") or not colon:
        module_name, attributes = target, ""
    if module_name.endswith(".py") or "/" in module_name or "\\" in module_name:
        raise TargetError(f"{target!r} is a file, and a module is wanted: {_of_file(target)}")
    if not all(module_name.split(".")):
        raise TargetError(f"{target!r} is not module:attribute, like wsgi_app:app")
    if not attributes:
        raise TargetError(f"{target!r} is not module:attribute{_with_attribute(module_name)}")
    if "(" in attributes:
        raise TargetError(
            f"{target!r}: nothing is called here. Call it in a file, app = {attributes},"
            f" and name what it returned, app"
        )
    return module_name, attributes


def _of_file(target: str) -> str:
    """How the module of a file is spelled, seen from the folder in which it can be imported."""
    file, colon, attribute = target.rpartition(":") if ".py:" in target else (target, "", "")
    path = Path(file.replace("\\", "/"))
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    attribute = attribute or "app"
    if path.is_absolute() or ".." in path.parts:
        return f"go to its folder (cd {path.parent}), and write {path.stem}:{attribute}"
    note = "" if colon else ", where app is the name of your application in it"
    return f"write {'.'.join(path.with_suffix('').parts)}:{attribute}{note}"


def _with_attribute(module_name: str) -> str:
    likely = _likely(_imported(module_name))
    spelled = _listed([f"{module_name}:{name}" for name in likely], "or")
    return f"; did you mean {spelled}?" if likely else ", like wsgi_app:app"


def _imported(name: str) -> ModuleType:
    here = Path.cwd()
    sys.path.insert(0, str(here))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Otherwise the module was found, and something that it imports was not.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise TargetError(
            f"no module {error.name!r} in {here}, nor among the installed packages"
            f"{_elsewhere(here, name)}"
        ) from None
    except SystemExit as end:
        raise TargetError(
            f"the module {name!r} ended the program as it was imported (exit status {end.code})."
            ' What only a script should do belongs below: if __name__ == "__main__":'
        ) from None


def _elsewhere(here: Path, name: str) -> str:
    path = Path(*name.split(".")).with_suffix(".py")
    for found in sorted(here.glob(f"*/{path.as_posix()}")):
        folder = found.relative_to(here).parts[0]
        return f". There is {folder}/{path.as_posix()}: go there first, cd {folder}"
    return _close(name, [each.stem for each in here.glob("*.py")])


def _missing(found: Any, name: str, place: str) -> str:
    """What the name was looked for in, and what is there instead."""
    if not isinstance(found, ModuleType):
        return f"{place}, {a(type(found).__name__)}{_close(name, dir(found))}"
    file = getattr(found, "__file__", None)
    where = f"the module {place!r} ({file})" if file else f"the module {place!r}"
    own = Path.cwd() / f"{place.replace('.', '/')}.py"
    if own.is_file() and file and not own.samefile(file):
        return f"{where}, which stands before your own {own.name}: give that another name"
    likely = _likely(found)
    has = f"; it has {_listed(likely, 'and')}" if likely else ""
    return f"{where}{_close(name, likely) or has or _close(name, dir(found))}"


def _close(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _likely(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if is_likely(name, value)][:4]


def _listed(words: Iterable[str], last: str) -> str:
    *before, end = words or [""]
    return f"{', '.join(before)} {last} {end}" if before else end
