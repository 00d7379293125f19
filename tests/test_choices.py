"""Arguments that are one of a few words are looked at when they are given: types are not."""

import asyncio
from collections.abc import Callable

import pytest
import torch

from saccade.config import check_choice
from saccade.dialects.base import Seam, Seams
from saccade.errors import ConfigError
from saccade.models.batch import collate
from saccade.sandbox.options import RemoteOptions
from saccade.sandbox.pool import Notebook, Sandbox
from saccade.sandbox.remote import RemoteSandbox
from saccade.tools.staged import StagedZoom
from saccade.tools.zoom import ZoomIn
from saccade.train.advantages import select_groups, shared_scale
from saccade.world.digits import members


def remote(after_kill: str) -> None:
    """A notebook elsewhere; no host is asked."""

    async def opened() -> None:
        sandbox = RemoteSandbox(RemoteOptions(urls=("http://127.0.0.1:9",)))
        async with sandbox.notebook(after_kill=after_kill):  # type: ignore[arg-type]
            pass

    asyncio.run(opened())


CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "Notebook": (lambda: Notebook(Sandbox(), after_kill="repaly"), "after_kill: .*'replay'"),  # type: ignore[arg-type]
    "RemoteNotebook": (lambda: remote("Fresh"), "after_kill: .*did you mean 'fresh'"),
    "StagedZoom": (lambda: StagedZoom(ZoomIn(), "blanc", {}), "place: .*did you mean 'blank'"),  # type: ignore[arg-type]
    "collate": (lambda: collate(None, [], side="Right"), "side: .*did you mean 'right'"),  # type: ignore[arg-type]
    "shared_scale": (lambda: shared_scale(torch.zeros(2, 2), "batches"), "scale: .*mean 'batch'"),  # type: ignore[arg-type]
    "select_groups": (
        lambda: select_groups(torch.zeros(2, 2), "most-varied", at_most=1),  # type: ignore[arg-type]
        "select: .*did you mean 'most_varied'",
    ),
    "force": (
        lambda: Seams(thought=None, call=Seam("<c>", "</c>"), answer=None).force("cal"),
        "move: .*did you mean 'call'",
    ),  # type: ignore[arg-type]
    "digits": (lambda: members("Train"), "split: .*did you mean 'train'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_word_is_answered_with_the_right_ones(name: str) -> None:
    call, match = CALLS[name]
    with pytest.raises(ConfigError, match=match):
        call()


@pytest.mark.parametrize("value", [True, 1.0, None, "1", [], "x" * 1000])
def test_a_choice_is_of_its_type(value: object) -> None:
    check_choice("n", 1, (1, 2))
    with pytest.raises(ConfigError, match="n: expected one of 1, 2, got") as raised:
        check_choice("n", value, (1, 2))
    assert len(str(raised.value)) < 200
