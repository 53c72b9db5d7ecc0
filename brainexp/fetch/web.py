"""Requests that try again where trying again can help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from brainexp import __version__
from brainexp.errors import DataError

if TYPE_CHECKING:
    from requests import Response, Session

#: What servers answer when they are busy.
BUSY = (429, 500, 502, 503, 504)


class UnreachableError(DataError):
    """A store that does not answer, or no network at all."""


@dataclass(frozen=True)
class Web:
    """How stores are asked.

    Parameters
    ----------
    attempts : int
        How often a request is made that fails, or makes no progress.
    wait_s : float
        Before the second attempt, in seconds; twice as long before each further one, or as long as the server says.
    timeout_s : float
        Longest silence of a server, in seconds.
    """

    attempts: int = 5
    wait_s: float = 1.0
    timeout_s: float = 60.0

    def session(self) -> Session:
        """Return a session for one thread."""
        import requests
        from urllib3.util import Retry

        session = requests.Session()
        retry = Retry(
            total=self.attempts - 1,
            connect=1,  # a server that is not there, or no network, should be told soon
            backoff_factor=self.wait_s,
            status_forcelist=BUSY,
            allowed_methods=("GET", "HEAD"),
            raise_on_status=False,
        )
        for scheme in ("https://", "http://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
        # Sizes and digests are those of the file, not of what a server makes of it on the way.
        session.headers.update({"User-Agent": f"brainexp/{__version__}", "Accept-Encoding": "identity"})
        return session

    def get(self, session: Session, url: str, **options: Any) -> Response:
        """Get an address.

        Raises
        ------
        UnreachableError
            If the server does not answer.
        DataError
            If it says no.
        """
        import requests

        try:
            response = session.get(url, timeout=self.timeout_s, **options)
        except requests.RequestException as error:
            raise UnreachableError(f"{urlsplit(url).hostname} cannot be reached ({_cause(error)}).") from None
        if response.status_code >= 400 and response.status_code != 416:
            response.close()
            raise refused(url, response.status_code)
        return response


def refused(url: str, status: int) -> DataError:
    """What a server's no means."""
    meaning = {
        401: "it wants a login",
        403: "it does not let strangers in",
        404: "it is not there: the store may have moved it",
        410: "it is gone",
        429: "too many requests; wait and run the same command again",
    }.get(status, "the server is in trouble; run the same command again later" if status >= 500 else "it was refused")
    return DataError(f"{url} answers {status}: {meaning}.")


def _cause(error: Exception) -> str:
    """The innermost of nested errors, without the addresses of objects in memory."""
    while isinstance(error.__cause__ or error.__context__, Exception):
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
