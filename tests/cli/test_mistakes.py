"""Mistakes of a user: said at once, with the place and the remedy, before anything heavy is loaded.

Many command lines share one real process, which reads what a module is from `sys.modules`; what is
said to be absent is really not found by it.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image as PILImage

from saccade.errors import EXTRA_OF

SCRIPT = """
import contextlib, importlib.machinery, io, json, sys

heavies, absent, cases = json.load(sys.stdin)
paths = importlib.machinery.PathFinder

class Finder:
    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in absent
        return None if hidden else paths.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(paths)] = Finder()
from saccade.cli import main

for arguments in cases:
    sys.argv = ["saccade", *arguments]
    out, err, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    heavy = sorted(set(heavies) & set(sys.modules))
    print(json.dumps([code, out.getvalue() + err.getvalue(), heavy]))
"""
RUN = 'out = "run"\ntasks = { kind = "world", family = "read", n = 2 }\n'


class Ended(NamedTuple):
    code: int
    text: str
    heavy: list[str]


def said(lines: Iterable[str], folder: Path, absent: list[str]) -> Iterator[Ended]:
    """How each command line ends in a process that cannot find some modules."""
    cases = [line.split() for line in lines]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder,
        input=json.dumps([list(EXTRA_OF), absent, cases]),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return (Ended(*json.loads(line)) for line in done.stdout.splitlines())


def asked(text: str, **more: object) -> str:
    return json.dumps({"question": text, **more}) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "run.toml": RUN,
        "files.toml": 'out = "run"\ntasks.kind = "file"\n',
        "curate.toml": 'out = "run"\ntasks = { kind = "file", path = "none.jsonl" }\n[curate]\n',
        "sft.toml": 'model = "nano-base"\nout = "run"\nruns = ["demos"]\n',
        "rl.toml": f'{RUN}model = "nano-base"\n[train]\n',
        "agent.toml": 'out = "run"\ntasks.kind = "file"\n'
        'policy = { kind = "hf", path = "nano-look" }\n[attack]\n',
        "nothing.toml": 'trian = { steps = 3 }\nout = "run"\n',
        "gold.jsonl": asked("?", choices=["cat", "dog"], answer="B. dog")
        + asked("?", choices=["cat", "dog"], answer="cow"),
        "judge.jsonl": asked("?", answer="1", judge="mth"),
        "field.jsonl": "\n" + asked("?", anwser="1"),
        "twice.jsonl": asked("?", id="a") + asked("!") + asked("??", id="a"),
        "mark.jsonl": asked("What does <image> show?"),
        "empty.jsonl": "\n",
        "rows.parquet": "",
        "demos/run.json": '{"verb": "rollout", "config": {}, "fingerprint": "f"}',
        "own/run.toml": f'{RUN}reward.weights."terms_beside:tidy" = 0.5\n',
        "own/terms_beside.py": "import colorsys\n\n\ndef tidy(*_):\n    return 1.0\n",
        "own/colorsys.py": "raise RuntimeError('it hides a module of the library')\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    PILImage.new("RGB", (60, 60)).save(tmp_path / "photo.png")
    return tmp_path


HF = "policy.kind=hf policy.path=nano-look"
SERVER = "policy.kind=openai policy.base_url=http://127.0.0.1:9/v1 policy.model=m"
FILES = f"rollout files.toml {HF} tasks.path"
SOLVE = "solve photo.png Which?"
VERBS = ("rollout", "curate", "sft", "rl", "check recipe", "attack", "detect")
MISTAKES = {
    "rollout run.toml policy.kind=hf policy.pth=x": "unknown key; did you mean 'path'",
    "rollout run.toml policy.kind=hf policy.path=nano-agnet": "did you mean 'nano-agent'?",
    "rollout run.toml reward.weights.call=1": "there is no 'call'; did you mean 'calls'?",
    f"rollout run.toml {HF} tasks.n=0": "greater than or equal to 1, got 0",
    f"rollout run.toml {HF} tools.zoom_in.min_sid=3": "did you mean 'min_side'",
    f"{FILES}=none.jsonl": "none.jsonl: cannot be read",
    f"{FILES}=empty.jsonl": "empty.jsonl: no question",
    f"{FILES}=field.jsonl": "field.jsonl:2: anwser: unknown key; did you mean 'answer'",
    f"{FILES}=twice.jsonl": "twice.jsonl:3: the id 'a' is that of twice.jsonl:1 already",
    f"{FILES}=mark.jsonl": "mark.jsonl:1: question: 1 mark <image> for 0 images",
    f"{FILES}=gold.jsonl": "gold.jsonl:2: the gold answer 'cow' does not name one of the choices "
    "for sure (A. cat, B. dog)",
    f"{FILES}=judge.jsonl": "judge.jsonl:1: there is no judge 'mth'; did you mean 'math'",
    SOLVE: "policy.kind=openai",
    f"solve http://127.0.0.1:9/a.png Which? {SERVER}": "a URL, and none is fetched",
    f"solve http://127.0.0.1:9/a.png Which? {SERVER} --allow-urls": "of this machine or network",
    f"{SOLVE} {HF} policy.devise=x": "policy.devise: unknown key; did you mean 'device'",
    f"{SOLVE} {HF} --choice cat --choice dog --answer cow": "'cow' does not name one of",
    f"curate curate.toml {HF}": "none.jsonl: cannot be read",
    f"curate curate.toml {HF} curate.sample=3": "unknown key; did you mean 'samples'",
    "nano eval --model ./nowhere": "./nowhere: no such folder",
    "nano train-base --out x sed=1": "sed: unknown key; did you mean 'seed'",
    "nano eval --arm own": "--arm: there is no 'own'",
    "nano eval --family raed": "--family: there is no 'raed'",
    **{f"{verb} none.toml": "none.toml: cannot be read" for verb in VERBS},
    "rl rl.toml train.step=3": "train.step: unknown key; did you mean 'steps'",
    "rl rl.toml model=nano-bse": "did you mean 'nano-base'?",
    "rl rl.toml tasks={kind='file',path='none.jsonl'}": "none.jsonl: cannot be read",
    "sft sft.toml step=3": "step: unknown key; did you mean 'steps'",
    'sft sft.toml runs=["none"]': "none: no run folder",
    "attack attack.epsilon=1": "attack.epsilon: unknown key; did you mean 'epsilons'",
    "attack --data nowhere": "there is no file, folder or built-in data 'nowhere'",
    "detect --n 30": "needs 134 images, got 30",
    "detect detect.tree=3": "detect.tree: unknown key; did you mean 'trees'",
    "attack agent.toml tasks.path=none.jsonl": "none.jsonl: cannot be read",
    "check recipe nothing.toml": "no key tells which command it is for; did you mean 'train'",
    # The term beside the file is found; its import of a module of the library is not disturbed.
    f"rollout own/run.toml {HF} tasks.family=reed": "no family 'reed'",
}
LACKING = {
    f"{SOLVE} {HF}": ("torch", "local"),
    f"{SOLVE} policy.kind=reader": ("rapidocr", "ocr"),
    f"rollout run.toml {SERVER} tools.python={{}} out=a": ("pyseccomp", "sandbox"),
    f"rollout run.toml {SERVER} tools.read_text={{}} out=b": ("rapidocr", "ocr"),
    f"rollout run.toml {SERVER} reward.judge=math": ("math-verify", "math"),
    f"rollout run.toml {SERVER} tasks={{kind='parquet',path='rows.parquet'}}": ("pyarrow", "data"),
    "sft sft.toml": ("torch", "train"),
    "rl rl.toml": ("torch", "train"),
    "attack": ("torch", "robust"),
    "detect": ("torch", "robust"),
    "demo": ("torch", "local"),
    "nano eval": ("torch", "local"),
    "nano probe": ("torch", "local"),
    "nano train-base --out x": ("torch", "local"),
    "check sandbox": ("pyseccomp", "sandbox"),
    "report demos --out figures": ("matplotlib", "plots"),
    "serve sandbox": ("starlette", "serve"),
    "check recipe rl.toml": ("torch", "train"),
}


def test_mistakes_are_told_before_anything_heavy_is_loaded(folder: Path) -> None:
    for (line, says), ended in zip(
        MISTAKES.items(), said(MISTAKES, folder, absent=[]), strict=True
    ):
        assert says in ended.text, line
        assert ended.code in (1, 2), line
        assert ended.heavy == [], line
        assert "Traceback" not in ended.text
    assert not (folder / "run").exists()


def test_whatever_is_not_installed_is_named_with_its_extra(folder: Path) -> None:
    for (line, (package, extra)), ended in zip(
        LACKING.items(), said(LACKING, folder, absent=list(EXTRA_OF)), strict=True
    ):
        assert f"{package} is not installed" in ended.text, line
        assert f"[{extra}]'" in ended.text, line
        assert ended.code == (1 if line.startswith("check recipe") else 2), line
