"""The page in a real browser: what it shows, how it is reached, and that a run cannot act in it."""

import asyncio
import json
import math
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from building import a_task, plain, played, zoom_text
from PIL import Image as PILImage
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from waiting import LIMIT_S

from saccade.dialects.deepeyes import DeepEyes
from saccade.embedded import folder_of
from saccade.env import Environment
from saccade.images.geometry import Box, PixelBudget
from saccade.images.image import Image
from saccade.nano.spec import sections
from saccade.recipe import Recipe, make_tasks
from saccade.rewards import RewardOptions
from saccade.runs.execute import jobs_of, run
from saccade.runs.folder import RunFolder, RunReader
from saccade.runs.manifest import Manifest
from saccade.tools.zoom import ZoomIn
from saccade.types import StopReason, TargetBox, Task, Trajectory
from saccade.view import follow
from saccade.view.follow import FollowServer
from saccade.view.page import PageBuilder, make_page, write_page
from saccade.view.record import visible

MANIFEST = Manifest(verb="rollout", config={}, fingerprint="0123456789abcdef")


def demos(out: Path, n: int = 6, family: str | list[str] = ("read0", "easy")) -> Path:
    """A real run: the oracle on scenes of the world."""
    recipe = Recipe.model_validate(
        {
            **sections(),
            "tasks": {"kind": "world", "family": family, "split": "dev", "n": n},
            "policy": {"kind": "saccade.nano.deepeyes.oracle:Oracle"},
        }
    )
    asyncio.run(
        run(
            "rollout",
            recipe,
            jobs_of(recipe, make_tasks(recipe)),
            out,
            on_finish=lambda t, tr: None,
        )
    )
    return out


def episode(task: Task, texts: list[str]) -> Trajectory:
    environment = Environment(DeepEyes(), [ZoomIn()], view=PixelBudget(max_pixels=1_000_000))
    reward = RewardOptions().make()
    return asyncio.run(played(*texts, task=task, environment=environment, reward=reward))


def zoom(box: list[int], thought: str = "Look closer.") -> str:
    return f"<think>{thought}</think>{zoom_text(*box)}"


def keep(out: Path, pairs: list[tuple[Task, Trajectory]]) -> Path:
    with RunFolder(out, MANIFEST) as folder:
        for task, trajectory in pairs:
            folder.append(task, trajectory)
    return out


def opened(browser: webdriver.Chrome, runs: list[Path], out: Path) -> webdriver.Chrome:
    browser.get(write_page(runs, out).as_uri())
    return browser


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    return [node.text for node in browser.find_elements(By.CSS_SELECTOR, selector)]


def press(browser: webdriver.Chrome, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demos(tmp_path_factory.mktemp("view") / "oracle")


def test_a_trajectory_is_shown_turn_by_turn(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path
) -> None:
    opened(browser, [run_folder], tmp_path / "page.html")
    assert texts(browser, "#count") == ["6 of 6 episodes"]
    assert len(texts(browser, "#list a")) == 6
    links = browser.find_elements(By.CSS_SELECTOR, "#list a")
    next(link for link in links if "read0" in link.text).click()
    assert texts(browser, ".turn h3") == ["turn 1", "turn 2"]
    assert "object is at" in texts(browser, ".thought")[0]
    assert "image_zoom_in_tool" in texts(browser, ".turn")[0]
    facts = dict(zip(texts(browser, "dt"), texts(browser, "dd"), strict=False))
    assert facts["answer"] == facts["gold answer"]
    assert "accuracy 1" in facts["reward"]
    assert "turns 2" in facts["numbers"]
    images = browser.find_elements(By.CSS_SELECTOR, "#detail img")
    assert len(images) == 3  # view, close-up, crop
    loaded = "return [...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    assert browser.execute_script(loaded)
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_boxes_lie_where_they_belong(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """A box in pixels of the source is drawn at the same place of the picture, to a pixel."""
    image = plain(800, 400, "white")
    target = TargetBox(box=Box(200, 100, 400, 300), label="mug")
    task = a_task(image, "Which?", answer="A", boxes=(target,))
    run = keep(
        tmp_path / "run", [(task, episode(task, [zoom([100, 50, 500, 350]), "<answer>A</answer>"]))]
    )
    opened(browser, [run], tmp_path / "page.html")
    script = """
      const frame = document.querySelector('.frame'), img = frame.querySelector('img');
      const a = img.getBoundingClientRect();
      return [...frame.querySelectorAll('rect')].map((r) => {
        const b = r.getBoundingClientRect();
        return [r.getAttribute('class'), (b.left - a.left) / a.width, (b.top - a.top) / a.height,
                (b.right - a.left) / a.width, (b.bottom - a.top) / a.height];
      });"""
    drawn = {row[0]: row[1:] for row in browser.execute_script(script)}
    assert drawn["true"] == pytest.approx([0.25, 0.25, 0.5, 0.75], abs=0.01)
    shown = image.fit(PixelBudget(max_pixels=1_000_000)).size
    requested = [100 / shown.width, 50 / shown.height, 500 / shown.width, 350 / shown.height]
    assert drawn["requested"] == pytest.approx(requested, abs=0.01)


def test_tokens_carry_their_probability(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The text of ids comes from the tokenizer of the local model."""
    policy = {"kind": "hf", "path": str(folder_of("nano-sft"))}
    tasks = {"kind": "world", "family": "easy", "split": "dev", "n": 1}
    recipe = Recipe.model_validate({**sections(), "tasks": tasks, "policy": policy})
    out = tmp_path / "run"
    asyncio.run(
        run(
            "rollout",
            recipe,
            jobs_of(recipe, make_tasks(recipe)),
            out,
            on_finish=lambda t, tr: None,
        )
    )
    opened(browser, [out], tmp_path / "page.html")
    browser.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true)")
    (entry,) = RunReader(out).entries()
    completion = entry.trajectory.turns[0].completion
    spans = browser.find_elements(By.CSS_SELECTOR, ".tokens span")
    assert "".join(s.get_attribute("textContent") or "" for s in spans).startswith(completion.text)
    chances = [float((s.get_attribute("title") or "").removeprefix("p = ")) for s in spans]
    expected = [math.exp(value) for value in completion.log_probs or ()]
    assert chances == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("model", "shown"),
    [("/home/someone/models/nano", "nano"), ("/home/someone/rl/model", "rl/model"),
     ("Qwen/Qwen2.5-VL-7B", "Qwen/Qwen2.5-VL-7B"), ("", "")],
)  # fmt: skip
def test_a_page_names_a_local_model_without_its_folder(
    tmp_path: Path, model: str, shown: str
) -> None:
    task = a_task(plain(90, 90), answer="A")
    trajectory = episode(task, ["<answer>A</answer>"])
    (turn,) = trajectory.turns
    completion = turn.completion.model_copy(update={"model": model})
    turns = (turn.model_copy(update={"completion": completion}),)
    changed = trajectory.model_copy(update={"turns": turns})
    html = make_page([keep(tmp_path / "run", [(task, changed)])]).html
    assert f'"model": "{shown}"' in html
    assert "someone" not in html


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '{"model": {"type": "BPE"}}', "\xff"])
def test_a_file_that_is_no_tokenizer_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content.encode("latin-1"))
    image = plain(90, 90)
    task = a_task(image, answer="A")
    trajectory = episode(task, ["<answer>A</answer>"])
    turn = trajectory.turns[0]
    completion = turn.completion.model_copy(
        update={"model": str(tmp_path), "token_ids": (1, 2), "log_probs": (-1.0, -2.0)}
    )
    turns = (turn.model_copy(update={"completion": completion}),)
    out = keep(tmp_path / "run", [(task, trajectory.model_copy(update={"turns": turns}))])
    assert '"tokens": []' in make_page([out]).html


def test_filters_and_search_narrow_the_list(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path
) -> None:
    opened(browser, [run_folder], tmp_path / "page.html")
    form = browser.find_element(By.ID, "filters")
    for name, value, left in (("family", "easy", 3), ("tool", "image_zoom_in_tool", 3),
                              ("outcome", "correct", 6), ("reward", "2", 3)):  # fmt: skip
        select = form.find_element(By.NAME, name)
        select.find_element(By.CSS_SELECTOR, f"option[value='{value}']").click()
        assert texts(browser, "#count") == [f"{left} of 6 episodes"], name
        select.find_element(By.CSS_SELECTOR, "option[value='']").click()
    form.find_element(By.NAME, "words").send_keys("EASY-dev-672-s0-00002")
    assert texts(browser, "#count") == ["1 of 6 episodes"]


def test_everything_is_reached_by_keys(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path
) -> None:
    opened(browser, [run_folder], tmp_path / "page.html")
    body = browser.find_element(By.TAG_NAME, "body")
    first = texts(browser, "#detail h2 + p")
    body.send_keys("j")
    second = texts(browser, "#detail h2 + p")
    assert second != first
    body.send_keys("k")
    assert texts(browser, "#detail h2 + p") == first
    body.send_keys("b")
    assert "hide-boxes" in (body.get_attribute("class") or "")
    body.send_keys("/")
    assert browser.switch_to.active_element.get_attribute("name") == "words"
    press(browser, "j")  # typed, not obeyed
    assert texts(browser, "#detail h2 + p") == first
    press(browser, Keys.ESCAPE)
    body.send_keys("?")
    assert browser.find_element(By.ID, "help").is_displayed()
    press(browser, Keys.ESCAPE)
    seen = set()
    for _ in range(20):
        press(browser, Keys.TAB)
        seen.add(browser.switch_to.active_element.tag_name)
    assert {"select", "input", "a", "button"} <= seen
    unlabelled = """return [...document.querySelectorAll('select, input')]
        .filter((c) => !c.labels.length).length"""
    assert browser.execute_script(unlabelled) == 0


def test_two_runs_stand_side_by_side(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    pairs = []
    for entry in RunReader(run_folder).entries():
        wrong = episode(entry.task, ["<answer>99</answer>"])
        pairs.append((entry.task, wrong))
    keep(other, pairs[:4])
    opened(browser, [run_folder, other], tmp_path / "page.html")
    assert texts(browser, "#count") == ["6 of 6 episodes"]
    assert texts(browser, ".sides.two .episode > h3") == ["oracle", "other"]
    differ = browser.find_element(By.NAME, "differ")
    differ.find_element(By.CSS_SELECTOR, "option[value='differ']").click()
    assert texts(browser, "#count") == ["6 of 6 episodes"]  # four differ, two are missing
    assert "incorrect" in texts(browser, "#list a")[0]


def test_on_a_phone_the_list_and_the_episode_take_turns(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path
) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        opened(browser, [run_folder], tmp_path / "page.html")
        detail, list_ = (browser.find_element(By.ID, name) for name in ("detail", "list"))
        assert (detail.is_displayed(), list_.is_displayed()) == (False, True)
        browser.find_element(By.CSS_SELECTOR, "#list a").click()
        assert (detail.is_displayed(), list_.is_displayed()) == (True, False)
        wide = "return document.documentElement.scrollWidth <= 390"
        assert browser.execute_script(wide)
        browser.find_element(By.CSS_SELECTOR, ".back").click()
        assert (detail.is_displayed(), list_.is_displayed()) == (False, True)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CONTRAST = """
const parse = (c) => c.match(/[0-9.]+/g).map(Number);
const light = ([r, g, b]) => {
  const f = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
};
const back = (n) => {
  for (; n; n = n.parentElement) {
    const c = parse(getComputedStyle(n).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c;
  }
  return parse(getComputedStyle(document.body).backgroundColor);
};
const bad = [];
for (const n of document.querySelectorAll('body *')) {
  const own = [...n.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
  if (!own || !n.getClientRects().length || ['SCRIPT', 'STYLE'].includes(n.tagName)) continue;
  const a = light(parse(getComputedStyle(n).color)), b = light(back(n));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push([n.tagName, n.className, n.textContent.slice(0, 30), ratio]);
}
return bad;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path, scheme: str
) -> None:
    """WCAG 2.1, 1.4.3: 4.5 to 1."""
    emulate(browser, scheme=scheme)
    opened(browser, [run_folder], tmp_path / "page.html")
    colours = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", colours))) > 128) == (scheme == "light")
    assert browser.execute_script(CONTRAST) == []
    browser.execute_script(
        "document.body.style.color = getComputedStyle(document.body).backgroundColor"
    )
    assert browser.execute_script(CONTRAST) != []


def test_nothing_moves_for_those_who_asked_for_it(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path
) -> None:
    moving = "return getComputedStyle(document.querySelector('#list a')).transitionDuration"
    for motion, still in (("", False), ("reduce", True)):
        emulate(browser, motion=motion)
        opened(browser, [run_folder], tmp_path / "page.html")
        assert (browser.execute_script(moving) == "0s") == still


def emulate(driver: webdriver.Chrome, *, scheme: str = "light", motion: str = "") -> None:
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": motion},
    ]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


ATTACKS = (
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg onload='window.pwned = 1'><a href='javascript:window.pwned = 1'>x</a></svg>",
    '"><iframe srcdoc="<script>parent.pwned = 1</script>"></iframe>',
    "<!--<script>", "]]>", "javascript:window.pwned=1", "data:text/html,<script>alert(1)</script>",
    "{{constructor.constructor('window.pwned=1')()}}", "<base href='http://127.0.0.1:9/'>",
    "<style>*{display:none}</style>", "\u202egnp.exe\u202c \u200bhidden\ufeff \U000e0041",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>", "\x00\x1b[31m\x07",
)  # fmt: skip


OURS = set(
    re.findall(
        r"\w+",
        """HTML HEAD META TITLE STYLE SCRIPT BODY HEADER MAIN NAV SECTION ARTICLE H1 H2 H3 P DIV
        SPAN STRONG A UL OL LI DL DT DD FORM LABEL SELECT OPTION INPUT BUTTON FIGURE FIGCAPTION
        IMG svg rect title DETAILS SUMMARY PRE DIALOG KBD NOSCRIPT TABLE THEAD TBODY TR TH TD""",
    )
)
"""Every element that the page makes; whatever else appears came out of a run."""


def hostile_run(out: Path) -> Path:
    pairs = []
    image = plain(300, 200, "grey")
    for number, attack in enumerate(ATTACKS):
        task = Task(
            id=f"{number} {attack}", prompt=(image, attack), answer=attack, choices=(attack, "b"),
            boxes=(TargetBox(box=Box(1, 1, 90, 90), label=attack),), source=attack,
            meta={"family": attack},
        )  # fmt: skip
        call = {"name": attack, "arguments": {attack: attack, "code": attack}}
        written = [
            f"<think>{attack}</think><tool_call>{json.dumps(call)}</tool_call>",
            zoom([5, 5, 120, 120], attack),
            f"<answer>{attack}</answer>",
        ]
        pairs.append((task, episode(task, written)))
    return keep(out, pairs)


def test_hostile_content_is_text_and_nothing_else(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    """Every episode is opened; nothing runs, loads, navigates or changes the page."""
    folder = tmp_path / "<img src=x onerror=window.pwned=1>"
    opened(browser, [hostile_run(folder)], tmp_path / "page.html")
    start = browser.current_url
    count = """const n = {};
        for (const e of document.querySelectorAll('*')) n[e.tagName] = (n[e.tagName] || 0) + 1;
        return n;"""
    for attack in ATTACKS:
        browser.find_element(By.TAG_NAME, "body").send_keys("j" if attack != ATTACKS[0] else "b")
        assert browser.execute_script("return typeof window.pwned") == "undefined"
        elements = browser.execute_script(count)
        assert set(elements) <= OURS
        assert [elements[name] for name in ("SCRIPT", "STYLE", "META")] == [2, 1, 4]
        # All of it is there as text, in the list and in the episode.
        assert texts(browser, "#count") == [f"{len(ATTACKS)} of {len(ATTACKS)} episodes"]
        written = "return document.querySelector(arguments[0]).textContent"
        assert browser.execute_script(written, "#detail h2") == visible(attack.strip())
        thoughts = "return [...document.querySelectorAll('.thought')].map((n) => n.textContent)"
        assert visible(attack) in browser.execute_script(thoughts)
    assert browser.current_url.partition("#")[0] == start
    loads = "return performance.getEntriesByType('resource').map((e) => e.name)"
    assert [n for n in browser.execute_script(loads) if not n.startswith("data:image/webp")] == []
    handlers = """return [...document.querySelectorAll('*')].some((n) =>
        [...n.attributes].some((a) => a.name.startsWith('on')
            || (['href', 'src', 'action', 'srcdoc', 'style'].includes(a.name)
                && /javascript:|expression|url\\(/i.test(a.value))))"""
    assert not browser.execute_script(handlers)
    shown = browser.find_element(By.TAG_NAME, "body").text
    assert "\u202e" not in shown
    assert "\u200b" not in shown


def test_the_policy_of_the_page_holds_by_itself(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path
) -> None:
    """A script that somehow got into the page does not run, and can send nothing. Without the
    policy the same script does run: the test can tell."""
    inject = """const s = document.createElement('script'); s.textContent = 'window.pwned = 1';
        document.body.append(s); return typeof window.pwned"""
    page = write_page([run_folder], tmp_path / "page.html")
    browser.get(page.as_uri())
    assert browser.execute_script(inject) == "undefined"
    send = """const done = arguments[0];
        fetch('http://127.0.0.1:9/').then(() => done('sent'), (e) => done(e.name));"""
    browser.execute_async_script(send)
    log = " ".join(line["message"] for line in browser.get_log("browser"))
    assert "Content Security Policy" in log
    assert "connect-src" in log or "connect to" in log
    html = page.read_text()
    without = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    assert without != html
    (tmp_path / "without.html").write_text(without)
    browser.get((tmp_path / "without.html").as_uri())
    assert browser.execute_script(inject) == "number"


def test_the_file_itself_is_plain_ascii_outside_of_our_own_text(tmp_path: Path) -> None:
    html = make_page([hostile_run(tmp_path / "run")]).html
    block = html.split('id="data">')[1].split("</script>")[0]
    assert block.isascii()
    assert "<" not in block
    assert json.loads(block)["runs"]
    assert html.count("<script") == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a\u27e8U+202E\u27e9b"),
        ("\u200b\ufeff", "\u27e8U+200B\u27e9\u27e8U+FEFF\u27e9"),
        ("line\nnext\ttab", "line\nnext\ttab"),
        ("\x1b[31m", "\u27e8U+001B\u27e9[31m"),
        ("\U000e0041", "\u27e8U+E0041\u27e9"),
        ("\ud800", "\u27e8U+D800\u27e9"),
        ("h\u00e9llo \u4f60\u597d \U0001f600", "h\u00e9llo \u4f60\u597d \U0001f600"),
    ],
)
def test_hidden_characters_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_numbers_that_are_none_do_not_break_the_page(tmp_path: Path) -> None:
    """JSON knows no infinity; a run may."""
    image = plain(90, 90)
    task = a_task(image, answer="A")
    good = episode(task, ["<answer>A</answer>"])
    assert good.score is not None
    score = good.score.model_copy(update={"value": math.inf, "parts": {"odd": math.nan}})
    out = keep(tmp_path / "run", [(task, good.model_copy(update={"score": score}))])
    block = make_page([out]).html.split('id="data">')[1].split("</script>")[0]
    (shown,) = json.loads(block)["runs"][0]["episodes"]
    assert (shown["reward"], shown["terms"]) == (None, {"odd": None})


def test_a_long_text_is_cut_and_says_so() -> None:
    long = visible("\u202e" + "x" * 20_009)
    assert long.startswith("\u27e8U+202E\u27e9x")
    assert long.endswith("x\n[10 more characters]")


def cpu_seconds(browser: webdriver.Chrome) -> float:
    """What the thread that lays the page out has computed so far, whatever else the machine did."""
    browser.execute_cdp_cmd("Performance.enable", {})
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime")


def test_five_hundred_trajectories_open_in_two_seconds(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    image = Image.from_pixels(PILImage.effect_noise((400, 300), 80).convert("RGB"))
    pairs = []
    for number in range(500):
        task = a_task(image, f"What is it, {number}?", id=f"t{number}", answer="A")
        box = [number % 200, 10, number % 200 + 120, 180]
        pairs.append((task, episode(task, [zoom(box, "Look closer. " * 30), "<answer>A</answer>"])))
    page = write_page([keep(tmp_path / "run", pairs)], tmp_path / "page.html")
    browser.get(page.as_uri())
    before = cpu_seconds(browser)
    browser.refresh()
    assert texts(browser, "#count") == ["500 of 500 episodes"]
    assert len(browser.find_elements(By.CSS_SELECTOR, ".turn")) == 2
    assert cpu_seconds(browser) - before < 2


def test_photographs_cost_little_and_targets_stay_legible(
    browser: webdriver.Chrome, shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "vstar_mini"
    pairs = []
    for number, row in enumerate(json.loads((folder / "questions.json").read_text())):
        photo = Image.open(folder / row["image"])
        box = Box(*row["bbox"])
        task = Task(id=f"{number}", prompt=(photo, row["question"]), answer="A",
                    boxes=(TargetBox(box=box),))  # fmt: skip
        shown = photo.fit(PixelBudget(max_pixels=1_000_000))
        wanted = shown.from_source(box).resize_about_centre(
            2 * max(40.0, box.width * shown.size.width / photo.size.width),
            2 * max(40.0, box.height * shown.size.height / photo.size.height), shown.size,
        )  # fmt: skip
        corners = [round(v) for v in wanted]
        pairs.append((task, episode(task, [zoom(corners), "<answer>A</answer>"])))
    run = keep(tmp_path / "run", pairs)
    page = write_page([run], tmp_path / "page.html")
    assert len(pairs) == 12
    assert page.stat().st_size / len(pairs) <= 150_000
    browser.get(page.as_uri())
    assert all(browser.execute_script("return [...document.images].map((i) => i.naturalWidth > 0)"))


def test_large_images_lie_beside_the_page(
    browser: webdriver.Chrome, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.view.page.MAX_PAGE_BYTES", 100)
    page = write_page([run_folder], tmp_path / "page.html")
    assert page == tmp_path / "page" / "index.html"
    browser.get(page.as_uri())
    assert all(browser.execute_script("return [...document.images].map((i) => i.naturalWidth > 0)"))


def aborted(trajectory: Trajectory) -> Trajectory:
    return trajectory.model_copy(
        update={
            "stop": StopReason.ABORTED,
            "error": "ServiceError: down",
            "score": None,
            "verdict": None,
        }
    )


def without_score(trajectory: Trajectory) -> Trajectory:
    return trajectory.model_copy(update={"score": None, "verdict": None})


@pytest.mark.parametrize(
    ("change", "says"),
    [(aborted, "aborted"), (without_score, "unscored")],
)
def test_runs_that_went_wrong_say_so(
    browser: webdriver.Chrome,
    tmp_path: Path,
    change: Callable[[Trajectory], Trajectory],
    says: str,
) -> None:
    image = plain(300, 200)
    task = a_task(image, "Which?", answer="A")
    run = keep(tmp_path / "run", [(task, change(episode(task, ["<answer>A</answer>"])))])
    opened(browser, [run], tmp_path / "page.html")
    assert f"1 {says}." in texts(browser, "#runs")[0]
    assert says in texts(browser, "#list a")[0]
    assert says in texts(browser, "#detail dl")[0]


def test_torn_and_empty_runs_open(browser: webdriver.Chrome, tmp_path: Path) -> None:
    torn = demos(tmp_path / "torn", n=2)
    with (torn / "trajectories.jsonl").open("ab") as file:
        file.write(b'{"id": "half')
    empty = keep(tmp_path / "empty", [])
    opened(browser, [torn, empty], tmp_path / "page.html")
    notes = texts(browser, "#runs")[0]
    assert "still being written, or was cut" in notes
    assert "No episode has finished yet" in notes
    assert texts(browser, "#count") == ["2 of 2 episodes"]


def test_pixels_that_are_gone_are_told(browser: webdriver.Chrome, tmp_path: Path) -> None:
    run = demos(tmp_path / "run", n=1)
    for file in (run / "images").iterdir():
        file.unlink()
    # In a process of its own: this one still has the pixels in its cache.
    command = [sys.executable, "-m", "saccade", "view", str(run), "--out", "page.html"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    browser.get((tmp_path / "page.html").as_uri())
    assert "cannot be read" in texts(browser, "#detail figure")[0]


def test_a_run_in_progress_grows_on_the_page(browser: webdriver.Chrome, tmp_path: Path) -> None:
    image = plain(300, 200)
    tasks = [a_task(image, f"Which {i}?", id=f"t{i}", answer="A") for i in range(2)]
    with (
        RunFolder(tmp_path / "run", MANIFEST) as folder,
        FollowServer([tmp_path / "run"]) as server,
    ):
        browser.get(server.url)
        assert texts(browser, "#count") == ["0 of 0 episodes"]
        for number, task in enumerate(tasks, start=1):
            folder.append(task, episode(task, ["<answer>A</answer>"]))
            grown = [f"{number} of {number} episodes"]
            WebDriverWait(browser, LIMIT_S).until(lambda b, g=grown: texts(b, "#count") == g)


def test_what_has_not_changed_is_not_sent_again(run_folder: Path) -> None:
    with FollowServer([run_folder]) as server:
        version = quote(PageBuilder([run_folder]).version)
        for asked, status in ((version, 204), ("old", 200)):
            with urllib.request.urlopen(
                f"{server.url}data.json?version={asked}", timeout=LIMIT_S
            ) as r:
                assert r.status == status
                assert bool(r.read()) == (status == 200)


def test_the_server_answers_to_loopback_names_only(run_folder: Path) -> None:
    with FollowServer([run_folder]) as server:
        for host, status in (("evil.example", 403), ("127.0.0.1:1", 200), ("localhost:1", 200)):
            request = urllib.request.Request(server.url, headers={"Host": host})
            try:
                with urllib.request.urlopen(request, timeout=LIMIT_S) as reply:
                    found = reply.status
            except urllib.error.HTTPError as error:
                found = error.code
                error.close()
            assert found == status
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(server.url + "../../etc/passwd", timeout=LIMIT_S)
        assert caught.value.code == 404
        caught.value.close()


@pytest.mark.parametrize("patience", [0.05, None])
def test_half_a_request_is_not_waited_for(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, patience: float | None
) -> None:
    monkeypatch.setattr(follow, "PATIENCE_S", patience)
    with (
        FollowServer([run_folder]) as server,
        socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0)) as half,
    ):
        half.sendall(b"GET / HTTP/1.1\r\nHost: local")
        half.settimeout(LIMIT_S if patience else 0.2)
        if patience is None:  # it is: without the limit nothing comes
            with pytest.raises(TimeoutError):
                half.recv(1)
        else:
            assert half.recv(1) == b""
