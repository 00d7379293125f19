"""Trainings on the page: their kept steps, the attempts of a question, and boxes by turn."""

import json
from pathlib import Path

import pytest
from building import a_task, plain
from selenium import webdriver
from selenium.webdriver.common.by import By
from test_page import CONTRAST, MANIFEST, emulate, episode, keep, opened, texts, zoom

from saccade.runs.manifest import keep_manifest
from saccade.types import Task, Trajectory

RIGHT, WRONG = [zoom([1, 1, 40, 40]), "<answer>A</answer>"], ["<answer>B</answer>"]
ADVANTAGES = (0.75, -1.5, 0.75, None)


def attempt(task: Task, sample: int) -> Trajectory:
    """The second is wrong; the last was not decided, and has no advantage."""
    made = episode(task, WRONG if sample == 1 else RIGHT)
    noted = {"annotations": {"advantage": ADVANTAGES[sample]}}
    named = {"id": f"{task.id}:{sample}", "sample": sample}
    if ADVANTAGES[sample] is None:
        noted |= {"score": None, "verdict": None}  # type: ignore[dict-item]
    return made.model_copy(update=named | noted)


def legible(browser: webdriver.Chrome) -> None:
    """In both schemes; a box in a call that failed has a number of another colour."""
    for scheme in ("dark", "light"):
        emulate(browser, scheme=scheme, motion="reduce")  # colours change at once
        assert browser.execute_script(CONTRAST) == []


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `saccade rl` leaves it, with two processes: steps 1 and 11, two questions in each."""
    out = tmp_path_factory.mktemp("training") / "rl"
    keep_manifest(out, MANIFEST.model_copy(update={"verb": "rl"}))
    metrics = [{"step": n, "reward": n / 10, "accuracy": n / 20} for n in range(1, 13)]
    (out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
    image = plain(90, 60, "grey")
    for number, step in enumerate((1, 11)):
        for process in (0, 1):
            task = a_task(image, f"Which, {number} {process}?", id=f"t{process}", answer="A")
            pairs = [(task, attempt(task, sample)) for sample in range(4)]
            keep(out / "rollouts" / f"step-{step:05d}-{process}", pairs)
    (out / "rollouts" / "notes").mkdir()
    return out


def test_a_training_lists_its_kept_steps(
    browser: webdriver.Chrome, training: Path, tmp_path: Path
) -> None:
    opened(browser, [training], tmp_path / "page.html")
    assert "2 kept steps of 12 finished ones" in texts(browser, "#runs")[0]
    assert texts(browser, "#count") == ["4 of 4 questions, 16 attempts"]
    steps = texts(browser, "#list .step")
    assert [step.split("\n") for step in steps] == [
        ["step 1", "reward 0.10, accuracy 0.05"], ["step 11", "reward 1.10, accuracy 0.55"],
    ]  # fmt: skip
    assert texts(browser, "#list a .marks")[0].split() == ["\u2713", "\u2717", "\u2713", "\u25cb"]
    browser.find_element(By.CSS_SELECTOR, "[name=step] option[value='11']").click()
    assert texts(browser, "#list .question") == ["Which, 1 0?", "Which, 1 1?"]


def test_attempts_stand_side_by_side_with_reward_and_advantage(
    browser: webdriver.Chrome, training: Path, tmp_path: Path
) -> None:
    page = opened(browser, [training], tmp_path / "page.html").current_url
    rows = [row.split() for row in texts(browser, "#detail tbody tr")]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert [row[-1] for row in rows] == ["+0.75", "-1.50", "+0.75", "none"]
    assert [row[-2] for row in rows] == ["2", "0", "2", "none"]
    assert texts(browser, ".sides.two .episode > h3") == [f"attempt {n}" for n in range(4)]
    tops = "return [...document.querySelectorAll('.episode')].map((e) => e.offsetTop)"
    assert len(set(browser.execute_script(tops))) == 1
    bars = """return [...document.querySelectorAll('.bar span')].map(
        (b) => Math.round(b.getBoundingClientRect().width))"""
    up, down, same, none = browser.execute_script(bars)
    assert up == same == pytest.approx(down / 2, abs=1)
    assert none == 0
    # The address of an attempt leads to its step and column.
    browser.get("about:blank")
    browser.get(page + "#step-11%2Ft1%3A2")
    assert texts(browser, "#detail h2") == ["Which, 1 1?"]
    assert texts(browser, ".asked h3")[0] == "attempt 2"
    legible(browser)
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_a_training_without_episodes_says_where_its_metrics_are(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    keep_manifest(tmp_path / "sft", MANIFEST)
    (tmp_path / "sft" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    opened(browser, [tmp_path / "sft"], tmp_path / "page.html")
    assert "A training that kept no episodes" in texts(browser, "#runs")[0]


def test_boxes_of_several_turns_carry_their_numbers(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    image = plain(800, 400, "white")
    boxes = [[100, 50, 300, 150], [400, 200, 700, 350], [100, 50, 310, 150], [500, 90, 400, 80]]
    many, once = a_task(image, id="many", answer="A"), a_task(image, id="once", answer="A")
    answer = "<answer>A</answer>"
    pairs = [(many, episode(many, [*map(zoom, boxes), answer])),
             (once, episode(once, [zoom(boxes[0]), answer]))]  # fmt: skip
    opened(browser, [keep(tmp_path / "run", pairs)], tmp_path / "page.html")
    numbers = browser.find_elements(By.CSS_SELECTOR, "#detail .number")
    assert [n.text for n in numbers] == ["1", "2", "3", "4"], "on the question's image alone"
    kinds = [(n.get_attribute("class") or "").split()[1] for n in numbers]
    assert kinds == ["shown", "shown", "shown", "requested"]
    script = """
      const a = document.querySelector('.frame img').getBoundingClientRect();
      return [...document.querySelector('.frame').querySelectorAll('.number')].map((n) => {
        const b = n.getBoundingClientRect();
        return [(b.left - a.left) / a.width * 800, (b.top - a.top) / a.height * 400, b.width];
      });"""
    (x1, y1, width), (x2, y2, _), (x3, y3, _), _ = browser.execute_script(script)
    assert [x1, y1, x2, y2] == pytest.approx([100, 50, 400, 200], abs=15)
    assert y3 == pytest.approx(y1, abs=1)
    assert x3 >= x1 + width * 0.8, "two numbers at one corner stand side by side"
    legible(browser)
    browser.find_element(By.TAG_NAME, "body").send_keys("b")
    assert not browser.find_element(By.CSS_SELECTOR, ".number").is_displayed()
    browser.find_element(By.TAG_NAME, "body").send_keys("j")
    assert texts(browser, ".number") == []


def test_an_episode_that_was_judged_again_shows_both_verdicts(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    task = a_task(plain(90, 60, "grey"), "Which?", answer="B")
    earlier = {"run": "first", "verdict": {"correct": True, "judge": "exact", "reason": "<b>A</b>"}}
    made = [
        episode(task, WRONG).model_copy(
            update={"id": f"t:{n}", "sample": n, "annotations": {"rescored_from": noted}}
        )
        for n, noted in enumerate([earlier, {"run": 3}])
    ]
    run = keep(tmp_path / "run", [(task, trajectory) for trajectory in made])
    opened(browser, [run], tmp_path / "page.html")
    (shown,) = texts(browser, ".episode dl:has(dt)")[:1]
    assert "before rescoring\ncorrect (exact: <b>A</b>)" in shown
