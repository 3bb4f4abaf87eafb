"""Path templates: `/users/{id:int}`, parsed, checked, and written back as a path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

from .model.request import PATH_SAFE

# One segment's worth of parameters, or None where the segment does not fit
MatchSegment = Callable[[str], "tuple[Any, ...] | None"]


class Converter(NamedTuple):
    """How a parameter is written in a path: `pattern` whole, `to_python` in, `to_url` out.

    `pattern` is a regular expression for (a part of) one segment, read as ASCII. A
    ValueError from `to_python` means that the path does not match.
    """

    pattern: str
    to_python: Callable[[str], Any] = str
    to_url: Callable[[Any], str] = str


def _float_to_url(number: float) -> str:
    text = repr(float(number))
    # Without an exponent, which no pattern here would take.
    return text if "e" not in text else f"{number:.19f}".rstrip("0").rstrip(".")


# In the order of preference, where several fit; an application's own come before str.
# Digits are capped: 19 hold any 64-bit number, and int() refuses to read 4,301.
CONVERTERS: dict[str, Converter] = {
    "uuid": Converter(
        "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", UUID
    ),
    "int": Converter("[0-9]{1,19}", int),
    "float": Converter(r"[0-9]{1,19}(?:\.[0-9]{1,19})?", float, _float_to_url),
    "str": Converter("[^/]+"),
    "path": Converter("(?s:.+)"),  # the only one that spans segments
}

# Kinds with a bounded length; the others are free to take whatever there is.
BOUNDED = ("uuid", "int", "float")

LONGEST_MIXED_SEGMENT = 255


class Parameter(NamedTuple):
    """`{name:converter}` in a template."""

    name: str
    converter: Converter
    kind: str  # the converter's name
    rank: int  # the lowest is tried first


# A literal, or the parts of a segment with parameters
Segment = str | tuple[str | Parameter, ...]


class Template(NamedTuple):
    """A parsed path template."""

    text: str
    segments: tuple[Segment, ...]

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters, from left to right."""
        return [
            part
            for segment in self.segments
            if not isinstance(segment, str)
            for part in segment
            if isinstance(part, Parameter)
        ]

    def spans(self, path: str) -> dict[str, tuple[int, int]]:
        """Where each parameter stands in a path that this template matches, in characters."""
        pieces = path.split("/")
        more = len(pieces) - len(self.segments)  # that a path parameter takes beside its own
        spans: dict[str, tuple[int, int]] = {}
        start = 0
        for segment in self.segments:
            taken = 1 + more if takes_many(segment) else 1
            text = "/".join(pieces[:taken])
            if not isinstance(segment, str) and (found := segment_pattern(segment).fullmatch(text)):
                for name in _names(segment):
                    spans[name] = (start + found.start(name), start + found.end(name))
            del pieces[:taken]
            start += len(text) + 1
        return spans

    def checked(self) -> Template:
        """This template. Raises ValueError if its parameters do not fit together."""
        names = [parameter.name for parameter in self.parameters]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"route {self.text!r}: the parameter {name!r} stands there twice")
        if [parameter.kind for parameter in self.parameters].count("path") > 1:
            raise ValueError(
                f"route {self.text!r}: two path parameters; where would the first one end?"
            )
        return self

    def fill(self, values: Mapping[str, Any]) -> str:
        """The path with its parameters filled in, percent-encoded.

        Raises TypeError where a parameter is missing or unknown, ValueError where a value
        is not what the route's converter would match.
        """
        names = [parameter.name for parameter in self.parameters]
        if set(names) != set(values):
            raise TypeError(
                f"route {self.text!r}: its parameters are {_list(names)},"
                f" not {_list(sorted(values))}"
            )
        path = "/".join(
            quote(segment, safe=PATH_SAFE)
            if isinstance(segment, str)
            else "".join(self._fill_part(part, values) for part in segment)
            for segment in self.segments
        )
        # "//name" would lead to another host; encoded, the second slash is part of the path.
        return path if not path.startswith("//") else f"/%2F{path[2:]}"

    def _fill_part(self, part: str | Parameter, values: Mapping[str, Any]) -> str:
        if isinstance(part, str):
            return quote(part, safe=PATH_SAFE)
        text = part.converter.to_url(values[part.name])
        spans = part.kind == "path"
        if not re.fullmatch(part.converter.pattern, text, re.ASCII) or ("/" in text and not spans):
            raise ValueError(
                f"route {self.text!r}: {part.name}={values[part.name]!r} is nothing that"
                f" {{{part.name}:{part.kind}}} would match"
            )
        return quote(text, safe=PATH_SAFE)


def checked_converters(own: Mapping[str, Converter]) -> dict[str, Converter]:
    """The built-in converters and an application's own, in the order of preference.

    Raises ValueError for a name that is taken and for a pattern that is no regular expression.
    """
    for kind, converter in own.items():
        if kind in CONVERTERS:
            raise ValueError(f"converter {kind!r}: there is one of that name built in")
        try:
            re.compile(converter.pattern, re.ASCII)
        except re.error as error:
            raise ValueError(
                f"converter {kind!r}: its pattern {converter.pattern!r} is no regular"
                f" expression: {error}"
            ) from None
    return {**CONVERTERS, **own}


def checked_prefix(what: str, prefix: str) -> str:
    """A prefix like '/admin', or "" for the root. Raises ValueError for 'admin' or '/admin/'."""
    if prefix == "/":
        return ""
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ValueError(f"{what} {prefix!r}: write it as {'/' + prefix.strip('/')!r}")
    return prefix


def parse_template(text: str, converters: Mapping[str, Converter]) -> Template:
    """Parse and check a path template. Raises ValueError, naming the template and the mend."""
    if not text.startswith("/"):
        raise ValueError(f"route {text!r}: a path starts with a slash; write {'/' + text!r}")
    segments = tuple(_parse_segment(text, raw, converters) for raw in text.split("/"))
    return Template(text, segments).checked()


def takes_many(segment: Segment) -> bool:
    """Whether it is `{name:path}`, which stands for one or more segments of a path."""
    return any(isinstance(part, Parameter) and part.kind == "path" for part in segment)


def segment_pattern(parts: tuple[str | Parameter, ...]) -> re.Pattern[str]:
    """What a segment looks like, with a group for each parameter."""
    pattern = "".join(
        re.escape(part) if isinstance(part, str) else f"(?P<{part.name}>{part.converter.pattern})"
        for part in parts
    )
    return re.compile(pattern, re.ASCII)


def segment_matcher(parts: tuple[str | Parameter, ...]) -> MatchSegment:
    """A function from a segment to the values of its parameters."""
    converters = [part.converter for part in parts if isinstance(part, Parameter)]
    if parts == (parts[0],) and converters == [CONVERTERS["str"]]:
        # What split("/") gives has no slash in it: any segment but the empty one will do.
        return lambda segment: (segment,) if segment else None
    fullmatch = segment_pattern(parts).fullmatch
    if len(parts) == 1:
        return _match_whole(fullmatch, converters[0].to_python)
    to_python = [converter.to_python for converter in converters]
    return _match_mixed(fullmatch, list(zip(_names(parts), to_python, strict=True)))


def specificity(parts: tuple[str | Parameter, ...]) -> tuple[Any, ...]:
    """What sorts the ways through one segment: the lowest is tried first.

    Mixed segments come before plain parameters. Of those, the one with fewer free
    parameters, then the one with more text of its own.
    """
    parameters = [part for part in parts if isinstance(part, Parameter)]
    ranks = [parameter.rank for parameter in parameters]
    if len(parts) == 1:
        return (1, ranks)
    free = [parameter for parameter in parameters if parameter.kind not in BOUNDED]
    shape = [part if isinstance(part, str) else "" for part in parts]
    return (0, len(free), -sum(map(len, shape)), ranks, shape)


def _names(parts: tuple[str | Parameter, ...]) -> list[str]:
    return [part.name for part in parts if isinstance(part, Parameter)]


def _match_whole(fullmatch: Any, to_python: Callable[[str], Any]) -> MatchSegment:
    def match(segment: str) -> tuple[Any, ...] | None:
        if fullmatch(segment) is None:
            return None
        try:
            return (to_python(segment),)
        except ValueError:
            return None

    return match


def _match_mixed(fullmatch: Any, names: list[tuple[str, Callable[[str], Any]]]) -> MatchSegment:
    def match(segment: str) -> tuple[Any, ...] | None:
        # Two free parameters in one segment cost its length squared; this bounds it.
        if len(segment) > LONGEST_MIXED_SEGMENT:
            return None
        found = fullmatch(segment)
        if found is None:
            return None
        try:
            return tuple([to_python(found[name]) for name, to_python in names])
        except ValueError:
            return None

    return match


def _parse_segment(
    text: str, raw: str, converters: Mapping[str, Converter]
) -> str | tuple[str | Parameter, ...]:
    if raw.startswith("<") and raw.endswith(">"):
        mend = "{" + raw[1:-1].rpartition(":")[2] + "}"
        raise ValueError(f"route {text!r}: a parameter is written in braces: {mend}, not {raw}")
    parts: list[str | Parameter] = []
    for piece in re.split(r"(\{[^{}]*\})", raw):
        if piece.startswith("{") and piece.endswith("}"):
            if parts and isinstance(parts[-1], Parameter):
                raise ValueError(f"route {text!r}: nothing between two parameters in {raw!r}")
            parts.append(_parse_parameter(text, piece, converters))
        elif "{" in piece or "}" in piece:
            raise ValueError(f"route {text!r}: a brace without its partner in {raw!r}")
        elif piece:
            parts.append(piece)
    parameters = [part for part in parts if isinstance(part, Parameter)]
    if not parameters:
        return raw
    if len(parts) > 1 and any(part.kind == "path" for part in parameters):
        raise ValueError(f"route {text!r}: a path parameter must be a segment of its own")
    if len([part for part in parameters if part.kind not in BOUNDED]) > 2:
        raise ValueError(f"route {text!r}: more than two free parameters in {raw!r}")
    return tuple(parts)


def _parse_parameter(text: str, piece: str, converters: Mapping[str, Converter]) -> Parameter:
    name, colon, kind = piece[1:-1].partition(":")
    kind = kind if colon else "str"
    if not (name.isidentifier() and name.isascii()):
        raise ValueError(f"route {text!r}: {piece} needs a name that is a Python identifier")
    if kind not in converters:
        raise ValueError(
            f"route {text!r}: no converter {kind!r}; use one of {', '.join(converters)}"
        )
    typed = [known for known in converters if known not in ("str", "path")]
    rank = typed.index(kind) if kind in typed else 1000
    return Parameter(name, converters[kind], kind, rank)


def _list(names: list[str]) -> str:
    return ", ".join(names) if names else "(none)"
