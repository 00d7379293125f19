"""Laws of the renderer: prefixes, masks, verbatim ids, and no control token from text."""

from pathlib import Path

import pytest
import torch
from building import a_task, a_trajectory, a_turn, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import ADDED, SPECIAL

from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.errors import ConfigError, RenderError
from saccade.images.geometry import CoordSpace, PixelBudget
from saccade.images.image import Image
from saccade.render.qwen_vl import QwenVLRenderer, load_renderer
from saccade.tools.zoom import ZoomIn
from saccade.types import Action, Completion, Message, Trajectory, Turn

BUDGET = PixelBudget(factor=28, max_pixels=9 * 28 * 28)
IMAGES = [plain(*s).fit(BUDGET) for s in [(60, 60), (90, 30)]]


@pytest.fixture(scope="module")
def renderer(tiny_qwen2_5_vl: Path) -> QwenVLRenderer:
    return load_renderer(tiny_qwen2_5_vl)


texts = st.lists(
    st.sampled_from([*SPECIAL, *ADDED, " ", "\n", "x", "is", "<", "é", "🙂"]) | st.text(max_size=8),
    max_size=6,
).map("".join)
contents = st.lists(texts | st.sampled_from(IMAGES), max_size=4).map(tuple)
END = -1


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    text = draw(texts)
    verbatim = draw(st.booleans())
    ids = draw(st.lists(st.integers(0, 200), max_size=8)) + ([END] if draw(st.booleans()) else [])
    observation = draw(st.lists(contents, max_size=2))
    completion = Completion(
        text=text,
        finish=draw(st.sampled_from(["stop", "length"])),
        token_ids=tuple(ids) if verbatim else None,
        log_probs=tuple(-0.5 * n for n in range(len(ids))) if verbatim else None,
    )
    return Turn(
        prefix=draw(st.sampled_from(["", "<think>"])),
        completion=completion,
        action=Action(),
        observation=tuple(Message(role="user", content=parts) for parts in observation),
    )


def trajectory(prompt: tuple, steps: list[Turn], end: int, prefix: str = "") -> Trajectory:
    fixed = [
        turn.model_copy(
            update={
                "completion": turn.completion.model_copy(
                    update={
                        "token_ids": turn.completion.token_ids
                        and tuple(end if i == END else i for i in turn.completion.token_ids)
                    }
                )
            }
        )
        for turn in steps
    ]
    return a_trajectory(*fixed, prefix=prefix, prompt=(Message(role="user", content=prompt),))


@given(contents, st.lists(turns(), max_size=3))
@settings(max_examples=120)
def test_each_rendering_is_a_prefix_of_the_next(
    renderer: QwenVLRenderer, prompt: tuple, steps: list[Turn]
) -> None:
    end = renderer.end_of_turn
    for k, turn in enumerate(steps):
        shorter = renderer.render(trajectory(prompt, steps[:k], end, turn.prefix), generation=True)
        longer = renderer.render(trajectory(prompt, steps[: k + 1], end), generation=False)
        assert longer.ids[: len(shorter.ids)] == shorter.ids
        assert longer.sampled[: len(shorter.ids)] == shorter.sampled
        assert longer.images[: len(shorter.images)] == shorter.images


@given(contents, st.lists(turns(), max_size=3))
@settings(max_examples=120)
def test_the_mask_marks_exactly_the_sampled_ids(
    renderer: QwenVLRenderer, prompt: tuple, steps: list[Turn]
) -> None:
    end = renderer.end_of_turn
    whole = trajectory(prompt, steps, end)
    rendered = renderer.render(whole, generation=False)
    expected: list[int] = []
    for turn in whole.turns:
        if turn.completion.token_ids is not None:
            expected += turn.completion.token_ids
        else:
            expected += renderer.encode(turn.completion.text)
            expected += [end] if turn.completion.finish == "stop" else []
    marked = [i for i, sampled in zip(rendered.ids, rendered.sampled, strict=True) if sampled]
    assert marked == expected
    known = [p for p, s in zip(rendered.log_probs, rendered.sampled, strict=True) if p == p and s]
    given_ = [p for t in whole.turns for p in t.completion.log_probs or ()]
    assert known == given_
    assert all(p != p for p, s in zip(rendered.log_probs, rendered.sampled, strict=True) if not s)


@given(contents, st.lists(turns(), max_size=3))
@settings(max_examples=120)
def test_text_never_becomes_a_control_token(
    renderer: QwenVLRenderer, prompt: tuple, steps: list[Turn]
) -> None:
    """Control tokens are as many as the scaffold needs, whatever the texts say."""
    whole = trajectory(prompt, steps, renderer.end_of_turn)
    rendered = renderer.render(whole, generation=False)
    messages = 1 + sum(1 + len(turn.observation) for turn in steps)
    scaffold = [i for i, s in zip(rendered.ids, rendered.sampled, strict=True) if not s]
    every_id = [renderer.tokenizer.convert_tokens_to_ids(name) for name in SPECIAL]
    counts = {name: scaffold.count(i) for name, i in zip(SPECIAL, every_id, strict=True)}
    images = [i for i in (*prompt, *(p for t in steps for m in t.observation for p in m.content))
              if isinstance(i, Image)]  # fmt: skip
    assert counts.pop("<|im_start|>") == messages
    assert counts.pop("<|im_end|>") <= messages
    assert counts.pop("<|vision_start|>") == len(images) == counts.pop("<|vision_end|>")
    pads = sum(i.size.width * i.size.height // 28**2 for i in images)
    assert counts.pop("<|image_pad|>") == pads
    assert not any(counts.values()), counts


def test_a_result_in_parts_never_becomes_a_control_token(renderer: QwenVLRenderer) -> None:
    """`<tool_call>` is no special token: it is found in text that is not made inert."""
    message = Message(role="tool", content=("<tool", IMAGES[0], "_call>"))
    rendered = renderer.render(a_trajectory(prompt=(message,)), generation=True)
    assert renderer.tokenizer.convert_tokens_to_ids("<tool_call>") not in rendered.ids


def test_a_stray_image_token_is_an_error_and_never_silent(renderer: QwenVLRenderer) -> None:
    turn = a_turn(token_ids=(renderer.image_token,))
    with pytest.raises(RenderError, match="image tokens without an image"):
        renderer.render(trajectory(("q",), [turn], 0), generation=False)


def test_an_image_that_was_not_fitted_is_refused(renderer: QwenVLRenderer) -> None:
    image = plain(50, 50)
    with pytest.raises(RenderError, match="factor = 28"):
        renderer.render(trajectory((image,), [], 0), generation=True)


def test_prompt_len_is_where_the_model_begins_to_write(renderer: QwenVLRenderer) -> None:
    turn = a_turn(token_ids=(5, 6))
    done = trajectory(("q",), [turn, turn], renderer.end_of_turn)
    rendered = renderer.render(done, generation=False)
    prompt = renderer.render(done.model_copy(update={"turns": ()}), generation=True)
    assert rendered.prompt_len == len(prompt.ids) == prompt.prompt_len
    assert rendered.sampled.index(True) == rendered.prompt_len


def template(name: str) -> str:
    """A chat template of Qwen as TRL ships it, verbatim."""
    trl = pytest.importorskip("trl", reason="pip install 'saccade-vlm[train]' for Qwen's templates")
    return (Path(trl.__file__).parent / "chat_templates" / name).read_text()


@pytest.mark.parametrize("name", ["qwen2_5.jinja", "qwen3_vl.jinja"])
@pytest.mark.filterwarnings("ignore")
def test_native_tools_are_written_as_qwens_own_template_writes_them(
    renderer: QwenVLRenderer, name: str
) -> None:
    env = Environment(Native(), [ZoomIn()])
    start = env.begin(a_task())
    system = start.prompt[0].text
    calls = '<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>'
    results = [Message(role="tool", content=(text,), call_id="1") for text in ("one", "two")]
    turn = a_turn(text=calls, observation=tuple(results))
    ours = renderer.render(start.model_copy(update={"turns": (turn,)}), generation=True)
    spec = env.record.tools[0]
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    theirs = renderer.tokenizer.apply_chat_template(  # type: ignore[attr-defined]
        [
            {"role": "system", "content": system},
            {"role": "user", "content": "What?"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"type": "function", "function": {"name": "a", "arguments": {}}}]},
            {"role": "tool", "content": "one"},
            {"role": "tool", "content": "two"},
        ],
        tools=[{"type": "function", "function": function}],
        chat_template=template(name), tokenize=False, add_generation_prompt=True,
    )  # fmt: skip
    text = renderer.tokenizer.decode(ours.ids, skip_special_tokens=False)
    assert text.replace("assistant\n\n<", "assistant\n<") == theirs.replace(
        "assistant\n\n<", "assistant\n<"
    )


def test_a_renderer_knows_its_family(tiny_qwen2_5_vl: Path, tiny_qwen3_vl: Path) -> None:
    two, three = load_renderer(tiny_qwen2_5_vl), load_renderer(tiny_qwen3_vl)
    assert (two.coords, two.rule.factor) == (CoordSpace.ABSOLUTE, 28)
    assert (three.coords, three.rule.factor) == (CoordSpace.RELATIVE_1000, 32)


def test_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ConfigError, match="models of type 'gpt2' are not known"):
        load_renderer(tmp_path)


def test_no_class_of_transformers_is_patched(tiny_qwen2_5_vl: Path) -> None:
    import transformers
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl

    before = {name: id(value) for name, value in vars(modeling_qwen2_5_vl).items()}
    forward = modeling_qwen2_5_vl.Qwen2_5_VLForConditionalGeneration.forward
    from saccade.models.load import load

    load(tiny_qwen2_5_vl)
    assert {name: id(value) for name, value in vars(modeling_qwen2_5_vl).items()} == before
    assert modeling_qwen2_5_vl.Qwen2_5_VLForConditionalGeneration.forward is forward
    assert transformers.AutoProcessor.__module__.startswith("transformers")


def test_torchvision_is_absent_or_named_by_the_environment() -> None:
    """CI runs without it; constraints.txt must not bring it back beside CPU torch."""
    constraints = (Path(__file__).parents[2] / "constraints.txt").read_text()
    assert "torchvision" not in constraints
    assert torch.__version__.startswith("2.")
