"""Answers that are not what was asked for."""

from __future__ import annotations

from pydantic import JsonValue
from starlette.responses import JSONResponse, Response


class Refusal(Exception):
    """A request that is not served: a status and a reason, which repeats nothing of the request."""

    def __init__(
        self, status: int, error: str, *, retry_after: int | None = None, close: bool = False
    ) -> None:
        """Say what is wrong.

        Args:
            status: 4xx, or 503.
            error: The reason.
            retry_after: Seconds after which it may go better.
            close: Whether what follows on the connection cannot be understood any more.
        """
        super().__init__(error)
        self.status, self.error, self.retry_after, self.close = status, error, retry_after, close

    def answer(self, body: JsonValue) -> Response:
        """The answer, with a body in the format of the route."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.close:
            headers["Connection"] = "close"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(body, self.status, headers)


class Gone(Exception):
    """The client has left within its request: there is nobody to answer."""


def plain(error: str) -> JsonValue:
    """A refusal in our own format."""
    return {"error": error}
