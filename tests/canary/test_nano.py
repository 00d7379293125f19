"""nano behind a real server: asked about its own world."""

import asyncio
import threading
from collections.abc import Iterator
from functools import cache

from pydantic import JsonValue

from saccade.canary.examine import examine_policy
from saccade.canary.warning import blindness, knows_the_world
from saccade.embedded import folder_of
from saccade.images.image import Image
from saccade.models.generate import request_turn, write_turns
from saccade.models.load import Stamp, load
from saccade.nano.spec import environment as nano_environment
from saccade.nano.spec import sections
from saccade.recipe import Recipe, make_environment, make_policy
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.types import Message, Sampling, Trajectory


@cache
def nano() -> Stamp:
    return load(str(folder_of("nano-look")))


class NanoServer:
    """The local model behind HTTP: its own renderer, sampler and weights."""

    def __init__(self, *, drops_images: bool = False) -> None:
        self._loaded = nano()
        self._record = nano_environment().record
        self._drops_images = drops_images
        self._lock = threading.Lock()

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        images = iter(Image.from_bytes(data) for data in request.image_bytes)
        trajectory = Trajectory(
            id="t", task_id="t", environment=self._record,
            prompt=tuple(self._message(message, images) for message in request.messages),
        )  # fmt: skip
        stop, knows = request.body.get("stop"), request.messages[0]["role"] == "system"
        sampling = Sampling(
            max_tokens=min(int(str(request.body.get("max_tokens", 64))), 64 if knows else 2),
            stop=tuple(map(str, stop)) if isinstance(stop, list) else (),
        )
        with self._lock:
            (done,) = write_turns(self._loaded, [request_turn(self._loaded, trajectory, sampling)])
        text = done.text
        for end in sampling.stop:
            text = text.removesuffix(end)
        return ScriptedReply(text, finish=done.finish)

    def _message(self, message: dict[str, JsonValue], images: Iterator[Image]) -> Message:
        content = message["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        shown: list[str | Image] = []
        for part in parts:
            assert isinstance(part, dict)
            if part["type"] == "text":
                shown.append(str(part["text"]))
            elif (image := next(images)) and not self._drops_images:
                shown.append(image)
        return Message(role=message["role"], content=tuple(shown))  # type: ignore[arg-type]


WORLD: JsonValue = {"kind": "world", "family": "read", "n": 2}


def nano_recipe(url: str, model: str = "nano-look") -> Recipe:
    policy: JsonValue = {"kind": "openai", "base_url": url, "model": model, "backoff_s": 0.001}
    return Recipe.model_validate({"policy": policy, "tasks": WORLD, **sections()})


def test_nano_behind_a_server_sees_its_own_world_whatever_it_is_called_there() -> None:
    with ScriptedServer(NanoServer()) as server:
        findings = asyncio.run(examine_policy(nano_recipe(server.url, model="m"), n=4))
    assert not any(one.state == "error" for one in findings), "drawings are not held against it"
    by_part = {one.part: one for one in findings}
    assert by_part["vision"].state == "ok"
    assert by_part["frame"].lines == {"environment.coords": "absolute"}
    assert by_part["max_tokens"].text == "cuts the turn, and finish_reason says so"


def said_before_a_run(recipe: Recipe) -> str | None:
    async def ask() -> str | None:
        policy = make_policy(recipe)
        try:
            return await blindness(recipe, policy, make_environment(recipe))
        finally:
            await policy.close()

    return asyncio.run(ask())


def test_a_server_that_drops_the_images_of_nano_is_found_before_a_run() -> None:
    with ScriptedServer(NanoServer(drops_images=True)) as server:
        said = said_before_a_run(nano_recipe(server.url))
    assert said is not None
    assert "seems blind" in said


def test_before_tasks_of_the_world_a_model_may_know_nothing_else() -> None:
    """Here the server has another name for nano, which reads no drawings."""
    with ScriptedServer(NanoServer()) as server:
        assert said_before_a_run(nano_recipe(server.url, model="m")) is None
    assert len(server.requests) >= 8 + 4


def test_embedded_models_are_known_by_name_wherever_they_are_served() -> None:
    assert knows_the_world("nano-look")
    assert knows_the_world("org/nano-sft")
    assert knows_the_world(str(folder_of("nano-base")))
    assert not knows_the_world("Qwen/Qwen2.5-VL-7B-Instruct")
