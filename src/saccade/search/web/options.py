"""What every search engine of the web can be told."""

from __future__ import annotations

from pydantic import ConfigDict, JsonValue, field_validator

from saccade.types import Record
from saccade.untrusted.secrets import check_address, check_variable

_ELSEWHERE = {"base_url", "key_env", "images", "thumbnails"}
"""What differs from machine to machine and not in its results."""


class WebOptions(Record):
    """A search engine that is asked over HTTP."""

    model_config = ConfigDict(hide_input_in_errors=True)  # somebody may have put a key there

    base_url: str
    """Address of the service."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        check_address(value, "key_env")
        return value.rstrip("/")

    @property
    def chosen(self) -> dict[str, JsonValue]:
        """What results depend on: all that was chosen, but addresses, files and names of keys."""
        chosen = self.model_dump(mode="json", exclude=_ELSEWHERE, exclude_none=True)
        return {name: value for name, value in chosen.items() if value != []}


class KeyOptions(WebOptions):
    """A search engine that wants a key."""

    base_url: str
    """Address of the service; the default is the published one."""
    key_env: str
    """Name of the environment variable with the key; the key itself is never written anywhere."""

    @field_validator("key_env")
    @classmethod
    def _is_a_variable(cls, value: str) -> str:
        check_variable(value)
        return value
