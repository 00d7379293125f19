"""Responses of chat servers, made by hand, and what is read from them."""

import json

from saccade.client.failures import Response
from saccade.client.reply import Reply, read

URL = "http://server/v1"


def response(body: object, status: int = 200, **headers: str) -> Response:
    """A response with a JSON body, or with these bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, content)


def completion(message: object, **choice: object) -> dict[str, object]:
    """A chat completion with one choice."""
    return {"choices": [{"message": message, "finish_reason": "stop", **choice}]}


def reply_to(message: object, **choice: object) -> Reply:
    """What is read from a completion with this message."""
    return read(URL, response(completion(message, **choice)))
