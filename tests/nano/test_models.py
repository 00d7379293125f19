"""What is shipped: small, ordinary to load, and as good as the documents say (in miniature)."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from saccade.bench.sets.search.realx import SEARCHES
from saccade.config import validate
from saccade.embedded import DEFAULT, MODELS, folder_of, resolve
from saccade.measures.summary import summary
from saccade.models.load import read_stamp
from saccade.nano.deepeyes_v2 import phrases as deepeyes_v2
from saccade.nano.deepeyes_v2 import spec
from saccade.nano.evaluate import environment_of, evaluate, questions
from saccade.nano.spec import environment
from saccade.nano.tokenizer import build_tokenizer
from saccade.policies.hf import HFOptions, HFPolicy
from saccade.recipe import Recipe, make_environment

MIB = 2**20
SECOND = ("nano-base-v2", "nano-sft-v2", "nano-agent")
"""The models of DeepEyesV2; the others are of DeepEyes."""


def policy(name: str) -> HFPolicy:
    return HFPolicy(HFOptions(path=str(folder_of(name))))


def test_all_shipped_weights_stay_under_twelve_megabytes() -> None:
    root = folder_of(DEFAULT).parent
    assert sorted(p.name for p in root.iterdir()) == sorted(MODELS)
    assert sum(f.stat().st_size for f in root.rglob("*") if f.is_file()) < 12 * MIB


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_an_ordinary_checkpoint(name: str) -> None:
    folder = folder_of(name)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert type(model) is Qwen2_5_VLForConditionalGeneration
    state = load_file(folder / "model.safetensors")
    assert {w.dtype for w in state.values()} == {torch.float16}
    assert model.dtype == torch.float16
    assert sum(p.numel() for p in model.parameters()) < 1_000_000
    processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
    assert processor.patch_size == 7
    assert AutoTokenizer.from_pretrained(folder).is_fast


@pytest.mark.parametrize("name", MODELS)
def test_its_tokenizer_is_the_one_that_the_code_builds(name: str) -> None:
    """A changed prompt or tool description makes phrases that the weights have never seen."""
    shipped = json.loads((folder_of(name) / "tokenizer.json").read_text())
    words = deepeyes_v2.phrases() if name in SECOND else None
    built = json.loads(build_tokenizer(words).backend_tokenizer.to_str())
    assert shipped["added_tokens"] == built["added_tokens"]
    assert shipped["model"]["vocab"] == built["model"]["vocab"]


def test_no_class_of_transformers_is_changed() -> None:
    """Importing and using everything of ours leaves the functions of the class where they were."""
    import saccade.nano.deepeyes.train_base
    import saccade.nano.deepeyes_v2.train_base
    import saccade.train.sft  # noqa: F401

    for name in ("Qwen2_5_VLForConditionalGeneration", "Qwen2_5_VLVisionAttention",
                 "Qwen2_5_VLRMSNorm", "Qwen2_5_VisionTransformerPretrainedModel"):  # fmt: skip
        forward = getattr(modeling_qwen2_5_vl, name).forward
        inner = getattr(forward, "__wrapped__", forward)
        assert inner.__module__ == "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl"


@pytest.mark.parametrize(("name", "looks_at_all"), [("nano-sft", False), ("nano-look", True)])
def test_the_trained_ones_look_where_they_must(name: str, looks_at_all: bool) -> None:
    """Bounds are three standard errors below what docs/nano.md and docs/reproducing.md report.

    A cold start showed when to look; outcome reward on `read` alone taught to look at everything.
    """
    shipped = policy(name)
    read = summary(evaluate(shipped, questions("read", n=60, seed=77, split="dev"), "agent"))
    easy = summary(evaluate(shipped, questions("easy", n=60, seed=77, split="dev"), "agent"))
    assert (read.accuracy or 0) > 0.8
    assert (read.tool_call_rate or 0) > 0.9
    assert (easy.accuracy or 0) > 0.72
    assert ((easy.tool_call_rate or 0) > 0.9) == looks_at_all


def test_the_agent_calls_what_is_needed_and_no_more() -> None:
    """Bounds are three standard errors below what docs/nano.md reports."""
    shipped = policy("nano-agent")
    asker = environment_of(shipped.info)
    found = {
        family: summary(
            evaluate(shipped, questions(family, n=40, seed=77, split="dev"), "agent", asker=asker)
        )
        for family in ("read", "easy", "compute", "lookup", "all")
    }
    for family, accuracy, calls in (
        ("read", 0.8, 1), ("easy", 0.8, 0), ("compute", 0.4, 1), ("lookup", 0.5, 1), ("all", 0.1, 1)
    ):  # fmt: skip
        assert (found[family].accuracy or 0) > accuracy, family
        assert ((found[family].tool_call_rate or 0) > 0.5) == bool(calls), family


def test_the_base_has_the_skills_and_not_the_habit() -> None:
    base = policy("nano-base")
    asked = questions("read", n=60, seed=78, split="dev")
    direct, own, wrong = (
        summary(evaluate(base, asked, arm)).accuracy or 0
        for arm in ("direct", "own_box", "wrong_box")
    )
    assert own > 0.8
    assert max(direct, wrong) < 0.3
    assert (summary(evaluate(base, asked, "agent")).tool_call_rate or 0) < 0.1


def test_an_unknown_name_stays_a_path() -> None:
    assert resolve("somebody/else") == "somebody/else"
    assert resolve(DEFAULT) == str(folder_of(DEFAULT))
    with pytest.raises(KeyError):
        folder_of("somewhere/else")


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_carries_the_fingerprint_of_its_world(name: str) -> None:
    """A change of the fingerprint means measuring and stamping the shipped weights again."""
    worlds = {environment().fingerprint}
    if name == "nano-base-v2":
        worlds = {spec.environment().fingerprint}
    elif name in SECOND:
        worlds = {
            make_environment(validate(Recipe, spec.sections(searches))).fingerprint
            for searches in SEARCHES.values()
        }
        assert spec.environment().fingerprint in worlds
    assert set(read_stamp(folder_of(name)).fingerprints) == worlds
