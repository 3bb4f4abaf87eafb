"""Directory: a handler that answers with the files of a directory, and with nothing else."""

from __future__ import annotations

import errno
import os
import re

from .model.errors import HTTPException
from .model.files import FileResponse, answer_file
from .model.media_types import content_type_of
from .model.request import Request
from .model.response import Response, redirect_to_path

INDEX = "index.html"

# Names that are never looked for, by what kind of system looks. Hidden files hold secrets
# (.env, .git), and ".." leads out; .well-known is public by its purpose (RFC 8615).
_HIDDEN = r"\.(?!well-known\Z).*"
REFUSED = {
    "posix": re.compile(rf"|{_HIDDEN}", re.DOTALL),
    # There a name may also be a path, a drive, a stream, a device, or short for another name.
    "nt": re.compile(
        rf'|{_HIDDEN}|.*[\\/:*?"<>|~\x00-\x1f].*|.*[. ]'
        r"|(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\xb9\xb2\xb3]) *(?:\..*)?",
        re.DOTALL | re.IGNORECASE,
    ),
}

# Trouble that is none of the path's: a 404 would be a lie.
_OUR_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})


class Directory:
    """A handler for the files below a directory; `path` is what the client asks for there.

    A path that ends with a slash means the index.html there; one that should but does not is
    redirected. Nothing is listed, hidden files are not there, nor is what a symbolic link
    outside of the directory leads to. Whatever is wrong with a path is a 404.

    A relative directory begins in the current folder. Raises ValueError if it does not exist.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.path.realpath(directory)
        if not os.path.isdir(self.directory):
            raise ValueError(
                f"static: there is no directory {self.directory!r}; a relative path begins in"
                " the current folder: Path(__file__).parent / 'static' is beside the source"
            )

    def __call__(self, request: Request, path: str = "") -> Response:
        try:
            return self._answer(request, path.split("/"))
        except ValueError:  # a NUL in it, or half a character
            raise HTTPException(404) from None
        except OSError as error:
            if error.errno in _OUR_OWN:
                raise
            raise HTTPException(404) from None

    def _answer(self, request: Request, names: list[str]) -> Response:
        if not names[-1]:
            names[-1] = INDEX
        found = self._resolve(names)
        if os.path.isdir(found):
            self._resolve([*names, INDEX])
            return redirect_to_path(request, request.path + "/")
        # The type is that of the name: a link may lead to a file that is called otherwise.
        file = FileResponse(found, content_type=content_type_of(names[-1]))
        return answer_file(request, file)

    def _resolve(self, names: list[str]) -> str:
        """Where a path really leads, links followed; FileNotFoundError unless to in here."""
        refused = REFUSED[os.name]
        if not any(refused.fullmatch(name) for name in names):
            found = os.path.realpath(os.path.join(self.directory, *names), strict=True)
            # By components: /srv/static-old is not in /srv/static.
            if os.path.commonpath([self.directory, found]) == self.directory:
                return found
        raise FileNotFoundError
