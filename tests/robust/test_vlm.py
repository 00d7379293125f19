"""A tiny Qwen2.5-VL of random weights as a target, in float64, against explicit sums."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import Image as PILImage
from torch import nn
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as modeling

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.errors import ConfigError
from saccade.fisher.products import Product
from saccade.fisher.spectrum import eigenpairs
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.models.load import LoadedModel, load
from saccade.models.scores import log_probs
from saccade.policies.replay import ReplayPolicy
from saccade.robust.attacks.directions import loss_direction
from saccade.robust.attacks.stepped import Pgd
from saccade.robust.vlm import AnswerSet, SameAgain, WholeAnswer
from saccade.rollout import rollout
from saccade.tools.zoom import ZoomIn
from saccade.types import Task, Trajectory

ANSWERS = ["A", "B", "no", "yes"]


@pytest.fixture(scope="module")
def loaded(tiny_qwen2_5_vl: Path) -> Iterator[LoadedModel]:
    """In float64 throughout; transformers computes norms and rotations in float32 whatever comes.

    They are written again here, by the formulas of its modeling_qwen2_5_vl.py.
    """

    def norm(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)

    def rotate(
        q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = cos.unsqueeze(-2).double(), sin.unsqueeze(-2).double()
        half = modeling.rotate_half
        return q * cos + half(q) * sin, k * cos + half(k) * sin

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modeling.Qwen2_5_VLRMSNorm, "forward", norm)
        patch.setattr(modeling, "apply_rotary_pos_emb_vision", rotate)
        made = load(tiny_qwen2_5_vl, dtype=torch.float64)
        made.model.requires_grad_(requires_grad=False)
        yield made


@pytest.fixture(scope="module")
def asked() -> Trajectory:
    """A question about an image of 120 x 90 pixels that is shown as 28 x 28."""
    pixels = torch.randint(0, 256, (90, 120, 3), generator=torch.Generator().manual_seed(0))
    image = Image.from_pixels(PILImage.fromarray(pixels.to(torch.uint8).numpy()))
    budget = PixelBudget(factor=28, min_pixels=1, max_pixels=28 * 28)
    environment = Environment(DeepEyes(), [ZoomIn()], view=budget)
    task = Task(id="t", prompt=(image, "What is it?"), answer="A")
    return environment.begin(task)


def jacobian(target: AnswerSet, x: torch.Tensor) -> torch.Tensor:
    """(T, C, D) by one backward pass for each entry."""
    x = x.clone().requires_grad_()
    out = target.log_probs(x)[0]
    rows = [
        torch.autograd.grad(entry, x, retain_graph=True)[0].flatten() for entry in out.flatten()
    ]
    return torch.stack(rows).view(-1, out.shape[-1], x.numel())


def explicit(target: WholeAnswer, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The sum over positions of J^T (diag p - p p^T) J v, each by a backward pass of its own."""
    x = x.clone().requires_grad_()
    out = target.log_probs(x)[0]
    w = torch.zeros_like(out, requires_grad=True)
    (back,) = torch.autograd.grad(out, x, w, create_graph=True)
    (pushed,) = torch.autograd.grad(back, w, v.view_as(x), retain_graph=True)
    total = torch.zeros_like(v)
    for t, row in enumerate(out):
        p = row.detach().exp()
        y = p * pushed[t] - p * (p @ pushed[t])
        total += torch.autograd.grad(row, x, y, retain_graph=True)[0].flatten()
    return total


@pytest.mark.parametrize("source", [False, True])
def test_a_closed_choice_is_the_renormalised_distribution(
    loaded: LoadedModel, asked: Trajectory, source: bool
) -> None:
    target = AnswerSet(loaded, asked, ANSWERS, source=source)
    x = target.pixels()
    assert x.shape[2:] == ((90, 120) if source else (28, 28))
    found = eigenpairs(target, x, 3)
    gradients, p = jacobian(target, x)[0], target.log_probs(x)[0].exp()
    rows = p.sqrt()[:, None] * gradients  # the same spectrum as the matrix of their products
    values = torch.linalg.eigvalsh(rows @ rows.T).flip(0)[:3]
    torch.testing.assert_close(found.log_values[0].exp(), values, rtol=1e-9, atol=0)


def test_its_scores_are_those_of_the_sampler(loaded: LoadedModel, asked: Trajectory) -> None:
    """Against `models.log_probs` of the written answers, in float32."""
    target = AnswerSet(loaded, asked, ANSWERS)
    prompt = loaded.renderer.render(asked, generation=True)
    scores = []
    for answer in ANSWERS:
        ids = [*prompt.ids, *loaded.renderer.encode(answer)]
        whole = log_probs(loaded, [prompt._replace(ids=ids)])[0]
        scores.append(whole[len(prompt.ids) :].sum())
    wanted = torch.stack(scores).log_softmax(0)
    torch.testing.assert_close(
        target.log_probs(target.pixels())[0].float(), wanted, atol=1e-5, rtol=0
    )


def test_one_product_serves_all_positions_of_an_answer(
    loaded: LoadedModel, asked: Trajectory
) -> None:
    target = WholeAnswer(loaded, asked, "yes it is")
    x = target.pixels()
    product = Product(target, x)
    assert product.log_probs.ndim == 3
    assert product.log_probs.shape[1] > 3
    v = torch.randn(1, x.numel(), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = product.passes.equivalents
    got = product(v)[0] * product.log_q.exp()
    assert product.passes.equivalents - before <= 4  # whatever the number of positions
    wanted = explicit(target, x, v[0])
    assert float((got - wanted).norm() / wanted.norm()) < 1e-10
    pairs = eigenpairs(target, x, tolerance=1e-9)
    top = pairs.vectors[0, 0].flatten()
    turned = explicit(target, x, top)
    assert float((turned - pairs.log_values[0, 0].exp() * top).norm() / turned.norm()) < 1e-8


def test_fused_attention_leaves_first_derivatives(loaded: LoadedModel, asked: Trajectory) -> None:
    exact = eigenpairs(
        AnswerSet(loaded, asked, ANSWERS), AnswerSet(loaded, asked, ANSWERS).pixels()
    )
    fused = AnswerSet(loaded, asked, ANSWERS, exact=False)
    torch.testing.assert_close(eigenpairs(fused, fused.pixels()).log_values, exact.log_values)


def test_the_pixels_that_the_agent_sees_are_attacked(
    loaded: LoadedModel, asked: Trajectory
) -> None:
    target = AnswerSet(loaded, asked, ANSWERS)
    x = target.pixels()
    label = target.log_probs(x).argmax(1)
    found = Pgd(steps=3)(target, x, label, epsilons=[0.2], norm="linf", levels=255)
    before, after = target.log_probs(x)[0, label], target.log_probs(found.inputs[0])[0, label]
    assert float(after) < float(before)


def test_what_cannot_be_asked_is_named(loaded: LoadedModel, asked: Trajectory) -> None:
    with pytest.raises(ConfigError, match="at least two"):
        AnswerSet(loaded, asked, ["A"])
    with pytest.raises(ConfigError, match="'A' is the beginning of 'A B'"):
        AnswerSet(loaded, asked, ["A", "A B"])
    with pytest.raises(ConfigError, match="there is none at 3"):
        AnswerSet(loaded, asked, ["A", "B"], image=3)
    with pytest.raises(ConfigError, match="has no token"):
        WholeAnswer(loaded, asked, "")
    target = WholeAnswer(loaded, asked, "yes")
    with pytest.raises(ConfigError, match="gram is for one distribution"):
        eigenpairs(target, target.pixels(), method="gram")


def test_a_photograph_shows_what_the_model_is_shown(loaded: LoadedModel, asked: Trajectory) -> None:
    """Our differentiable resize against Pillow's, which rounds to whole levels."""
    photograph = AnswerSet(loaded, asked, ANSWERS, source=True)
    view = AnswerSet(loaded, asked, ANSWERS).pixels()[0]
    image = loaded.renderer.render(asked, generation=True).images[0]
    made = photograph._changed(image, photograph.pixels()[0])
    assert made is not None
    assert (made - view).abs().max() < 2 / 255


@pytest.fixture(scope="module")
def episode(asked: Trajectory) -> Trajectory:
    """Two turns, a crop between them; written by hand, so that there is a call and an answer."""
    call = '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [0, 0, 20, 20]}}'
    script = {"t": [f"<think>so</think><tool_call>{call}</tool_call>", "<answer>yes 7</answer>"]}
    tool = ZoomIn(min_side=0)
    record = asked.environment
    environment = Environment(DeepEyes(), [tool], view=record.view, observation=record.view)
    task = Task(id="t", prompt=(asked.images[0], "What is it?"), answer="A")
    return asyncio.run(rollout(ReplayPolicy(script), environment, task))


@pytest.mark.parametrize("tokens", ["all", "answer"])
def test_the_same_again_is_the_product_of_its_tokens(
    loaded: LoadedModel, episode: Trajectory, tokens: Literal["all", "answer"]
) -> None:
    """Against `models.log_probs` of the finished episode, and 1 minus it."""
    whole = loaded.renderer.render(episode, generation=False)
    scores = log_probs(loaded, [whole])[0]
    written = torch.tensor(whole.sampled)
    if tokens == "answer":
        ids = loaded.renderer.encode("yes 7")
        starts = [i for i in range(len(whole.ids)) if whole.ids[i : i + len(ids)] == ids]
        written = torch.zeros_like(written)
        written[starts[-1] : starts[-1] + len(ids)] = True
    wanted = scores[written].double().sum()
    target = SameAgain(loaded, episode, tokens=tokens)
    same, other = target.log_probs(target.pixels())[0]
    assert float(same) == pytest.approx(float(wanted), abs=1e-4)
    assert float(same.exp() + other.exp()) == pytest.approx(1)


def test_the_way_to_another_answer_does_not_vanish_where_it_is_sure(
    loaded: LoadedModel, episode: Trajectory
) -> None:
    """With logits so large that 1 - p is 0 in float64: the direction is that of log(1 - p)."""
    target = SameAgain(loaded, episode, tokens="answer")
    x = target.pixels()
    rows = target._log_probs

    def sure(states: torch.Tensor) -> torch.Tensor:
        logits = rows(states)
        lifted = logits.clone()
        lifted.scatter_add_(1, target._chosen, torch.full_like(target._chosen, 60.0, dtype=x.dtype))
        return lifted.log_softmax(-1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, "_log_probs", sure)
        same, other = target.log_probs(x)[0]
        assert float(same.exp()) == 1.0
        assert -70 < float(other) < -40
        way = loss_direction(target, x, torch.zeros(1, dtype=torch.long))
    assert torch.isfinite(way).all()
    assert float(way.norm()) > 0
    plain = SameAgain(loaded, episode, tokens="answer")
    x = x.clone().requires_grad_()
    odds = []
    for position in range(len(plain._written)):  # the log of the sum of the others' odds, by hand
        log_p = plain._log_probs(plain._states(x[0], [plain._ids])[0, plain._written - 1])[position]
        mask = torch.ones_like(log_p, dtype=torch.bool)
        mask[plain._chosen[position]] = False
        odds.append(log_p[mask].logsumexp(0) - log_p[plain._chosen[position, 0]])
    (wanted,) = torch.autograd.grad(torch.stack(odds).logsumexp(0), x)
    cosine = torch.nn.functional.cosine_similarity(way.flatten(), wanted.flatten(), dim=0)
    assert float(cosine) > 1 - 1e-6


def test_an_episode_without_an_answer_is_refused(loaded: LoadedModel, asked: Trajectory) -> None:
    with pytest.raises(ConfigError, match="no tokens of 'answer'"):
        SameAgain(loaded, asked, tokens="answer")
    with pytest.raises(ConfigError, match="no tokens of 'all'"):
        SameAgain(loaded, asked)
