"""Our benchmarks, loop and provider in Inspect AI 0.3.285, against a real server on the loopback.

One process does everything (`inspect_worker`), in the environment that `make test-inspect` makes;
what the server was sent is looked at here.
"""

import hashlib
import json
import subprocess
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image as PILImage

from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer

PYTHON = Path(__file__).parents[2] / "build" / "inspect" / "bin" / "python"
ZOOM = (
    '<think>\n Too  small: "a\\b". </think>\n\n<tool_call>\n{"name":"image_zoom_in_tool", '
    '"arguments": {"bbox_2d": [10, 20, 150, 120]}}\n</tool_call>'
)
"""With spaces, quotes and a key order that no writer would choose again."""
ANSWER = "<think>Now  I see.</think>\n\n<answer>blue</answer>"


BROKEN = "sa_2"
"""The question on which the server fails."""


class Played(NamedTuple):
    found: dict[str, Any]
    requests: list[ScriptedRequest]
    photos: dict[str, str]
    """Name of a sample -> the digest of its file."""

    def of(self, model: str) -> list[ScriptedRequest]:
        return [r for r in self.requests if r.body["model"] == model]


def script(request: ScriptedRequest) -> str | ScriptedReply:
    """The model, by its name."""
    called = {"id": "c1", "type": "function", "function": {
        "name": "image_zoom_in_tool", "arguments": '{"bbox_2d":  [10, 20, 150, 120]}'}}  # fmt: skip
    match request.body["model"]:
        case "agent" if BROKEN in request.text:
            return ScriptedReply(status=400, raw=b'{"error": {"message": "a broken server"}}')
        case "agent":
            return ZOOM if request.turn == 0 else ANSWER
        case "native" if request.turn == 0:
            return ScriptedReply("Let me  look.", thought="Hm.", tool_calls=[called])
        case "native":
            return "It is blue."
        case "plain":
            return "The answer is blue."
        case "hand" if request.turn == 0:
            text = "<think> a\n</think>\n\nI  look. "
            return ScriptedReply(text, tool_calls=[called | {"function": {
                "name": "look", "arguments": '{"n": 1.50}'}}])  # fmt: skip
    return "Done."


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("inspect")
    place = folder / "vstar" / "direct_attributes"
    place.mkdir(parents=True)
    photos = {}
    for number in range(3):
        file = place / f"sa_{number}.jpg"
        PILImage.radial_gradient("L").convert("RGB").resize((336, 252 + number)).save(file)
        row = {"question": f"Which colour (sa_{number})?", "target_object": ["cup"],
               "bbox": [[10, 20, 30, 40]], "options": ["blue", "red", "white"]}  # fmt: skip
        file.with_suffix(".json").write_text(json.dumps(row))
        name = f"vstar-direct_attributes-sa_{number}"
        photos[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    with ScriptedServer(script) as server:
        worker = Path(__file__).with_name("inspect_worker.py")
        command = [str(PYTHON), str(worker), str(folder), server.url]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Played(json.loads(done.stdout.splitlines()[-1]), server.requests, photos)


def written(request: ScriptedRequest) -> list[str]:
    return [str(m["content"]) for m in request.messages if m["role"] == "assistant"]


def test_inspect_finds_the_package_by_its_entry_point() -> None:
    (found,) = (e for e in entry_points(group="inspect_ai") if e.name == "saccade")
    assert found.value == "saccade.engines.inspect.registry"


def test_every_text_of_the_model_goes_back_byte_for_byte(played: Played) -> None:
    again = [r for r in played.of("agent") if r.turn == 1]
    assert len(again) == 2, "two questions; the third failed, and a limit ended the fourth"
    assert {text for r in again for text in written(r)} == {ZOOM}


def test_the_crop_goes_where_the_dialect_wants_it(played: Played) -> None:
    last = next(r for r in played.of("agent") if r.turn == 1).messages[-1]
    assert last["role"] == "user"
    first, image, *_ = last["content"]  # type: ignore[misc]
    assert first == {"type": "text", "text": "<tool_response>"}
    assert image["type"] == "image_url"  # type: ignore[index]


def test_the_file_of_a_question_is_in_the_log_as_it_is(played: Played) -> None:
    samples = played.found["agent"]["samples"]
    assert {name.partition(":")[0]: s["input"] for name, s in samples.items()} == {
        name: [digest] for name, digest in played.photos.items()
    }


def test_the_log_holds_thoughts_calls_and_crops(played: Played) -> None:
    good = [s for s in played.found["agent"]["samples"].values() if not s["error"]]
    assert len(good) == 2
    for sample in good:
        assert sample["roles"] == ["system", "user", "assistant", "tool", "assistant"]
        assert sample["calls"] == [["image_zoom_in_tool", {"bbox_2d": [10, 20, 150, 120]}]]
        assert sample["reasoning"] == ['\n Too  small: "a\\b". ', "Now  I see."]
        assert len(sample["images"]) == 2


def test_the_scores_are_our_verdicts(played: Played) -> None:
    found = played.found["agent"]
    good = [s for s in found["samples"].values() if not s["error"]]
    assert {s["score"]["verdict"]["value"] for s in good} == {"1.0"}
    headline = found["headline"]
    assert headline["accuracy"] == headline["accuracy/direct_attributes"] == 1.0
    # Two of two are right: Wilson's interval is [n / (n + z^2), 1].
    assert headline["accuracy low"] == pytest.approx(2 / (2 + 1.959964**2), abs=1e-4)
    assert (headline["tool_call_rate"], headline["truncated"]) == (1.0, 0.0)


def test_a_server_that_fails_costs_its_sample_and_no_score(played: Played) -> None:
    found = played.found["agent"]
    assert found["status"] == "success"
    broken = found["samples"][f"vstar-direct_attributes-{BROKEN}:1"]
    assert "a broken server" in broken["error"]
    assert broken["score"] == {}


def test_a_limit_of_inspect_ends_the_sample_as_inspect_says(played: Played) -> None:
    samples = played.found["limit"]["samples"]
    assert {s["limit"] for s in samples.values()} == {"message"}
    assert {s["error"] for s in samples.values()} == {None}


def test_native_calls_go_back_by_their_ids_and_images_after_them(played: Played) -> None:
    again = next(r for r in played.of("native") if r.turn == 1)
    assistant, result, crop = again.messages[-3:]
    assert assistant["content"] == "Let me  look."
    (call,) = assistant["tool_calls"]  # type: ignore[misc]
    assert call["function"]["arguments"] == '{"bbox_2d":  [10, 20, 150, 120]}'  # type: ignore[index]
    assert (result["role"], result["tool_call_id"]) == ("tool", call["id"])  # type: ignore[index]
    assert crop["role"] == "user"
    assert len(again.images) == 2
    (tool,) = again.body["tools"]  # type: ignore[misc]
    schema = tool["function"]["parameters"]  # type: ignore[index]
    assert schema["properties"]["bbox_2d"]["minItems"] == 4  # type: ignore[index]


def test_another_provider_plays_the_native_dialect(played: Played) -> None:
    (sample,) = played.found["another"]["samples"].values()
    assert sample["roles"] == ["system", "user", "assistant", "tool", "assistant"]
    assert sample["calls"] == [["image_zoom_in_tool", {"bbox_2d": [10, 20, 150, 120]}]]
    assert sample["score"]["verdict"]["value"] == "1.0"


def test_another_solver_is_scored_by_its_completion(played: Played) -> None:
    samples = played.found["plain"]["samples"]
    assert {s["score"]["verdict"]["value"] for s in samples.values()} == {"1.0"}
    (request, *_) = played.of("plain")
    sent = [hashlib.sha256(data).hexdigest() for data in request.image_bytes]
    assert sent[0] in played.photos.values(), "an image that is shown whole goes out as its file"


def test_turns_of_inspects_own_loop_go_back_as_they_came(played: Played) -> None:
    first, second, changed = played.of("hand")
    assert {k: first.body[k] for k in ("max_tokens", "temperature", "seed", "stop")} == {
        "max_tokens": 7, "temperature": 0.5, "seed": 3, "stop": ["END"],
    }  # fmt: skip
    assistant, result, image = second.messages[1:]
    assert assistant["content"] == "<think> a\n</think>\n\nI  look. "
    assert assistant["tool_calls"][0]["function"]["arguments"] == '{"n": 1.50}'  # type: ignore[index,call-overload]
    assert (result["role"], result["content"]) == ("tool", "Here.")
    assert image["role"] == "user"
    assert second.images[0].size == (1, 1)
    assert changed.messages[1]["content"] == "Other words."
    hand = played.found["hand"]
    assert (hand["second"], hand["arguments"], hand["stop"]) == ("Done.", {"n": 1.5}, "tool_calls")


def test_a_setting_that_would_be_lost_is_refused(played: Played) -> None:
    top_k, penalty = played.found["hand"]["refused"]
    assert "top_k" in top_k
    assert "frequency_penalty" in penalty
