"""The page of two runs of a benchmark: filters by group, by gained and by lost."""

from pathlib import Path

import pytest
from benching import bench_run
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from test_page import opened, texts

FIRST = {"d1": "right", "d2": "right", "d3": "wrong", "r1": "wrong", "r2": "wrong", "r3": "unread"}
SECOND = {"d1": "right", "d2": "wrong", "d3": "right", "r1": "look", "r2": "wrong", "r3": "right"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of the same questions, their options in other orders."""
    folder = tmp_path_factory.mktemp("page")
    return [
        bench_run(folder / name, {item: [play] for item, play in plays.items()}, seed=seed)
        for name, plays, seed in (("direct", FIRST, 0), ("agent", SECOND, 4))
    ]


def choose(browser: webdriver.Chrome, name: str, option: str) -> list[str]:
    """What the list holds when a filter shows this alone."""
    select = Select(browser.find_element(By.CSS_SELECTOR, f"#filters [name={name}]"))
    (found,) = [o.text for o in select.options if o.text.partition(" (")[0] == option]
    select.select_by_visible_text(found)
    return sorted(text.split()[-1].rsplit("-", 1)[1] for text in texts(browser, "#list .task"))


def test_tasks_are_shown_by_what_the_second_run_gained_and_lost(
    browser: webdriver.Chrome, runs: list[Path], tmp_path: Path
) -> None:
    opened(browser, runs, tmp_path / "page.html")
    assert choose(browser, "differ", "gained") == ["d3", "r1"], "r3 is not scored in both"
    assert choose(browser, "differ", "lost") == ["d2"]
    assert choose(browser, "differ", "both right") == ["d1"]
    assert choose(browser, "differ", "neither right") == ["r2"]
    assert choose(browser, "differ", "outcomes differ") == ["d2", "d3", "r1", "r3"]
    assert texts(browser, "#count") == ["4 of 6 episodes"]
    assert choose(browser, "differ", "gained") == ["d3", "r1"]
    assert choose(browser, "family", "relative_position") == ["r1"]
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_options_in_other_orders_stand_beside_their_run(
    browser: webdriver.Chrome, runs: list[Path], tmp_path: Path
) -> None:
    opened(browser, runs, tmp_path / "page.html")
    lists = []
    for link in browser.find_elements(By.CSS_SELECTOR, "#list a"):
        link.click()
        found = texts(browser, "#detail ol")
        golds = [d for t, d in zip(texts(browser, "dt"), texts(browser, "dd"), strict=False)
                 if t == "gold answer"]  # fmt: skip
        for shown, gold in zip(found * (3 - len(found)), golds, strict=True):
            assert shown.splitlines()["ABC".index(gold[0])] == gold[3:]
        lists.append(len(found))
    assert set(lists) == {1, 2}, "one list where both runs showed one order"


def test_three_runs_say_which_of_them_gained(
    browser: webdriver.Chrome, runs: list[Path], tmp_path: Path
) -> None:
    third = bench_run(tmp_path / "cot", {"d1": ["wrong"], "d3": ["right"]})
    opened(browser, [*runs, third], tmp_path / "page.html")
    assert choose(browser, "differ", "agent: gained") == ["d3", "r1"]
    assert choose(browser, "differ", "cot: gained") == ["d3"]
    assert choose(browser, "differ", "cot: lost") == ["d1"]


def test_a_task_in_several_groups_is_found_in_each(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    plays = {"d1": ["right"], "r1": ["wrong"]}
    run = bench_run(tmp_path / "run", plays, kind="benching:Abilities")
    opened(browser, [run], tmp_path / "page.html")
    assert choose(browser, "family", "search") == ["d1", "r1"]
    assert choose(browser, "family", "reason") == ["r1"]
