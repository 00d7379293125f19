"""`saccade demos` end to end: scripted teachers over HTTP, caps, failures, and what is kept."""

import json
import threading
from collections import Counter
from pathlib import Path

import pytest
from command import here
from teaching import ANSWER, CELL, a_recipe, a_sum, asked, behind, kept_in, run, solve

from saccade.config import Table
from saccade.errors import ConfigError
from saccade.recipe import make_environment
from saccade.runs.folder import RunReader
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer

HINT = "Prefer python. {meta.tip}"


def report(folder: Path) -> list[Table]:
    lines = (folder / "out" / "report.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_only_right_answers_with_code_that_ran_are_kept_and_each_reason_is_given(
    tmp_path: Path,
) -> None:
    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        a, b = asked(request)
        first = {
            3: "<think>I add.</think><code>\n```python\nraise_(3+2)\n```\n</code>",
            4: "<think>I add.</think><code>\n```python\nwarn(4+2)\n```\n</code>",
            6: "no thought <answer>8</answer>",
            7: "I do not know.",
            8: "<think>I know it.</think><answer>10</answer>",
        }
        if a == 5:
            return "<think>I guess.</think><answer>99</answer>"
        if a == 9:
            return ScriptedReply("<think>Mad", finish="length")
        return first.get(a, CELL.format(a, b)) if request.turn == 0 else ANSWER.format(a + b)

    with ScriptedServer(answer) as server:
        made = run(
            tmp_path, [a_sum(n) for n in range(1, 10)], [behind(server.url)],
            demos={"filters": {"require_tools": True}},
        )  # fmt: skip
    assert {row["task"]: (row["reason"], row["detail"]) for row in report(tmp_path)} == {
        "sum-1": ("", ""),
        "sum-2": ("", ""),
        "sum-3": ("failed call", "turn 1, python"),
        "sum-4": ("stderr", "turn 1, python"),
        "sum-5": ("wrong answer", ""),
        "sum-6": ("format", "turn 1: unbalanced_think"),
        "sum-7": ("no answer", "no_action"),
        "sum-8": ("no tool", ""),
        "sum-9": ("no answer", "max_tokens"),
    }
    assert set(kept_in(tmp_path)) == {"sum-1", "sum-2"}
    assert (made.audit.kept, made.audit.episodes, made.open) == (2, 9, {})
    assert made.audit.tools == {"python": 2}
    assert made.audit.mix["code"] == 1
    page = (tmp_path / "out" / "audit.md").read_text()
    assert "2 of 9 episodes are kept, of 2 of 9 questions." in page
    assert "| failed call | 1 |" in page
    # Errors that were made good are demonstrations of repair, and no episode is played for them.
    repaired = {"repaired": True}
    run(tmp_path, [], [behind(server.url)], demos={"filters": repaired})
    assert set(kept_in(tmp_path)) == {"sum-1", "sum-2", "sum-8"}, "nothing was repaired here"


def test_what_is_kept_is_the_students_and_the_hint_is_in_the_request_alone(tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        seen.append(request.text)
        return solve(request)

    tasks = [a_sum(1, meta={"tip": "Print it."})]
    with ScriptedServer(answer) as server:
        run(tmp_path, tasks, [behind(server.url, hint=HINT)])
        recipe = a_recipe(tmp_path, [], [behind(server.url, hint=HINT)])
    assert all("Prefer python. Print it." in text for text in seen)
    kept = kept_in(tmp_path)["sum-1"].trajectory
    student = make_environment(recipe)
    assert kept.prompt == student.begin(tasks[0]).prompt
    assert kept.environment == student.record
    assert kept.environment.prefill
    assert "Prefer" not in kept.model_dump_json()
    assert [turn.prefix for turn in kept.turns] == ["<think>", "<think>"]
    assert kept.turns[0].completion.text.startswith("I add.</think>"), "the beginning is given"
    assert kept.annotations["teacher"] == "gpt"


def test_teachers_take_turns_by_weight_and_a_rerun_asks_nothing(tmp_path: Path) -> None:
    played: Counter[str] = Counter()
    wrong = threading.Event()

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        model = str(request.body["model"])
        played[model] += request.turn == 0
        return "<think>No.</think><answer>0</answer>" if model == "b" else solve(request)

    tasks = [a_sum(n) for n in range(1, 7)]
    with ScriptedServer(answer) as server:
        teachers = [behind(server.url, "a", weight=2), behind(server.url, "b")]
        made = run(tmp_path, tasks, teachers, samples=3)
        again = run(tmp_path, tasks, teachers, samples=3)
        assert again == made
        assert sum(played.values()) == made.audit.episodes
        assert played["a"] == 6, "one is enough of each question"
        run(tmp_path, tasks, teachers, samples=3, demos={"enough": 3})
    assert not wrong.is_set()
    assert played == {"a": 12, "b": 6}, "in three samples each has its share"
    assert len(kept_in(tmp_path)) == 6
    assert Counter(row["reason"] for row in report(tmp_path)) == {
        "": 6,
        "copy": 6,
        "wrong answer": 6,
    }


def test_a_run_stops_before_a_cap_is_passed_and_goes_on_with_a_higher_one(tmp_path: Path) -> None:
    tasks = [a_sum(n) for n in range(1, 9)]
    with ScriptedServer(solve) as server:
        teachers = [behind(server.url, price_in=1000.0, price_out=1000.0)]

        def spend(cap: Table) -> tuple[int, float, str]:
            made = run(tmp_path, tasks, teachers, demos={"caps": cap})
            total = sum(t.money for t in made.audit.teachers.values())
            return made.audit.episodes, total, made.audit.stopped

        few, spent, why = spend({"money": 4.0})
        assert 0 < few < 8
        assert 0 < spent <= 4
        assert why.startswith("caps.money: ")
        assert "raise it to go on" in why
        before = len(server.requests)
        assert spend({"money": 4.0}) == (few, spent, why), "no request is sent"
        assert len(server.requests) == before
        six, _, why = spend({"episodes": 6})
        assert (six, why) == (6, "caps.episodes: 6 are finished; raise it to go on")
        eight, total, why = spend({})
        assert (eight, why) == (8, "")
    lines = (tmp_path / "out" / "spent.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["money"] for line in lines) == pytest.approx(total)
    assert len(lines) == len(server.requests)


def test_a_teacher_that_is_down_leaves_its_questions_open_and_the_other_goes_on(
    tmp_path: Path,
) -> None:
    down = threading.Event()
    down.set()

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        if down.is_set() and request.body["model"] == "b":
            return ScriptedReply(status=500, raw=b"{}")
        return solve(request)

    tasks = [a_sum(n) for n in range(1, 13)]
    with ScriptedServer(answer) as server:
        teachers = [behind(server.url, "a"), behind(server.url, "b", max_retries=0)]
        how = {"demos": {"down_after": 2}, "concurrency": 1}
        made = run(tmp_path, tasks, teachers, **how)
        done = made.audit.teachers["a"].kept
        assert 0 < done < 12
        assert set(made.audit.down) == {"b"}
        assert made.audit.teachers["b"].aborted == 2
        assert made.open["b is down"] == 12 - done - 2
        assert made.audit.dropped == {"aborted": 2}
        down.clear()
        made = run(tmp_path, tasks, teachers, **how)
    assert (made.audit.kept, made.audit.down, made.open) == (12, {}, {})
    by_teacher = {name: t.kept for name, t in made.audit.teachers.items()}
    assert by_teacher == {"a": done, "b": 12 - done}


def test_too_many_requests_are_waited_for(tmp_path: Path) -> None:
    busy = Counter[int]()

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        a, _ = asked(request)
        busy[a] += 1
        if busy[a] == 1:
            return ScriptedReply(status=429, headers={"Retry-After": "0"}, raw=b"{}")
        return solve(request)

    with ScriptedServer(answer) as server:
        made = run(tmp_path, [a_sum(1), a_sum(2)], [behind(server.url)])
    assert (made.audit.kept, made.open) == (2, {})


def test_a_question_whose_answer_would_be_told_is_not_asked(tmp_path: Path) -> None:
    with ScriptedServer(solve) as server:
        teachers = [behind(server.url, hint="It is {answer}.")]
        made = run(tmp_path, [a_sum(1), a_sum(2)], teachers)
        assert server.requests == []
    assert made.audit.dropped == {"leak": 2}
    assert made.audit.kept == 0
    assert {row["detail"].partition(":")[0] for row in report(tmp_path)} == {"request"}


def test_another_teacher_is_another_synthesis_but_another_address_is_not(tmp_path: Path) -> None:
    with ScriptedServer(solve) as server, ScriptedServer(solve) as other:
        run(tmp_path, [a_sum(1)], [behind(server.url)])
        run(tmp_path, [a_sum(1)], [behind(other.url, price_in=3.0)])
        assert other.requests == []
        with pytest.raises(ConfigError, match=r'teachers\.model: "gpt" -> "claude"'):
            run(tmp_path, [a_sum(1)], [behind(server.url, "claude")])


def test_the_command_says_what_is_open_and_prints_json(tmp_path: Path) -> None:
    run_file = tmp_path / "demos.toml"
    with ScriptedServer(solve) as server:
        recipe = a_recipe(tmp_path, [a_sum(1)], [behind(server.url)])
        run_file.write_text(
            f'out = "{recipe.out}"\ntasks = {{ kind = "file", path = "source/tasks.jsonl" }}\n'
            'dialect.kind = "deepeyes_v2"\ntools."teaching:Cells" = {}\n'
            '[[teachers]]\nkind = "openai"\nmax_retries = 0\nmodel = "gpt"\n'
            f'base_url = "{server.url}"\n'
        )
        shown = here("demos", run_file.name, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert "1 demonstrations of 1 of 1 questions" in shown.stdout
        asked_for = len(server.requests)
        done = here("demos", run_file.name, "--json", cwd=tmp_path)
        assert json.loads(done.stdout)["audit"]["kept"] == 1
        assert len(server.requests) == asked_for
        tighter = here("demos", run_file.name, "demos.filters.max_turns=1", "--json", cwd=tmp_path)
        assert json.loads(tighter.stdout)["audit"]["dropped"] == {"too long": 1}
    gone = here("demos", run_file.name, f"out={tmp_path / 'other'}", cwd=tmp_path)
    assert gone.returncode == 1
    assert "1 attempts are open, and the same command makes them: aborted" in gone.stderr
    wrong = here("demos", run_file.name, "policy.kind=world", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "name who plays in teachers" in wrong.stderr


def test_both_folders_are_ordinary_runs(tmp_path: Path) -> None:
    with ScriptedServer(solve) as server:
        run(tmp_path, [a_sum(1)], [behind(server.url)])
    for name in ("played", "kept"):
        (entry,) = RunReader(tmp_path / "out" / name).entries()
        assert entry.trajectory.answer == "3"
