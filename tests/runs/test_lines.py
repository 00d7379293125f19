"""What a run folder writes, it reads: the largest episodes too, and nothing else is kept as one."""

import json
from pathlib import Path

import pytest
from building import a_result, a_task, a_trajectory, a_turn
from pydantic import JsonValue

from saccade.errors import FormatError
from saccade.runs import lines
from saccade.runs.folder import RunFolder, RunReader
from saccade.runs.manifest import Manifest
from saccade.types import Action, StopReason, ToolCall, Trajectory, Turn
from saccade.types.trajectory import WireCall, distinct_ids

MANIFEST = Manifest(verb="rollout", config={})


def kept(folder: Path, *episodes: Trajectory) -> dict[str, Trajectory]:
    """What a resumed run finds of episodes that were appended."""
    with RunFolder(folder, MANIFEST) as run:
        for episode in episodes:
            run.append(a_task(id=episode.task_id), episode)
    with RunFolder(folder, MANIFEST):
        return {entry.task.id: entry.trajectory for entry in RunReader(folder).entries()}


def named(name: str, *turns: Turn, **fields: object) -> Trajectory:
    return a_trajectory(*turns, id=f"{name}:0", task_id=name, **fields)


def nested(depth: int) -> JsonValue:
    value: JsonValue = 0
    for _ in range(depth):
        value = [value]
    return value


def calling(depth: int) -> Turn:
    call = ToolCall(name="z", arguments={"x": nested(depth)})
    return a_turn(answer="7").model_copy(update={"action": Action(calls=(call,))})


def test_an_episode_of_two_million_tokens_is_read_again(tmp_path: Path) -> None:
    """Ids of six digits, log-probabilities of seventeen: four million numbers."""
    half = 1_000_000
    turn = a_turn(token_ids=(151_643,) * half, log_probs=(-0.12345678901234567,) * half)
    found = kept(tmp_path / "run", named("long", turn, turn))["long"]
    assert found.stop is StopReason.ANSWER
    assert [len(turn.completion.token_ids or ()) for turn in found.turns] == [half, half]


def test_code_and_formulas_in_a_text_are_no_values_of_it(tmp_path: Path) -> None:
    text = '{[\\frac{1}{2}, "a": {}]}\\' * 200_000
    found = kept(tmp_path / "run", named("long", a_turn(a_result(text), text=text)))["long"]
    assert found.turns[0].completion.text == text


@pytest.mark.parametrize("limit", ["MAX_VALUES", "MAX_TEXTS", "MAX_NESTED", "MAX_LINE_BYTES"])
def test_at_the_border_what_is_written_is_what_is_read(
    tmp_path: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one less than an episode has, it is aborted; with what it has, it is kept."""
    held = {"a": [[1, 2.5, "x, y: {[", {"b": None}]], "c": "\\"}
    whole = named("whole", a_turn(a_result("{", "}"), token_ids=(1, 2)), annotations=held)
    text = whole.model_dump_json()
    bare = json.dumps(_without_texts(json.loads(text)), separators=(",", ":"))
    nested = bare.count("[") + bare.count("{")
    has = {"MAX_VALUES": bare.count(","), "MAX_TEXTS": bare.count('"') // 2,
           "MAX_NESTED": nested, "MAX_LINE_BYTES": len(text) + 1}  # fmt: skip
    monkeypatch.setattr(lines, limit, has[limit])
    assert kept(tmp_path / "a", whole)["whole"].stop is StopReason.ANSWER
    monkeypatch.setattr(lines, limit, has[limit] - 1)
    with pytest.raises(FormatError, match=r"trajectories\.jsonl:1: .*more than"):
        list(RunReader(tmp_path / "a").entries())
    refused = kept(tmp_path / "b", whole)["whole"]
    assert refused.stop is StopReason.ABORTED
    assert "more than" in (refused.error or "")


def _without_texts(value: JsonValue) -> JsonValue:
    """Texts and keys emptied of what JSON writes with; each key stays another one."""
    if isinstance(value, dict):
        return {f"k{n}": _without_texts(inner) for n, inner in enumerate(value.values())}
    if isinstance(value, list):
        return [_without_texts(inner) for inner in value]
    return "" if isinstance(value, str) else value


def test_arguments_that_are_nested_too_deeply_cost_their_episode_alone(tmp_path: Path) -> None:
    """A model nests its arguments as deeply as it likes; JSON is read to 200 levels."""
    episodes = [named(f"d{depth}", calling(depth)) for depth in range(180, 250, 20)]
    found = kept(tmp_path / "run", *episodes, named("good", a_turn(answer="7")))
    assert len(found) == len(episodes) + 1
    assert found["good"].stop is StopReason.ANSWER
    assert found["d180"].stop is StopReason.ANSWER
    assert found["d240"].stop is StopReason.ABORTED
    assert "recursion limit" in (found["d240"].error or "")


def test_without_reading_back_one_episode_makes_a_run_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as off:
        off.setattr(lines, "record_of", lambda *_: None)
        with RunFolder(tmp_path / "run", MANIFEST) as run:
            run.append(a_task(id="d"), named("d", calling(230)))
    with pytest.raises(FormatError, match="recursion limit"):
        RunFolder(tmp_path / "run", MANIFEST)


def test_a_task_that_no_reader_would_take_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_VALUES", 100)
    with RunFolder(tmp_path / "run", MANIFEST) as run:
        with pytest.raises(FormatError, match=r"tasks\.jsonl: long: more than 100 values"):
            run.append(a_task(id="long", meta={"x": [0] * 101}), named("long"))
        assert not run.done
        assert not any(file.stat().st_size for file in (tmp_path / "run").glob("*.jsonl"))


@pytest.mark.parametrize("wrong", ["token_ids", "turns", "parts", "extra"])
def test_a_million_mistakes_cost_one_message(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_MISTAKES", 10)
    record = json.loads(named("t", a_turn(token_ids=(1,)), score=1.0).model_dump_json())
    many = {f"k{n}": "x" for n in range(1000)}
    if wrong == "token_ids":
        record["turns"][0]["completion"]["token_ids"] = ["x"] * 1000
    elif wrong == "turns":
        record["turns"] = [{}] * 1000
    elif wrong == "parts":
        record["score"]["parts"] = many
    else:
        record |= many
    with pytest.raises(FormatError) as caught:
        lines.record_of(json.dumps(record).encode(), Trajectory, {}, "here")
    assert len(str(caught.value)) < 300
    mistakes = getattr(caught.value.__cause__, "error_count")()  # noqa: B009
    assert (
        mistakes <= 3 if wrong in ("token_ids", "turns") else "1000 mistakes" in str(caught.value)
    )


def test_ids_that_are_made_up_are_found_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that take what would be made up next, before calls that have none."""
    copies = []
    copied = WireCall.model_copy

    def model_copy(call: WireCall, *, update: dict[str, object]) -> WireCall:
        copies.append(call)
        return copied(call, update=update)

    monkeypatch.setattr(WireCall, "model_copy", model_copy)
    ids = [f"call{300 + n:05d}" for n in range(300)] + [""] * 300
    made = distinct_ids([WireCall(id=name, name="z", arguments="{}") for name in ids])
    assert len({call.id for call in made}) == 600
    assert len(copies) < 700


def test_a_line_that_is_cut_off_is_named_and_why() -> None:
    with pytest.raises(FormatError, match=r"^here:2: damaged \(Invalid JSON: .*\)$"):
        lines.record_of(b'{"id": "t', Trajectory, {}, "here:2")
