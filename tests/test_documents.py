"""The README and the documents tell the truth: files, links, commands, and code that runs."""

import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from PIL import Image as PILImage
from scripts import benchmark

from saccade.cli.reference.page import page_of_keys
from saccade.config import read_toml, validate
from saccade.data.curate import CurateRecipe
from saccade.data.demos.recipe import DemosRecipe
from saccade.recipe import Recipe, make_environment, make_tasks
from saccade.robust.agent.recipe import AgentAttackRecipe
from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.testing import ScriptedServer
from saccade.train.recipe import RLRecipe, SFTRecipe

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()
PLACES = ("src", "tests", "benchmarks", "examples")
FILES = {str(path) for place in PLACES for path in (ROOT / place).rglob("*.py")}
"""Without the environment, which holds tens of thousands."""


def test_the_tree_names_every_file_once() -> None:
    tree = README.split("## The tree")[1]
    named: list[str] = []
    folders: dict[int, str] = {0: ""}
    for line in tree.splitlines():
        found = re.match(r"( +)(\S+)", line)
        if not found:
            continue
        indent, name = len(found.group(1)), found.group(2)
        path = folders.get(indent - 2, "") + name
        if name.endswith("/"):
            folders[indent] = path
        named.append(path)
    package = ROOT / "src" / "saccade"
    real = {str(p.relative_to(package)) for p in package.rglob("*.py") if p.name[:2] != "__"}
    assert {name for name in named if name.endswith(".py")} == real
    assert len(named) == len(set(named))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_modules_that_are_named_exist(document: Path) -> None:
    for name in re.findall(r"`((?:\w+/)*\w+\.py)`", document.read_text()):
        published = name in ("deepeyesv2.py", "visual_toolbox_v2.py", "vl_agent.py", "prompt.py")
        inside = any(path.endswith(f"/{name}") for path in FILES)
        assert inside or published or name in ("utils.py", "helpers.py", "my_parts.py"), name


def test_tests_that_hold_a_promise_exist() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = [
        Path(path).read_text() for path in FILES if Path(path).is_relative_to(ROOT / "tests")
    ]
    there = {name for source in sources for name in re.findall(r"def (test_\w+)", source)}
    assert len(named) > 40
    assert named <= there, named - there
    for path in re.findall(r"`(tests/[\w/]+\.py)`", page):
        assert (ROOT / path).is_file(), path


def test_the_table_of_a_benchmark_is_that_of_its_run() -> None:
    kept = json.loads((ROOT / "results" / "bench_nano.json").read_text())
    block = README.partition("<!-- bench_nano -->\n")[2].partition("<!-- /bench_nano -->")[0]
    for command, printed in kept["printed"].items():
        assert f"$ {command}\n{printed}".rstrip() in block
    assert kept["comparisons"][0]["paired"]["interval"][0] > 0.3, "looking decides on this world"


def test_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for document in DOCUMENTS:
        for line in re.findall(r"`make ([a-z0-9 -]+)", document.read_text()):
            for target in line.split():
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_python_example_runs(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    PILImage.new("RGB", (400, 300)).save(tmp_path / "street.jpg")
    with ScriptedServer(lambda request: "<answer>B</answer>") as server:
        code = code.replace("http://127.0.0.1:8000/v1", server.url)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "B [()]\n"


class Demo(NamedTuple):
    """What `saccade demo` printed, and the folder in which it was run."""

    stdout: str
    folder: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "saccade", "demo", "--n", "2", "--out", "runs/demo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return Demo(done.stdout, folder)


def test_the_transcript_is_what_the_demo_prints(demo: Demo) -> None:
    shown = re.findall(r"```text\n(turn 1.*?)```", README, re.DOTALL)[0]
    assert shown in demo.stdout


def test_the_run_folder_can_be_read_without_saccade(demo: Demo) -> None:
    text = (ROOT / "docs" / "file_formats.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0] + "\nprint(crop.size)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=demo.folder, capture_output=True, text=True, check=False
    )
    assert done.stdout == "(42, 42)\n", done.stderr


def test_parts_of_ones_own_run_as_the_page_says(tmp_path: Path) -> None:
    """The page's module and run file: a rollout, and a curation with the same parts."""
    text = (ROOT / "docs" / "extending.md").read_text()
    (module,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_parts.py").write_text(module)
    commands = []
    for run_file in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        verb, name = re.match(r"# saccade (\w+) (\S+)\n", run_file).groups()  # type: ignore[union-attr]
        (tmp_path / name).write_text(run_file)
        commands.append((verb, name))

    def saccade(*arguments: str) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("saccade")), *arguments, "--json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    rolled_out, kept = (saccade(verb, name) for verb, name in commands)
    found = rolled_out["all"]
    assert (found["scored"], found["accuracy"]) == (12, 1.0)
    assert found["score"] == pytest.approx(1.0 + 1.2 + 0.5), "accuracy, tool bonus, and one's own"
    (line, *_) = (tmp_path / "runs/mine/trajectories.jsonl").read_text().splitlines()
    assert json.loads(line)["turns"][0]["results"][0]["data"]["total"] >= 7
    assert kept["dropped"] == {"my_parts:Short: too long": 2}
    assert kept["kept"] == 10


def test_the_server_of_the_page_answers_and_refuses(tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    text = (ROOT / "docs" / "python.md").read_text()
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Starlette" in c)
    photo = io.BytesIO()
    PILImage.new("RGB", (90, 60)).save(photo, "png")
    with ScriptedServer(lambda request: "<answer>OPEN</answer>") as server:
        page: dict[str, Any] = {}
        exec(code.replace("http://127.0.0.1:8000/v1", server.url), page)
        with TestClient(page["app"]) as client:
            done = client.post("/ask", params={"q": "What word?"}, content=photo.getvalue())
            assert done.json() == {"answer": "OPEN", "stop": "answer"}
            assert client.post("/ask", params={"q": "?"}, content=b"none").status_code == 400


def test_the_page_of_keys_is_what_the_models_say() -> None:
    page = (ROOT / "docs" / "run_file.md").read_text()
    assert page == page_of_keys(), "saccade keys --page > docs/run_file.md"


def test_the_page_of_benchmarks_is_what_they_say() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    script = module_of(ROOT / "tests" / "bench" / "page.py")
    assert page == script.page() + "\n", "tests/bench/page.py --write docs/benchmarks.md"


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_run_and_are_short(example: Path, tmp_path: Path) -> None:
    assert len(example.read_text().splitlines()) <= 60
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


KINDS = {"rl": RLRecipe, "curate": CurateRecipe, "demos": DemosRecipe}


@pytest.mark.parametrize("recipe", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.name)
def test_recipes_are_valid_and_say_their_command(recipe: Path) -> None:
    table = read_toml(recipe)
    verbs = {
        "teachers": "demos", "runs": "sft", "train": "rl", "curate": "curate", "attack": "attack",
    }  # fmt: skip
    verb = next((verb for key, verb in verbs.items() if key in table), "rollout")
    assert recipe.read_text().startswith(f"# saccade {verb} recipes/{recipe.name}")
    if verb == "sft":
        assert validate(SFTRecipe, table).runs
        return
    if verb == "attack" and "policy" in table:
        made = validate(AgentAttackRecipe, table)
    elif verb == "attack":
        assert validate(RobustRecipe, table).nets == (0, 1, 2, 3, 4)
        return
    else:
        made = validate(KINDS.get(verb, Recipe), table)
    if recipe.stem != "deepeyes_v2_rl":  # of published files: see test_deepeyes_v2_recipes.py
        assert make_environment(made).fingerprint
    assert made.tasks is not None
    if made.tasks.kind == "world":  # others need data that are not here
        assert next(make_tasks(made)).images


def module_of(script: Path) -> ModuleType:
    """A script as a module, without its main."""
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reproduction_shows_what_its_runs_left() -> None:
    report = benchmark("reproduce_report")
    text = (ROOT / "docs" / "reproducing.md").read_text()
    results = report.read(ROOT / "results" / "deepeyes")
    for name, table in report.tables(results).items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in text, name


def test_the_sandbox_page_shows_what_was_measured() -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text()
    soak = json.loads((ROOT / "results" / "sandbox_soak.json").read_text())
    assert benchmark("sandbox_soak").sentence(soak) in text
    assert (soak["sessions"], soak["problems"]) == (20_000, [])
    measured = ROOT / "results" / "sandbox.json"
    assert benchmark("sandbox").tables(json.loads(measured.read_text())) in text


def test_tool_use_emerges_from_outcome_reward() -> None:
    """Of the figures in results/deepeyes: n = 400 questions, 2,000 attempts."""
    results = benchmark("reproduce_report").read(ROOT / "results" / "deepeyes")
    (base,), runs = results["base"], results["deepeyes"]
    before = base["greedy"]["read"]["agent"]
    assert before["accuracy"] <= 0.20
    assert 0.005 <= base["sampled"]["read"]["tool_call_rate"] <= 0.02
    assert base["sampled"]["read"]["scored"] >= 2000
    after = [run["greedy"]["read"]["agent"] for run in runs]
    assert [run["seed"] for run in runs] == list(range(5))
    assert sum(cell["accuracy"] for cell in after) / 5 >= 0.85
    assert min(cell["accuracy"] for cell in after) >= 0.80
    assert min(cell["tool_call_rate"] for cell in after) >= 0.95
    assert max(run["seconds"] for run in runs) <= 300
    for run in runs:
        assert run["greedy"]["read"]["wrong_box"]["accuracy"] <= 0.15


def test_a_step_of_reinforcement_learning_is_as_fast_as_claimed() -> None:
    found = json.loads((ROOT / "results" / "rl_step.json").read_text())
    ours, native = (found[f"{who}, 64 episodes, tools 0 s"] for who in ("saccade", "trl native"))
    assert ours["us_a_token"] <= 1.05 * native["us_a_token"]
    assert ours["cpu"] <= 1.0
    ours, native = (found[f"{who}, 64 episodes, tools 0.3 s"] for who in ("saccade", "trl native"))
    assert native["wall"] >= 5 * ours["wall"]
    text = (ROOT / "docs" / "performance.md").read_text()
    table = benchmark("rl_step").table(found)
    assert f"<!-- rl_step -->\n{table}\n<!-- /rl_step -->" in text


@pytest.mark.parametrize(("page", "made"), [("nano", "tables"), ("nano_agent", "agent_tables")])
def test_the_figures_of_the_embedded_models_come_from_their_results(page: str, made: str) -> None:
    report = benchmark("nano_report")
    text = (ROOT / "docs" / f"{page}.md").read_text()
    for name, table in getattr(report, made)(ROOT / "results" / page).items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in text, name


def test_the_miniature_of_realx_is_that_of_its_run() -> None:
    found = json.loads((ROOT / "results" / "realx_nano.json").read_text())
    table = benchmark("realx_nano").table(found)
    text = (ROOT / "docs" / "reproducing.md").read_text()
    assert f"<!-- realx -->\n{table}\n<!-- /realx -->" in text


def test_the_shipped_models_are_as_good_as_they_must_be() -> None:
    """Of the figures in results/nano, not of a new run: n = 400 a cell."""
    folder = ROOT / "results" / "nano"
    sft, base, sampled = (
        json.loads((folder / f"{name}.json").read_text())["families"]
        for name in ("nano-sft", "nano-base", "nano-base-sampled")
    )
    for family in ("read0", "read1"):
        assert sft[family]["agent"]["accuracy"] >= 0.82
        assert sft[family]["agent"]["tool_call_rate"] >= 0.95
    assert sft["easy"]["agent"]["accuracy"] >= 0.85
    assert sft["easy"]["agent"]["tool_call_rate"] <= 0.05
    assert base["read"]["own_box"]["accuracy"] >= 0.80
    assert base["read"]["wrong_box"]["accuracy"] <= 0.15
    assert base["read"]["true_box"]["accuracy"] >= 0.95
    assert 0.06 <= base["read"]["direct"]["accuracy"] <= 0.20
    assert base["easy"]["direct"]["accuracy"] >= 0.85
    assert 0.4 <= base["far"]["own_box"]["accuracy"] <= 0.7
    assert sampled["easy"]["agent"]["accuracy"] >= 0.80
    assert sampled["read"]["agent"]["n"] >= 2000
    assert 0.005 <= sampled["read"]["agent"]["tool_call_rate"] <= 0.02


def test_the_agent_is_as_good_as_its_page_says() -> None:
    """The targets of n = 400 a cell."""
    found = json.loads((ROOT / "results" / "nano_agent" / "nano-agent.json").read_text())
    free = {family: arms["agent"] for family, arms in found["families"].items()}
    for family, least in (
        ("read", 0.85), ("easy", 0.88), ("compute", 0.70), ("lookup", 0.60), ("all", 0.25)
    ):  # fmt: skip
        assert free[family]["accuracy"] >= least, family
    assert free["read"]["tool_call_rate"] >= 0.95
    assert free["easy"]["tool_call_rate"] <= 0.1
    assert free["sum"]["tool_call_rate"] <= 0.1
    before = json.loads((ROOT / "results" / "nano_agent" / "nano-base-v2.json").read_text())
    digits = before["families"]["easy"]["agent"]["accuracy"]
    assert free["easy"]["accuracy"] >= digits - 0.05


def test_the_table_of_the_benchmark_is_there() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    table = text.split("<!-- rollout_overhead -->")[1].split("<!-- /rollout_overhead -->")[0]
    assert len(re.findall(r"^\| [a-z]", table, re.MULTILINE)) == 9


def test_the_tables_of_robustness_are_those_of_the_runs() -> None:
    page = (ROOT / "docs" / "robustness.md").read_text()
    report = benchmark("robust_report")
    report.RESULTS = ROOT / "results" / "robust"
    assert report.filled(page) == page


def test_the_goals_of_the_fisher_benchmark_are_those_of_its_run() -> None:
    found = json.loads((ROOT / "results" / "fisher.json").read_text())
    assert benchmark("fisher").table(found) in (ROOT / "docs" / "robustness.md").read_text()


def test_the_code_of_robustness_runs() -> None:
    page = (ROOT / "docs" / "robustness.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
