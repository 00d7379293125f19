"""Passages of real documentation, and questions about them, for `search.py`.

    python benchmarks/search_corpus.py [--folder build/search] [--queries FILE --seed 0]

The recipe: documentation packages of Debian (`DEBIAN`, by `apt-get download`, unpacked without
being installed) and the docstrings of Python packages of this environment (`PYTHON`). Pages,
manuals, pods and docstrings are cut into sections at their headings, and sections into passages of
about 60 words; what is not English prose is left out, and so is what occurs twice. Of each package
at most `MOST` passages are taken, from its files in the order of the hashes of their paths, and of
all passages `REAL`: those whose hash is lowest, so that a package of another version changes its
own passages and few others.

A million is made from them by a splice: the first half of one passage and the second half of
another that are drawn at random, after the real ones.

A passage is found under the title of its page. Headings of sections are kept out of the passages:
they are questions that nobody made up for a search engine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from search_sources import identity, sources

REAL = 100_000
MOST = 6_000
WORDS = 60
SHORTEST, LONGEST = 25, 110
_STOP = """a an and are as at be been but by can could did do does for from had has have how i if in
into is it its may more must no not of on or our shall should so such than that the their them then
there these they this those to was we were what when where which while who whose why will with would
you your"""
STOP = frozenset(_STOP.split())
"""Words of English prose: each fifth word of it is one of these, of a table or listing none is."""


class Passage(NamedTuple):
    """What is found."""

    id: str
    """Hash of title and text."""
    title: str
    text: str


class Corpus(NamedTuple):
    """The real passages."""

    passages: list[Passage]
    headings: list[tuple[str, list[str]]]
    """Of a section: its heading, and the ids of its passages."""
    packages: dict[str, str]
    """What they come from, with versions."""

    @property
    def fingerprint(self) -> str:
        ids = "\n".join(sorted(passage.id for passage in self.passages))
        return hashlib.sha256(ids.encode()).hexdigest()[:16]


def load(folder: Path) -> Corpus:
    """The real passages; made once, then read from the folder."""
    kept = folder / "corpus.jsonl"
    if not kept.exists():
        corpus = make(folder)
        beside = kept.with_suffix(".part")
        with beside.open("w", encoding="utf-8") as file:
            head = {"packages": corpus.packages, "headings": corpus.headings}
            file.write(json.dumps(head) + "\n")
            file.writelines(json.dumps(passage) + "\n" for passage in corpus.passages)
        beside.rename(kept)
    with kept.open(encoding="utf-8") as file:
        head = json.loads(next(file))
        passages = [Passage(*json.loads(line)) for line in file]
    return Corpus(passages, [(h, ids) for h, ids in head["headings"]], head["packages"])


def of_size(corpus: Corpus, size: int, seed: int) -> Iterator[Passage]:
    """The real passages, then splices of them, up to a size."""
    real = corpus.passages
    yield from real[:size]
    draw, seen = random.Random(seed), {passage.id for passage in real}
    made = len(real)
    while made < size:
        first, second = draw.choice(real), draw.choice(real)
        head, tail = first.text.split(), second.text.split()
        text = " ".join(head[: len(head) // 2] + tail[len(tail) // 2 :])
        passage = Passage(identity(first.title, text), first.title, text)
        if passage.id not in seen:
            seen.add(passage.id)
            made += 1
            yield passage


# --- what is made from the packages -------------------------------------------------------------


def make(folder: Path) -> Corpus:
    found: list[Passage] = []
    sections: dict[str, list[str]] = {}
    repeated: set[str] = set()
    packages: dict[str, str] = {}
    seen: set[str] = set()
    for name, (number, source) in sources(folder):
        packages[name] = number
        before = len(found)
        for section in source:
            if len(found) - before >= MOST:
                break
            ids = []
            for text in cut(section.text):
                key = " ".join(re.findall(r"[a-z]+", text.lower()))
                if key in seen or not is_prose(text):
                    continue
                seen.add(key)
                passage = Passage(identity(section.title, text), section.title, text)
                ids.append(passage.id)
                found.append(passage)
            heading = section.heading
            if ids and heading:
                if heading in sections:
                    repeated.add(heading)
                sections.setdefault(heading, []).extend(ids)
        sys.stderr.write(f"{name} {number}: {len(found) - before} passages\n")
    passages = sorted(found)[:REAL]
    there = {passage.id for passage in passages}
    headings = [
        (heading, [id for id in ids if id in there])
        for heading, ids in sorted(sections.items())
        if heading not in repeated
    ]
    return Corpus(passages, [(h, ids) for h, ids in headings if ids], packages)


def cut(text: str) -> Iterator[str]:
    """A section in passages of about `WORDS` words."""
    words = text.split()
    pieces = max(1, round(len(words) / WORDS))
    for number in range(pieces):
        piece = words[len(words) * number // pieces : len(words) * (number + 1) // pieces]
        if SHORTEST <= len(piece) <= LONGEST:
            yield " ".join(piece)


def is_prose(text: str) -> bool:
    words = [word.strip(".,:;()") for word in text.lower().split()]
    of_english = len({"the", "of", "and", "is", "to"} & set(words)) >= 2
    return of_english and sum(word in STOP for word in words) >= len(words) / 5


# --- questions ----------------------------------------------------------------------------------

SETS = ("plain", "shuffled", "misspelt", "headings", "questions")
"""Words of a passage; the same in another order; one of them misspelt; and, of sections, headings
of four to fourteen words, and headings that are questions."""


class Query(NamedTuple):
    """A question, and what answers it."""

    text: str
    wanted: list[str]
    """Ids of the passages that answer it; one of them suffices."""


def questions(corpus: Corpus, n: int, seed: int) -> dict[str, dict[str, list[Query]]]:
    """Of each set `n` for the figures that are reported ("test"), and half as many to tune by."""
    known = known_items(corpus, n + n // 2, seed)
    sections = of_sections(corpus, seed)
    made: dict[str, dict[str, list[Query]]] = {}
    for split, part in (("test", slice(0, n)), ("dev", slice(n, n + n // 2))):
        made[split] = {name: queries[part] for name, queries in known.items()}
    for name, queries in sections.items():
        third = min(n // 2, len(queries) // 3)
        tested = min(n, len(queries) - third)
        made["test"][name] = queries[:tested]
        made["dev"][name] = queries[tested : tested + third]
    return made


def known_items(corpus: Corpus, n: int, seed: int) -> dict[str, list[Query]]:
    """Four to six words of a passage, as one types who half remembers it.

    Words that tell something: at least three letters, in at most one passage of twenty and in at
    least two, so that no query is a serial number.
    """
    counts: dict[str, int] = {}
    words = [re.findall(r"[a-z][a-z']+[a-z]", p.text.lower()) for p in corpus.passages]
    for of_passage in words:
        for word in set(of_passage):
            counts[word] = counts.get(word, 0) + 1
    draw = random.Random(seed)
    made: dict[str, list[Query]] = {"plain": [], "shuffled": [], "misspelt": []}
    for place in draw.sample(range(len(words)), len(words)):
        telling = [
            word
            for word in dict.fromkeys(words[place])
            if word not in STOP and 2 <= counts[word] <= len(words) / 20
        ]
        if len(telling) < 6:
            continue
        chosen = sorted(draw.sample(range(len(telling)), draw.randint(4, 6)))
        said = [telling[number] for number in chosen]
        wanted = [corpus.passages[place].id]
        other = said
        while other == said:
            other = draw.sample(said, len(said))
        most = min(5, max(len(word) for word in said))
        wrong = draw.choice([number for number, word in enumerate(said) if len(word) >= most])
        spelt = [*said[:wrong], misspelt(said[wrong], draw), *said[wrong + 1 :]]
        for name, query in (("plain", said), ("shuffled", other), ("misspelt", spelt)):
            made[name].append(Query(" ".join(query), wanted))
        if len(made["plain"]) == n:
            break
    return made


def misspelt(word: str, draw: random.Random) -> str:
    """One slip anywhere but in the first letter.

    Source: Damerau (1964), A technique for computer detection and correction of spelling errors:
    four of five misspelt words have one letter missing, too many or wrong, or two that are swapped.
    """
    while True:
        place = draw.randrange(1, len(word))
        letter = draw.choice("abcdefghijklmnopqrstuvwxyz")
        before, here, after = word[:place], word[place], word[place + 1 :]
        slip = draw.choice(("missing", "extra", "wrong", "swapped"))
        if slip == "missing":
            made = before + after
        elif slip == "extra":
            made = before + letter + here + after
        elif slip == "wrong":
            made = before + letter + after
        else:
            made = before + after[:1] + here + after[1:]
        if made != word:
            return made


def of_sections(corpus: Corpus, seed: int) -> dict[str, list[Query]]:
    made: dict[str, list[Query]] = {"headings": [], "questions": []}
    for heading, ids in corpus.headings:
        words = re.findall(r"\w+", heading)
        code = heading.startswith("Source code")
        if 4 <= len(words) <= 14 and len(heading) <= 120 and heading.isascii() and not code:
            asked = heading.endswith("?")
            made["questions" if asked else "headings"].append(Query(heading, ids[:8]))
    for queries in made.values():
        random.Random(seed).shuffle(queries)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/search"))
    parser.add_argument("--queries", type=Path, help="write the questions there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=1000)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    corpus = load(options.folder)
    sys.stdout.write(f"{len(corpus.passages)} passages, fingerprint {corpus.fingerprint}\n")
    if options.queries:
        write(options.queries, corpus, options.n, options.seed)


def write(path: Path, corpus: Corpus, n: int, seed: int) -> None:
    made = questions(corpus, n, seed)
    lines = [json.dumps({"corpus": corpus.fingerprint, "n": n, "seed": seed})[:-1]]
    for split, sets in made.items():
        for name, queries in sets.items():
            rows = ",\n".join("  " + json.dumps(query) for query in queries)
            lines.append(f' "{split} {name}": [\n{rows}\n ]')
    path.write_text(",\n".join(lines) + "\n}\n")


class Questions(NamedTuple):
    """What is asked, as a file keeps it."""

    corpus: str
    """Fingerprint of the passages that they ask for."""
    sets: dict[str, dict[str, list[Query]]]
    """By split and set."""


def read(path: Path) -> Questions:
    found = json.loads(path.read_text())
    sets: dict[str, dict[str, list[Query]]] = {}
    for name, rows in found.items():
        split, _, of_set = name.partition(" ")
        if of_set:
            sets.setdefault(split, {})[of_set] = [Query(*row) for row in rows]
    return Questions(found["corpus"], sets)


def first(corpus: Corpus, size: int, wanted: Sequence[str]) -> list[Passage]:
    """A small corpus: the passages that are wanted, and others up to a size."""
    there = set(wanted)
    chosen = [passage for passage in corpus.passages if passage.id in there]
    others = (passage for passage in corpus.passages if passage.id not in there)
    return sorted([*chosen, *islice(others, size - len(chosen))])


if __name__ == "__main__":
    main()
