"""What a search found, on the page and in a notebook: each hit with its picture, as text."""

from pathlib import Path

from building import a_task, call_text, noise, plain, played
from searching import Scripted, a_result_of, found
from selenium import webdriver
from selenium.webdriver.common.by import By

from saccade.dialects.deepeyes import DeepEyes
from saccade.env import Environment
from saccade.images.geometry import PixelBudget
from saccade.runs.folder import RunFolder
from saccade.runs.manifest import Manifest
from saccade.tools.search.image import ImageSearch
from saccade.tools.search.text import TextSearch
from saccade.types import Trajectory
from saccade.view.page import write_page
from saccade.view.report import as_markdown, report

HOSTILE = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
RESULTS = found(
    a_result_of("Pulteney Bridge", url="javascript:window.hit=1", snippet="Built in 1774.",
                date="2020", score=0.123456, document="bridges#1", picture=noise(90, 60)),
    a_result_of(HOSTILE, url=f"https://a.org/{HOSTILE}", snippet="\u202eevil\u2066"),
    a_result_of("Bath", snippet="A city " * 40, picture=plain(60, 90, "green")),
)  # fmt: skip
TASK = a_task(plain(200, 150, "navy"), "Who built this bridge?", answer="Adam")


async def an_episode() -> Trajectory:
    provider = Scripted(lambda query: RESULTS)
    tools = [TextSearch(provider=provider), ImageSearch(provider=provider)]
    environment = Environment(DeepEyes(), tools, observation=PixelBudget(min_pixels=1, factor=1))
    turns = (
        call_text("image_search"),
        call_text("text_search", query="Pulteney Bridge"),
        call_text("text_search", query="pulteney bridge"),
        "<think>It says so.</think><answer>Adam</answer>",
    )
    return await played(*turns, task=TASK, environment=environment)


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    return [found.text for found in browser.find_elements(By.CSS_SELECTOR, selector)]


async def test_hits_are_listed_with_their_pictures_and_nothing_of_them_acts(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    with RunFolder(tmp_path / "run", Manifest(verb="rollout", config={})) as folder:
        folder.append(TASK, await an_episode())
    made = report([tmp_path / "run"])
    row = next(
        line for line in as_markdown(made, tmp_path).splitlines() if " 2 | 0 | 1 | 6 " in line
    )
    assert row.startswith("| run | all | 2 | 0 | 1 | 6 | 0 | ")
    browser.get(write_page([tmp_path / "run"], tmp_path / "page.html").as_uri())
    first, second, third = browser.find_elements(By.CSS_SELECTOR, "article.turn")[:3]
    assert "3 found by scripted" in first.text
    hits = first.find_elements(By.CSS_SELECTOR, "ol.hits > li")
    assert [len(hit.find_elements(By.TAG_NAME, "img")) for hit in hits] == [1, 0, 1]
    assert "2020, score 0.1235, bridges#1" in hits[0].text
    assert HOSTILE in hits[1].text
    assert hits[1].text.endswith("\nevil")
    assert not second.find_elements(By.TAG_NAME, "img")
    assert len(second.find_elements(By.CSS_SELECTOR, "ol.hits > li")) == 3
    assert "You have searched" in third.text
    assert not third.find_elements(By.CSS_SELECTOR, "ol.hits")
    assert browser.find_elements(By.CSS_SELECTOR, ".hits a") == []
    assert browser.execute_script("return window.hit") is None
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


async def test_a_notebook_shows_the_text_and_the_pictures() -> None:
    html = (await an_episode())._repr_html_()
    assert html.count("<img alt=") == 3
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert html.index("picture 1 of 2:") < html.index("2. &lt;") < html.index("picture 2 of 2:")
