"""An error in a user's part: the line that raised it is told, in text that any file can hold."""

import json
from collections.abc import Iterator

import pytest
from building import a_task

from saccade.errors import ConfigError, PluginError, ServiceError
from saccade.plugins import MAX_REASON, MAX_TRACEBACK, Failure, failure_of, guarded
from saccade.recipe import Recipe, make_tasks
from saccade.types import Task


class Rude(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def raised(error: Exception) -> Failure:
    try:
        raise error
    except Exception as caught:
        return failure_of(caught)


def test_the_users_line_is_named_where_a_library_raises() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        reason, traceback = failure_of(error)
    assert reason.startswith("JSONDecodeError: Expecting property name")
    assert "(test_plugins.py:" in reason
    assert reason.endswith("in test_the_users_line_is_named_where_a_library_raises)")
    assert 'json.loads("{")' in (traceback or "")
    assert "decoder.py" in (traceback or "")


@pytest.mark.parametrize("error", [ServiceError("down"), ConfigError("wrong")])
def test_an_error_of_ours_says_it_all(error: Exception) -> None:
    assert raised(error) == (f"{type(error).__name__}: {error}", None)


@pytest.mark.parametrize(
    "error", [ValueError("x" * 10**6), KeyError("\udce9"), Rude(), OSError(2, "none", "\udcff")]
)
def test_whatever_is_raised_can_be_kept(error: Exception) -> None:
    reason, traceback = raised(error)
    assert reason.startswith(type(error).__name__)
    assert len(reason.encode()) < MAX_REASON + 100
    assert len((traceback or "").encode()) < MAX_TRACEBACK + 100
    assert "in raised" in (traceback or "") or len(str(error.args)) > MAX_TRACEBACK


def test_an_error_without_a_traceback_has_no_line() -> None:
    assert failure_of(KeyError("x")).reason == "KeyError: 'x'"


def test_what_is_guarded_is_told_as_the_part_that_is_called() -> None:
    says = r"^here: KeyError: 'x' \(test_plugins.py:\d+, in "
    with pytest.raises(PluginError, match=says) as e, guarded("here"):
        raise KeyError("x")
    assert failure_of(e.value).reason == str(e.value)
    assert "raise KeyError" in (failure_of(e.value).traceback or "")
    with pytest.raises(ServiceError, match=r"^down$"), guarded("here"):
        raise ServiceError("down")


class Breaks:
    """A source whose second task cannot be made."""

    def tasks(self, *, seed: int, max_pixels: int) -> Iterator[Task]:
        yield a_task(id="first")
        yield {}["second"]

    def count(self) -> int:
        return 2


def test_a_source_that_raises_is_told_with_its_line() -> None:
    tasks = make_tasks(Recipe.model_validate({"tasks": {"kind": f"{__name__}:Breaks"}}))
    assert next(tasks).id == "first"
    with pytest.raises(PluginError, match=r"^tasks: KeyError: 'second' \(test_plugins.py:\d+"):
        next(tasks)
