"""Generation through TRL's vLLM seam, with an engine on transformers in the place of vLLM.

What is checked is our side: what is asked of the engine is what TRL's own code takes (its
signature, its placing of images), what comes back is trained on, and an engine that samples from
something else than the trained model ends the training. `make test-servers` trains with vLLM.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image as PILImage
from scripted import Alone
from trainings import NANO, metrics, recipe_of
from trl.generation.vllm_generation import VLLMGeneration

from saccade.errors import ConfigError, ServiceError
from saccade.images.image import Image
from saccade.models.generate import TurnRequest, request_turn, write_turns
from saccade.models.load import LoadedModel, load
from saccade.nano.spec import environment
from saccade.render.qwen_vl import Rendered
from saccade.train.checkpoints import RECOMPUTING, read_metrics, recomputing
from saccade.train.rl import rl, trainer_arguments
from saccade.train.vllm import VLLMGenerator
from saccade.types import Sampling
from saccade.world import tasks


class Engine:
    """Has weights of its own, which only `sync_weights` renews, as vLLM has.

    Beside the training it repeats the mark of each image; on a server TRL places features on them.
    """

    tensor_parallel_size = 1
    reports = True
    hides = False
    """Whether it says that it read what it was to read, whatever it did read."""

    def __init__(self, model: torch.nn.Module, mode: str = "colocate", **options: object) -> None:
        self.source, self.mode, self.temperature = model, mode, options.get("temperature", 1.0)
        self.own = load(NANO)
        self.processing_class: object = options.get("processing_class")
        self.generation_kwargs: dict[str, object] = {}
        self.max_completion_length = 16
        self.syncs = self.calls = 0
        made.append(self)

    def sync_weights(self) -> None:
        self.own.model.load_state_dict(self.source.state_dict())
        self.syncs += 1

    def generate(
        self,
        prompts: list[list[int]],
        images: list[list[PILImage.Image] | None] | None,
        num_generations: int,
        profiler: object = None,
    ) -> tuple[object, ...]:
        assert num_generations == 1
        assert self.generation_kwargs["include_stop_str_in_output"] is True
        assert set(self.generation_kwargs["logit_bias"]) == set(self.own.renderer.suppressed)
        for name, value in self.source.state_dict().items():
            assert torch.equal(self.own.model.state_dict()[name], value), "weights of another step"
        self.calls += 1
        requests = []
        read = []
        for number, (sent, shown) in enumerate(zip(prompts, images or [], strict=True)):
            pixels = tuple(Image.from_pixels(picture) for picture in shown or ())
            if self.mode == "server":
                features = {"mm_placeholders": {"image": shown}} if shown else None
                VLLMGeneration._place_features(self, features, sent)  # raises if not
                ids = sent
            else:
                ids = self.with_marks(sent, pixels)
            read.append(self.right(sent, pixels) if self.hides else ids)
            ids = self.seen(ids, pixels)
            nothing = [float("nan")] * len(ids)
            rendered = Rendered(ids, [False] * len(ids), nothing, pixels, len(ids))
            sampling = Sampling(
                temperature=self.temperature, stop=tuple(self.generation_kwargs["stop"]),
                seed=1000 * self.calls + number,
            )  # fmt: skip
            requests.append(TurnRequest(rendered, sampling, self.max_completion_length))
        written = write_turns(self.own, requests)
        known = [[[value] for value in w.log_probs or ()] for w in written]
        ids = [list(w.token_ids or ()) for w in written]
        return read, ids, known if self.reports else None, None

    def marks_of(self, image: Image) -> int:
        (grid,) = self.own.renderer.grids([image])
        return grid.tokens(self.own.renderer.rule.merge)

    def with_marks(self, ids: list[int], images: tuple[Image, ...]) -> list[int]:
        """The next mark of each image, repeated: what vLLM 0.32 does with a prompt of ids."""
        ids, at = list(ids), 0
        for image in images:
            at = ids.index(self.own.renderer.image_token, at)
            ids[at : at + 1] = [self.own.renderer.image_token] * self.marks_of(image)
            at += self.marks_of(image)
        return ids

    right = with_marks

    def seen(self, ids: list[int], images: tuple[Image, ...]) -> list[int]:
        """With features on the first marks alone; those that are left over are tokens like others.

        Anything else than an image, here a pad.
        """
        ids, mark = list(ids), self.own.renderer.image_token
        count = sum(map(self.marks_of, images))
        for place in [place for place, token in enumerate(ids) if token == mark][count:]:
            ids[place] = self.own.renderer.pad
        return ids


class ExpandsAgain(Engine):
    """Repeats the first mark of an image that has as many as it needs."""

    def with_marks(self, ids: list[int], images: tuple[Image, ...]) -> list[int]:
        return super().with_marks(super().with_marks(ids, images), images)


class ExpandsAgainAndSaysNothing(ExpandsAgain):
    """As above, and reports the prompt as it should have been."""

    hides = True

    def right(self, ids: list[int], images: tuple[Image, ...]) -> list[int]:
        return Engine.with_marks(self, ids, images)


class Hotter(Engine):
    """Samples at another temperature than it was told."""

    def __init__(self, model: torch.nn.Module, mode: str = "colocate", **options: object) -> None:
        super().__init__(model, mode, **options)
        self.temperature = 2.0


made: list[Engine] = []


@pytest.fixture(autouse=True)
def none_made() -> None:
    made.clear()


def test_the_engine_is_asked_as_trl_does() -> None:
    theirs = inspect.signature(VLLMGeneration.generate)
    assert list(theirs.parameters) == ["self", "prompts", "images", "num_generations", "profiler"]
    for name in ("mode", "tensor_parallel_size", "max_completion_length", "generation_kwargs"):
        assert name in inspect.signature(VLLMGeneration).parameters


def test_a_run_samples_from_the_engine_with_the_weights_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", Engine)
    rl(recipe_of(tmp_path, "train.steps=3", "train.trl={use_vllm=true}"))
    (engine,) = made
    rows = metrics(tmp_path)
    assert engine.syncs == 3
    assert engine.calls >= 6  # a question and a look, in each step
    for row in rows:
        assert row["episodes"] == 8
        # The ratio is against what was sampled: with these weights it is 1 everywhere.
        assert row["clip_ratio/region_mean"] == 0
        assert row["sampling_gap"] < 1e-3
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-4)
    for row in rows:
        assert row["grad_norm"] >= 0
    assert any(row["grad_norm"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        (ExpandsAgain, r"read another prompt than was rendered: \d+ tokens with 16 of images were "
         r"expected, it read \d+ with 31, and they differ from token \d+ on"),
        (ExpandsAgainAndSaysNothing, "does not sample from the model that is trained"),
        (Hotter, "does not sample from the model that is trained"),
    ],
)  # fmt: skip
def test_an_engine_that_samples_from_something_else_ends_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: type[Engine], why: str
) -> None:
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", engine)
    with pytest.raises(ServiceError, match=why):
        rl(recipe_of(tmp_path, "train.steps=3", "train.trl={use_vllm=true}"))
    assert read_metrics(tmp_path) == []


def test_an_image_has_one_mark_beside_the_training_and_all_on_a_server(
    loaded: LoadedModel,
) -> None:
    sent: dict[str, list[list[int]]] = {}
    requests = asked(loaded, 2)
    read = [request.rendered.ids for request in requests]
    for mode in ("colocate", "server"):
        engine = Engine(loaded.model, mode)

        def generate(prompts: list[list[int]], *_: object, mode: str = mode) -> tuple[object, ...]:
            sent[mode] = prompts
            return read, [[5]] * len(read), [[[-1.0]]] * len(read), None

        engine.generate = generate  # type: ignore[method-assign]
        generator_of(engine, loaded).generate(requests)
    mark = loaded.renderer.image_token
    assert sent["server"] == read
    for short, request in zip(sent["colocate"], requests, strict=True):
        assert short.count(mark) == len(request.rendered.images) == 1
        assert [i for i in short if i != mark] == [i for i in request.rendered.ids if i != mark]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load(NANO)


def generator_of(engine: Engine, loaded: LoadedModel, most: int = 0) -> VLLMGenerator:
    """Beside other processes of which one writes `most` turns."""

    class Others(Alone):
        def max(self, number: int) -> int:
            return max(number, most)

    trainer = SimpleNamespace(vllm_generation=engine, state=SimpleNamespace(global_step=0))
    return VLLMGenerator(trainer, loaded, Others())


def asked(loaded: LoadedModel, count: int, limit: int = 40) -> list[TurnRequest]:
    sampling = Sampling(temperature=1.0, stop=environment().record.stop, max_tokens=limit)
    begun = [environment().begin(task) for task in tasks("read", n=count, seed=5, split="dev")]
    return [request_turn(loaded, trajectory, sampling) for trajectory in begun]


def test_a_shared_call_has_equal_parts_and_an_idle_process_joins_it(loaded: LoadedModel) -> None:
    engine = Engine(loaded.model, "server")
    vllm = generator_of(engine, loaded, most=3)
    assert len(vllm.generate(asked(loaded, 1))) == 1
    assert vllm.generate([]) == []
    assert (engine.calls, engine.syncs) == (2, 1)
    alone = Engine(loaded.model)
    assert generator_of(alone, loaded, most=3).generate([]) == []
    assert (alone.calls, alone.syncs) == (0, 1)


def test_each_turn_keeps_its_own_limit(loaded: LoadedModel) -> None:
    short, long = asked(loaded, 1, limit=3), asked(loaded, 1, limit=60)
    first, second = generator_of(Engine(loaded.model), loaded).generate([*short, *long])
    assert (first.finish, len(first.token_ids or ()), len(first.log_probs or ())) == (
        "length",
        3,
        3,
    )
    assert second.finish == "stop"
    assert second.text.endswith(("</tool_call>", "</answer>"))


def test_missing_log_probabilities_are_an_error(loaded: LoadedModel) -> None:
    engine = Engine(loaded.model)
    engine.reports = False
    with pytest.raises(ServiceError, match="no log-probabilities"):
        generator_of(engine, loaded).generate(asked(loaded, 1))
    requests = asked(loaded, 1)
    read = [requests[0].rendered.ids]
    engine.generate = lambda *_: (read, [[5]], [[[None]]], None)  # type: ignore[method-assign]
    with pytest.raises(ServiceError, match="not a number"):
        generator_of(engine, loaded).generate(requests)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (["train.trl={use_vllm=true}", "train.probe={}"], "force what a model writes"),
        (
            ["train.trl={use_vllm=true, vllm_importance_sampling_correction=true}"],
            "the ratio of the loss is against what",
        ),
    ],
)
def test_what_vllm_cannot_do_is_refused(tmp_path: Path, settings: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        rl(recipe_of(tmp_path, *settings))


def test_the_image_id_is_found_where_trl_looks_for_it(loaded: LoadedModel) -> None:
    engine = Engine(loaded.model)
    generator_of(engine, loaded)
    assert isinstance(engine.processing_class, SimpleNamespace)
    assert engine.processing_class.image_token_id == loaded.renderer.image_token


def test_activations_are_recomputed_under_the_name_that_the_version_has(tmp_path: Path) -> None:
    @dataclass
    class Older:
        gradient_checkpointing: bool = True

    assert recomputing(Older, True) == {"gradient_checkpointing": True}  # type: ignore[arg-type]
    for on in (True, False):
        set_to = f"train.gradient_checkpointing={str(on).lower()}"
        arguments = trainer_arguments(recipe_of(tmp_path, set_to), tmp_path)
        for name in RECOMPUTING:
            assert getattr(arguments, name, on) is on
