"""The run files of DeepEyesV2: what they say is what was published, and nothing in them is wrong.

The data that they name are not here. Files of their shape stand in their places.
"""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import here
from PIL import Image as PILImage

from saccade.cli.checks.examine import Examination, examine_parts
from saccade.cli.checks.kinds import kind_of, read_as
from saccade.config import read_toml, validate
from saccade.errors import ConfigError
from saccade.models.load import load
from saccade.recipe import make_environment, make_tasks
from saccade.train.recipe import RLRecipe, SFTRecipe
from saccade.train.sft import read_examples

RECIPES = Path(__file__).parents[1] / "recipes"
SYSTEM, ASKED = "You are an agent. Use python, or search.", "\nAnswer in <answer></answer>."


def rl_recipe() -> RLRecipe:
    return validate(RLRecipe, read_toml(RECIPES / "deepeyes_v2_rl.toml"))


def test_reinforcement_learning_is_that_of_the_script_and_of_the_paper() -> None:
    """`run_qwen2_5_vl-7b_final_allin.sh` of Visual-Agent/DeepEyesV2 (commit c2672f0), its keys
    behind each line; the clip range of the paper (arXiv 2511.05271)."""
    recipe = rl_recipe()
    train = recipe.train
    assert train.prompts == 256  # data.train_batch_size
    assert train.group == 16  # rollout.n
    assert train.prompts // train.updates == 32  # actor.ppo_mini_batch_size
    assert train.micro_batch == 1  # actor.ppo_micro_batch_size_per_gpu
    assert train.learning_rate == 1e-6  # actor.optim.lr
    assert (train.clip_range, train.clip_range_high) == (0.2, 0.3)  # the paper
    assert train.kl == 0  # actor.use_kl_loss=False, algorithm.use_kl_in_reward=False
    assert train.loss == "dapo"  # LOSS_AGG_MODE="token-mean"
    assert train.gradient_checkpointing  # model.enable_gradient_checkpointing
    assert train.save_steps == 4 * train.updates  # trainer.save_freq
    assert train.steps == 60 * train.updates  # the curves of the paper
    assert recipe.sampling.temperature == 1  # rollout.temperature
    limits = recipe.environment.limits
    assert limits.max_turns == 9  # rollout.agent.max_turns
    assert limits.max_context == 8192 + 16384  # data.max_prompt_length, max_response_length
    # rollout.agent.single_response_max_tokens; the lower one of both holds
    assert min(recipe.sampling.max_tokens, limits.max_turn_tokens) == 8192
    assert recipe.reward.preset == "deepeyes_v2"
    terms = {name: term.weight for name, term in recipe.reward.make_terms().items()}
    assert terms == {"accuracy": 0.8, "format": 0.2, "search_penalty": 0.8}


def test_the_first_recipe_lets_turns_be_as_long_as_published() -> None:
    """`final_merged_v1v8_thinklite.sh` of Visual-Agent/DeepEyes: single_response_max_tokens."""
    recipe = validate(RLRecipe, read_toml(RECIPES / "deepeyes_7b.toml"))
    limits = recipe.environment.limits
    assert min(recipe.sampling.max_tokens, limits.max_turn_tokens) == 10240


def test_the_cold_start_is_that_of_the_published_settings() -> None:
    """`qwen2_5vl_full_sft_final_100k.yaml` of the same commit, its keys behind each line."""
    recipe = validate(SFTRecipe, read_toml(RECIPES / "deepeyes_v2_sft.toml"))
    assert recipe.model == "Qwen/Qwen2.5-VL-7B-Instruct"  # model_name_or_path
    assert recipe.freeze_vision  # freeze_vision_tower, freeze_multi_modal_projector
    assert recipe.max_image_tokens == 262144 // 28**2  # image_max_pixels
    assert recipe.max_tokens == 20480  # cutoff_len
    assert recipe.learning_rate == 1e-5  # learning_rate
    assert recipe.epochs == 3.0  # num_train_epochs
    assert recipe.schedule == "cosine"  # lr_scheduler_type
    assert recipe.warmup_ratio == 0.1  # warmup_ratio
    assert recipe.batch_size == 1  # per_device_train_batch_size
    assert recipe.batch_size * recipe.accumulate == 128  # the paper
    assert recipe.save_steps == 500  # save_steps
    assert recipe.trl == {"bf16": True}  # bf16


def write_rows(file: Path, source: str, n: int = 3) -> None:
    """Rows as `honglyhly/DeepEyesV2_RL` has them; see `saccade.formats.parquet`."""
    data = io.BytesIO()
    PILImage.new("RGB", (56, 56)).save(data, "PNG")
    rows = [
        {
            "data_source": source, "env_name": "deepeyes_v2",
            "prompt": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"<image>\nWhat is it?{ASKED}"},
            ],
            "images": [{"bytes": data.getvalue(), "path": None}],
            "reward_model": {"style": "model", "ground_truth": "7"},
            "extra_info": {"question": "What is it?", "index": f"{file.stem}_{k}"},
        }
        for k in range(n)
    ]  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files in the places that the run files name."""
    monkeypatch.chdir(tmp_path)
    for k in range(1, 6):
        write_rows(tmp_path / f"data/rl/perception_all_{k}.parquet", "perception")
    write_rows(tmp_path / "data/rl/search.parquet", "search")
    write_rows(tmp_path / "data/rl/reason.parquet", "reason")
    cache = tmp_path / "data/search_cache/fvqa_train_image_search_results_cache.json"
    cache.parent.mkdir()
    PILImage.new("RGB", (40, 30)).save(cache.parent / "0.png")
    found = {"tool_returned_web_title": ["A mug"], "cached_images_path": ["0.png"]}
    cache.write_text(json.dumps({"search_0": found}))
    out = cache.with_name("fvqa.sqlite")
    assert here("index", "import", str(cache), "--out", str(out)).returncode == 0
    for k in range(5):
        write_conversations(tmp_path / f"data/sft/json/sft_part_{k}.json", n=k + 1)
    return tmp_path


def write_conversations(file: Path, n: int) -> None:
    """As `honglyhly/DeepEyesV2_SFT` has them: `messages` and `images`, sharegpt of LLaMA-Factory
    (`data_convert.py` of Visual-Agent/DeepEyesV2). The image is of 1200 x 900 pixels."""
    turns = [
        ("system", SYSTEM),
        ("user", f"<image>\nWhat is it?{ASKED}"),
        ("assistant", "<think>I look.</think><code>\n```python\nprint(7)\n```\n</code>"),
        ("user", "Code execution result:\nstdout:\n```\n7\n```\n\nstderr:\n```\n\n```"),
        ("assistant", "<think>Seven.</think><answer>7</answer>"),
    ]
    messages = [{"role": role, "content": content} for role, content in turns]
    file.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (1200, 900)).save(file.parent.parent / "mug.png")
    file.write_text(json.dumps([{"messages": messages, "images": ["mug.png"]}] * n))


def assert_nothing_is_wrong(name: str) -> None:
    table = read_toml(RECIPES / f"{name}.toml")
    kind, found = kind_of(table, name), Examination()
    examine_parts(kind, read_as(kind, table), found)
    assert {finding.state for finding in found.findings} == {"ok"}, found.findings


def test_with_its_data_nothing_is_wrong_with_reinforcement_learning(published: Path) -> None:
    assert_nothing_is_wrong("deepeyes_v2_rl")


def test_what_is_imported_as_the_recipe_says_is_trained_on(
    published: Path, tiny_qwen2_5_vl: Path
) -> None:
    """By a model whose images are cut as those of Qwen2.5-VL; larger images are left out."""
    comment = (RECIPES / "deepeyes_v2_sft.toml").read_text().replace("\\\n#", "")
    (line,) = (line for line in comment.splitlines() if "saccade demos import" in line)
    typed = line.removeprefix("#").split()[1:]
    for k in range(5):
        done = here(*(word.replace("0.json", f"{k}.json").replace("demos-0", f"demos-{k}")
                      for word in typed))  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert_nothing_is_wrong("deepeyes_v2_sft")
    recipe = validate(SFTRecipe, read_toml(RECIPES / "deepeyes_v2_sft.toml"))
    loaded = load(tiny_qwen2_5_vl)
    assert len(read_examples(recipe, loaded).trajectories) == 1 + 2 + 3 + 4 + 5
    assert here("demos", "import", "data/sft/json/sft_part_0.json", "--images", "data/sft",
                "--out", "runs/large").returncode == 0  # fmt: skip
    large = recipe.model_copy(update={"runs": ("runs/large",)})
    with pytest.raises(ConfigError, match="1 with too large an image"):
        read_examples(large, loaded)


def test_its_environment_speaks_as_published(published: Path) -> None:
    """Prompts of a row, the names of the tools, and every kind of question from the start."""
    recipe = rl_recipe()
    environment = make_environment(recipe)
    record = environment.record
    assert [tool.name for tool in record.tools] == ["python", "search", "image_search"]
    assert record.stop == ("</code>", "</tool_call>")  # rollout.agent.custom_stop
    tasks = [*make_tasks(recipe)]
    assert {task.family for task in tasks[:8]} == {"perception", "search", "reason"}
    begun = environment.begin(tasks[0])
    assert begun.prompt[0].text == SYSTEM
    assert begun.prompt[1].text.endswith(f"What is it?{ASKED}")
