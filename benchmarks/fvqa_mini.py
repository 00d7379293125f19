"""Five real questions, searched for by a script: an end-to-end run of search, not a measured agent.

    python benchmarks/fvqa_mini.py [--data FOLDER --runs runs/fvqa_mini
                                    --out results/fvqa_mini.json --write docs/search_real_data.md]
    python benchmarks/fvqa_mini.py --passages DATA.NOUN      # writes the passages of WordNet anew

The questions and photographs are the five rows of InfoSeek that MMSearch-R1 publishes. The index is
made here: passages of WordNet 3.0 as they stand there (fvqa_mini_passages.jsonl, with its licence),
a passage made from the item's own answer where WordNet does not hold the fact, and the photographs
of the items, smaller and re-encoded, under names that a person gave them. Three arms: the index
without the fact of one question, the index with it, and no search. The policy is `Script` below: it
searches by image, then for the title and the words of the question, and answers by a rule from what
it was shown, or says that it cannot tell. It has no knowledge, so that its accuracy says whether
the parts work together and nothing of a model.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image as PILImage

from saccade.bench.scorers.short_answers import golds_of
from saccade.bench.sets.search.infoseek import InfoSeek
from saccade.images.image import Image
from saccade.measures.intervals import wilson
from saccade.policies.written import completion_of, dialect_of
from saccade.runs.folder import RunReader
from saccade.search.found import Found, found_in
from saccade.types import Action, Completion, ModelInfo, Sampling, Task, ToolCall, Trajectory

HERE = Path(__file__).resolve().parent
PASSAGES = HERE / "fvqa_mini_passages.jsonl"
MODEL = "fvqa_mini (a script, not a model)"
MAX_PIXELS = 1_000_000
CANNOT_TELL = "I cannot tell."


class Named(NamedTuple):
    """What a person sees on the photograph of a question, and where its fact comes from."""

    title: str
    made: str = ""
    """The passage that is made from the item's own answer; empty where WordNet holds the fact."""


NAMES = (
    Named("Churros", "Churros are fried and eaten with chocolate. Their country of origin is {}."),
    Named("White stupa", "The white stupa stands in the yard of a temple and is dedicated to {}."),
    Named("Fort Manoel", "Fort Manoel is a star fort. It was commissioned by the {}."),
    Named("Tuileries Gardens"),
    Named("Monument of the Discoveries", "The Monument of the Discoveries is owned by {}."),
)
"""In the order of the file. The data set names no entity; these names are ours, by looking."""
ABSENT = 4
"""The question whose fact is left out of the index; passages on Lisbon and Portugal stay in it."""
NOTE = " [Made from the item's own answer for this run; no source says it.]"

_WANTED = (
    "Tuileries", "Louvre", "Paris", "stupa", "Buddh", "temple", "fort", "fortress", "Malta",
    "Valletta", "knight", "Crusader", "Lisbon", "Portugal", "Tagus", "Spain", "fritter",
    "doughnut", "friedcake", "chocolate", "monument", "palace", "garden", "navigator",
)  # fmt: skip
_MOST = 12
"""Number of synsets for each of these words."""


# -- the policy: a script ----------------------------------------------------------------------


class Script:
    """Searches by image, then by words, and answers by a rule from what it was shown."""

    info = ModelInfo(name=MODEL)

    async def act(self, trajectory: Trajectory, sampling: Sampling) -> Completion:
        """The next search, or the answer."""
        dialect = dialect_of(trajectory, "fvqa_mini")
        return completion_of(dialect, next_action(trajectory), MODEL)

    def count_tokens(self, trajectory: Trajectory) -> None:
        """None: a script has no tokenizer."""

    async def close(self) -> None:
        """Do nothing: a script holds no resources."""


def next_action(trajectory: Trajectory) -> Action:
    """What comes next, as a function of what was shown."""
    tools = {tool.name for tool in trajectory.environment.tools}
    found = [f for r in trajectory.results if (f := found_in(r.data)) is not None]
    question = trajectory.prompt[-1].text
    if not found and "image_search" in tools:
        return _call("What is shown?", ToolCall(name="image_search"))
    title = next((hit.title for f in found if f.kind == "image" for hit in f.hits), "")
    if not title:
        return Action(thought="I do not know what is shown.", answer=CANNOT_TELL)
    texts = [f for f in found if f.kind == "text"]
    if not texts:
        query = f"{title} {' '.join(_words(_asked(question)))}"
        return _call(f"It looks like {title}.", ToolCall(name="search", arguments={"query": query}))
    said = answer(title, _asked(question), texts)
    if said is None:
        return Action(thought="No result says it.", answer=CANNOT_TELL)
    return Action(thought=f"A result on {title} says it.", answer=said)


_RULES = (
    ("country of origin", r"country of origin is (?:the )?([^.;\[]+)"),
    ("dedicated to", r"dedicated to (?:the )?([^.;\[]+)"),
    ("commissioned", r"commissioned by (?:the )?([^.;\[]+)"),
    ("owner", r"(?:owned by|owner is) (?:the )?([^.;\[]+)"),
)
"""What a question asks for, and the words behind which a sentence says it."""


def answer(title: str, question: str, found: Sequence[Found]) -> str | None:
    """What a result on this thing says; None if none does.

    A result on something else does not count, be it ever so near; what a thing is named after is
    the other thing of the same name.
    """
    hits = [hit for one in found for hit in one.hits]
    if "named after" in question:
        name = title.split()[0]
        others = (h.title for h in hits if h.title.startswith(f"{name} ") and h.title != title)
        return next(others, None)
    for asked, pattern in _RULES:
        if asked not in question:
            continue
        for hit in hits:
            said = re.search(pattern, hit.snippet)
            if said and set(_words(title)) <= set(_words(f"{hit.title} {hit.snippet}")):
                return said[1].strip()
    return None


def _call(thought: str, call: ToolCall) -> Action:
    return Action(thought=thought, calls=(call,))


def _asked(prompt: str) -> str:
    """The question within the prompt of a dialect: its first line with a question mark."""
    return next((line for line in prompt.splitlines() if line.rstrip().endswith("?")), prompt)


_COMMON = {"what", "who", "is", "the", "of", "this", "to", "a", "an", "with", "in"}


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in _COMMON]


# -- the index ---------------------------------------------------------------------------------


def questions(data: Path) -> list[Task]:
    """The five questions."""
    return [item.make(MAX_PIXELS * 50) for item in InfoSeek().items(data)]


def write_corpus(folder: Path, tasks: Sequence[Task], *, whole: bool) -> dict[str, str]:
    """Rows and pictures for `saccade index build`; where each passage comes from.

    Args:
        folder: Where `rows.jsonl` and the pictures go.
        tasks: The questions.
        whole: Whether the fact of question `ABSENT` is in it.
    """
    folder.mkdir(parents=True)
    rows = [json.loads(line) for line in PASSAGES.read_text().splitlines()]
    for n, (task, named) in enumerate(zip(tasks, NAMES, strict=True)):
        if named.made and (whole or n != ABSENT):
            text = named.made.format(golds_of(task)[0])
            rows.append({"id": f"made-{n}", "title": named.title, "text": text + NOTE,
                         "origin": "the item's own answer"})  # fmt: skip
        (picture,) = (part for part in task.prompt if isinstance(part, Image))
        rows.append(picture_row(folder, f"picture-{n}", named.title, picture.pixels(),
                                "the photograph of the item, smaller and re-encoded"))  # fmt: skip
    for n, pixels in enumerate(distractors()):
        rows.append(picture_row(folder, f"pattern-{n}", f"Pattern {n}", pixels, "drawn here"))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {row["id"]: row["origin"] for row in rows}


def picture_row(
    folder: Path, name: str, title: str, pixels: PILImage.Image, origin: str
) -> dict[str, str]:
    """A row with a picture of at most 400 pixels a side, as JPEG of quality 70."""
    smaller = pixels.copy()
    smaller.thumbnail((400, 400))
    smaller.save(folder / f"{name}.jpg", quality=70)
    return {"id": name, "title": title, "image": f"{name}.jpg", "origin": origin}


def distractors() -> Iterator[PILImage.Image]:
    """Forty pictures of something else: smooth patterns."""
    import numpy as np

    for seed in range(40):
        coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        yield PILImage.fromarray(coarse).resize((320, 240), PILImage.Resampling.BICUBIC)


def passages(data_noun: Path) -> Iterator[dict[str, str]]:
    """Synsets of WordNet on what the photographs show, and on much that is near.

    Source: WordNet 3.0, wndb(5WN): `offset lex_filenum ss_type w_cnt word lex_id ... | gloss`.
    """
    left = dict.fromkeys(_WANTED, _MOST)
    for line in data_noun.read_text(encoding="latin-1").splitlines():
        fields, bar, gloss = line.partition(" | ")
        if not bar or line.startswith(" "):
            continue
        cells = fields.split()
        lemmas = [word.replace("_", " ") for word in cells[4 : 4 + 2 * int(cells[3], 16) : 2]]
        text = f"{', '.join(lemmas)}: {gloss.strip()}"
        word = next((w for w in _WANTED if left[w] and re.search(rf"\b{w}", text)), None)
        if word is None:
            continue
        left[word] -= 1
        yield {"id": f"wordnet-{cells[0]}", "title": max(lemmas, key=len), "text": text,
               "origin": f"WordNet 3.0, data.noun, {cells[0]}"}  # fmt: skip


# -- the runs ----------------------------------------------------------------------------------

SETTINGS = ("dialect.kind=deepeyes_v2", 'policy.kind="fvqa_mini:Script"')
ARMS = {
    "fact absent": "the index without the fact of question 4",
    "replayed": "the recording that the first arm made, and nothing else",
    "fact added": "the index with it",
    "no search": "no tools",
}


def saccade(*arguments: str) -> None:
    """A command of Saccade, with this folder among its modules."""
    command = [sys.executable, "-m", "saccade", *arguments]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def play(arm: str, data: Path, provider: str, run: Path) -> list[dict[str, Any]]:
    """An arm, as a row for each question."""
    tools = (f"tools.image_search.provider={provider}", f"tools.text_search.provider={provider}",
             "tools.text_search.name=search")  # fmt: skip
    saccade(
        "bench", "infoseek", f"data={data}", f"out={run}", *SETTINGS, *(tools if provider else ())
    )
    played = sorted(RunReader(run).trajectories(), key=lambda t: t.task_id)
    return [row_of(arm, trajectory) for trajectory in played]


def row_of(arm: str, trajectory: Trajectory) -> dict[str, Any]:
    """What became of a question."""
    found = [f for r in trajectory.results if (f := found_in(r.data)) is not None]
    verdict = trajectory.verdict
    return {
        "arm": arm,
        "task": trajectory.task_id,
        "question": _asked(trajectory.prompt[-1].text),
        "stop": str(trajectory.stop),
        "picture": next((f.hits[0].title for f in found if f.kind == "image" and f.hits), None),
        "documents": [h.document for f in found if f.kind == "text" for h in f.hits],
        "answer": trajectory.answer,
        "correct": None if verdict is None else verdict.correct,
        "observations": [
            m.model_dump_json() for turn in trajectory.turns for m in turn.observation
        ],
        "fingerprint": trajectory.environment.fingerprint,
    }


def measure(data: Path, runs: Path) -> dict[str, Any]:
    """Build two indexes and play every arm; the runs stay in `runs`."""
    shutil.rmtree(runs, ignore_errors=True)
    tasks = questions(data)
    rows: list[dict[str, Any]] = []
    origins: dict[str, str] = {}
    for name, whole in (("absent", False), ("added", True)):
        corpus = runs / f"corpus_{name}"
        origins = write_corpus(corpus, tasks, whole=whole)
        saccade("index", "build", str(corpus / "rows.jsonl"), "--out", str(runs / f"index_{name}"))
    local = '{{kind="local", index="{}"}}'
    recording = runs / "searches.sqlite"
    replay = f'kind="replay", file="{recording}"'
    record = f'{{{replay}, mode="record", provider={local.format(runs / "index_absent")}}}'
    rows += play("fact absent", data, record, runs / "script-fact_absent")
    rows += play("replayed", data, f"{{{replay}}}", runs / "script-replayed")
    rows += play("fact added", data, local.format(runs / "index_added"), runs / "script-fact_added")
    rows += play("no search", data, "", runs / "script-no_search")
    first, again = ([r["observations"] for r in rows if r["arm"] == arm] for arm in list(ARMS)[:2])
    for row in rows:
        del row["observations"]
    return {
        "title": "Five InfoSeek questions through search. The policy is a script, not a model.",
        "command": "python benchmarks/fvqa_mini.py",
        "date": time.strftime("%Y-%m-%d"),
        "arms": [accuracy(arm, rows) for arm in ARMS],
        "replayed_to_the_byte": first == again,
        "passages": {k: v for k, v in origins.items() if not k.startswith(("pattern", "picture"))},
        "pictures": sum(k.startswith(("pattern", "picture")) for k in origins),
        "rows": rows,
    }


def accuracy(arm: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The share of right answers of an arm, with its interval."""
    own = [row for row in rows if row["arm"] == arm]
    right = sum(row["correct"] is True for row in own)
    told = sum(row["answer"] not in (None, CANNOT_TELL) for row in own)
    low, high = wilson(right, len(own))
    return {"arm": arm, "what": ARMS[arm], "n": len(own), "right": right, "answered": told,
            "accuracy": right / len(own), "low": low, "high": high}  # fmt: skip


# -- the page ----------------------------------------------------------------------------------

BEGIN, END = "<!-- figures of benchmarks/fvqa_mini.py -->", "<!-- end of figures -->"


def page(found: dict[str, Any]) -> str:
    """The tables: arms, and every row."""
    lines = [
        f"{found['title']} n = 5 in each arm.",
        "",
        "| arm | what is searched | right | answered | accuracy | 95 % CI |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {a['arm']} | {a['what']} | {a['right']} of {a['n']} | {a['answered']} | "
        f"{a['accuracy']:.2f} | {a['low']:.2f} to {a['high']:.2f} |"
        for a in found["arms"]
    ]
    lines += ["", "| arm | question | found by its picture | passages | answer | right |",
              "|---|---|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {r['arm']} | {r['question']} | {r['picture'] or ''} | {', '.join(r['documents'])} | "
        f"{r['answer']} | {'yes' if r['correct'] else 'no'} |"
        for r in found["rows"]
    ]
    same = "the same bytes" if found["replayed_to_the_byte"] else "OTHER BYTES"
    lines += ["", f"The replayed arm was shown {same} as the arm that was recorded."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    data = HERE.parent.parent / "shared/data/fvqa_mini/infoseek_5.parquet"
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--runs", type=Path, default=Path("runs/fvqa_mini"))
    parser.add_argument("--out", type=Path, default=Path("results/fvqa_mini.json"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--passages", type=Path, metavar="DATA.NOUN")
    options = parser.parse_args()
    if options.passages is not None:
        lines = [json.dumps(row) + "\n" for row in passages(options.passages)]
        PASSAGES.write_text("".join(lines))
        return
    found = measure(options.data.resolve(), options.runs.resolve())
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(page(found))
    if options.write is not None:
        before, _, rest = options.write.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        options.write.write_text(f"{before}{BEGIN}\n{page(found)}\n{END}{after}")


if __name__ == "__main__":
    main()
