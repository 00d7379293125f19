"""The score of a trajectory, and when it has none."""

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from building import a_result, a_task, a_trajectory, a_turn, played
from hypothesis import given
from hypothesis import strategies as st
from waiting import Clock, until

from saccade.client.options import ClientOptions
from saccade.config import validate, with_overrides
from saccade.errors import ConfigError
from saccade.rewards import Reward, RewardOptions
from saccade.rewards.judges import Choice, Exact, FirstOf
from saccade.rewards.llm import LLM
from saccade.rewards.math import Math, MathOptions
from saccade.rewards.terms import PRESETS, TERMS
from saccade.testing import ScriptedReply, ScriptedServer
from saccade.types import (
    ProblemKind,
    Record,
    StopReason,
    Task,
    Trajectory,
    Verdict,
)

TASK = a_task(answer="7")


def trajectory(
    answer: str | None = "7",
    *,
    calls: int = 0,
    failed: int = 0,
    dropped: int = 0,
    problems: tuple[ProblemKind, ...] = (),
    stop: StopReason = StopReason.ANSWER,
) -> Trajectory:
    turns = [
        *[a_turn(a_result(error="no"))] * failed,
        *[a_turn(a_result(f"look {n}")) for n in range(calls)],
        *[a_turn(a_result(), dropped="context")] * dropped,
    ]
    return a_trajectory(*turns, a_turn(answer=answer, problems=problems), stop=stop)


def value(done: Trajectory, preset: str = "deepeyes", task: Task = TASK) -> float | None:
    scored = asyncio.run(RewardOptions(preset=preset).make().apply(task, done))
    return None if scored.score is None else scored.score.value


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (trajectory(), 0.8),
        (trajectory(calls=1), 2.0),
        (trajectory(calls=3), 2.0),
        (trajectory(failed=2), 0.8),
        (trajectory(dropped=1), 0.8),
        (trajectory("8"), 0.0),
        (trajectory("8", calls=1), 0.0),
        (trajectory("8", problems=(ProblemKind.UNBALANCED_THINK,)), -0.2),
        (trajectory(problems=(ProblemKind.UNBALANCED_ANSWER,)), 0.6),
        (trajectory(problems=(ProblemKind.SEVERAL_CALLS,)), 0.8),
        (trajectory(problems=(ProblemKind.LONG_ANSWER,)), -0.2),
        (trajectory(None, stop=StopReason.MAX_TURNS, calls=2), 0.0),
    ],
)
def test_the_preset_pays_what_the_paper_pays(done: Trajectory, expected: float) -> None:
    """Source: DeepEyes, `vl_agent.py`, compute_score: range -0.2 to 2.0."""
    assert value(done) == pytest.approx(expected)


def test_the_bonus_has_three_settings() -> None:
    wrong, right = trajectory("8", calls=1), trajectory(calls=1)
    settings = ("deepeyes_no_bonus", "deepeyes_unconditional", "deepeyes")
    assert [value(wrong, setting) for setting in settings] == [0.0, 1.2, 0.0]
    assert [value(right, setting) for setting in settings] == [0.8, 2.0, 2.0]


def test_the_accumulative_tool_reward() -> None:
    """Source: PyVision-RL (arXiv 2602.20739): .1 for each call, if the answer is right."""
    values = [value(trajectory(calls=n), "pyvision") for n in (0, 1, 3)]
    assert values == pytest.approx([1.0, 1.1, 1.3])
    assert value(trajectory("8", calls=3), "pyvision") == 0.0


@pytest.mark.parametrize(
    ("calls", "benefit", "expected"), [(0, 0.9, 0.8), (1, 0.9, 0.8 + 0.54), (1, -0.5, 0.5)]
)
def test_the_reward_of_at_grpo(calls: int, benefit: float, expected: float) -> None:
    """Source: AdaTooler-V (arXiv 2512.16918): alpha .6 times the measured benefit."""
    task = TASK.model_copy(update={"meta": {"tool_benefit": benefit}})
    reward = RewardOptions(preset="at_grpo").make()
    scored = asyncio.run(reward.apply(task, trajectory(calls=calls)))
    assert scored.score is not None
    assert scored.score.value == pytest.approx(expected)


def test_a_benefit_that_was_not_measured_is_asked_for() -> None:
    reward = RewardOptions(preset="at_grpo").make()
    with pytest.raises(ConfigError, match=r"task t: no meta.tool_benefit; measure it with"):
        asyncio.run(reward.apply(TASK, trajectory(calls=1)))


def test_the_maths_preset() -> None:
    """Source: DeepEyes, `vl_agent.py`, compute_score_math: range -0.4 to 1.2, no tool term."""
    assert value(trajectory(calls=1), "deepeyes_maths") == pytest.approx(1.2)
    several = trajectory(problems=(ProblemKind.SEVERAL_ANSWERS,))
    assert value(several, "deepeyes_maths") == pytest.approx(0.8)
    none = trajectory(None, stop=StopReason.NO_ACTION)
    assert value(none, "deepeyes_maths") == pytest.approx(-0.4)


kinds = st.lists(st.sampled_from(list(ProblemKind)), max_size=3).map(tuple)
small = st.integers(0, 3)


@given(st.sampled_from(["7", "8", None]), small, small, small, kinds)
def test_values_stay_in_the_published_range(
    answer: str | None, calls: int, failed: int, dropped: int, problems: tuple[ProblemKind, ...]
) -> None:
    done = trajectory(answer, calls=calls, failed=failed, dropped=dropped, problems=problems)
    found = value(done)
    assert found is not None
    assert -0.2 - 1e-9 <= found <= 2.0 + 1e-9
    assert found >= value(trajectory(answer, failed=failed + calls, problems=problems))  # type: ignore[operator]
    assert -0.4 - 1e-9 <= value(done, "deepeyes_maths") <= 1.2 + 1e-9  # type: ignore[operator]


@given(st.sampled_from(["7", "8"]), small, kinds)
def test_a_cost_per_call_is_an_option(
    answer: str, calls: int, problems: tuple[ProblemKind, ...]
) -> None:
    done = trajectory(answer, calls=calls, problems=problems)
    reward = RewardOptions(weights={"calls": -0.1}).make()
    scored = asyncio.run(reward.apply(TASK, done)).score
    assert scored is not None
    assert scored.value == pytest.approx(value(done) - 0.1 * calls)  # type: ignore[operator]


def score(weights: dict[str, object], done: Trajectory, preset: str, task: Task = TASK) -> float:
    options = RewardOptions.model_validate({"preset": preset, "weights": weights})
    assert RewardOptions.model_validate_json(options.model_dump_json()) == options
    scored = asyncio.run(options.make().apply(task, done)).score
    assert scored is not None
    return scored.value


def test_a_term_takes_options_and_keeps_the_weight_of_the_preset() -> None:
    done = trajectory(problems=(ProblemKind.SEVERAL_CALLS,))
    strict = {"problems": ["several_calls"]}
    assert score({"format_penalty": strict}, done, "deepeyes") == pytest.approx(0.6)
    heavy = {"weight": 0.5, **strict}
    assert score({"format_penalty": heavy}, done, "deepeyes") == pytest.approx(0.3)
    task = TASK.model_copy(update={"meta": {"tool_benefit": 1.0}})
    values = [
        score({"adaptive_tool": {"n_best": 6}}, trajectory(calls=n), "at_grpo", task)
        for n in (0, 6, 9)
    ]
    assert values == pytest.approx([0.8, 1.4, 0.8 + 0.6 * math.exp(-0.5)])


def brief(task: Task, trajectory: Trajectory, correct: bool) -> float:
    """A term of the user's own: a function."""
    return float(len(trajectory.turns) == 1)


class Within(Record):
    """A term of the user's own: a class with options."""

    turns: int = 1

    def __call__(self, task: Task, trajectory: Trajectory, correct: bool) -> float:
        return float(len(trajectory.turns) <= self.turns)


def test_a_term_of_the_users_own_is_a_function_or_a_class_with_options() -> None:
    own = {f"{__name__}:brief": 0.5, f"{__name__}:Within": {"weight": 0.25, "turns": 2}}
    values = [score(own, trajectory(calls=n), "deepeyes_no_bonus") for n in (0, 1, 2)]
    assert values == pytest.approx([0.8 + 0.5 + 0.25, 0.8 + 0.25, 0.8])


@pytest.mark.parametrize("stop", [StopReason.ABORTED, StopReason.TIMEOUT])
def test_our_failures_are_not_scored(stop: StopReason) -> None:
    done = trajectory(stop=stop)
    assert asyncio.run(RewardOptions().make().apply(TASK, done)) == done


def test_a_task_without_an_answer_is_not_scored() -> None:
    assert value(trajectory(), task=TASK.model_copy(update={"answer": None})) is None


class Fixed:
    """A judge with a fixed opinion."""

    def __init__(self, verdict: bool | None, name: str = "fixed") -> None:
        self.verdict, self.name, self.asked = verdict, name, 0

    async def judge(self, task: Task, answer: str) -> Verdict:
        self.asked += 1
        return Verdict(correct=self.verdict, reason="because", judge=self.name)

    async def close(self) -> None: ...


def test_undecided_is_unscored_and_says_why() -> None:
    scored = asyncio.run(Reward({}, Fixed(None)).apply(TASK, trajectory()))
    assert scored.score is None
    assert scored.verdict == Verdict(correct=None, reason="because", judge="fixed")


async def test_first_of_goes_on_until_one_decides() -> None:
    judges = [Fixed(None, "a"), Fixed(False, "b"), Fixed(True, "c")]
    verdict = await FirstOf(judges).judge(TASK, "7")
    assert (verdict.correct, verdict.judge) == (False, "b")
    assert [j.asked for j in judges] == [1, 1, 0]
    none = await FirstOf(judges[:1]).judge(TASK, "7")
    assert (none.correct, none.reason) == (None, "a: because")


def test_a_task_may_name_its_judge() -> None:
    named = TASK.model_copy(update={"judge": "other"})
    reward = Reward({}, Fixed(False), judges={"other": Fixed(True)})
    verdict = asyncio.run(reward.apply(named, trajectory())).verdict
    assert verdict is not None
    assert verdict.correct is True
    with pytest.raises(ConfigError, match="no judge 'exat'; did you mean 'exact'"):
        asyncio.run(reward.apply(TASK.model_copy(update={"judge": "exat"}), trajectory()))


@pytest.mark.parametrize(
    ("options", "says"),
    [({"preset": "deepeye"}, "did you mean 'deepeyes'"), ({"judge": ["lm"]}, "no 'lm'"),
     ({"weights": {"x:y": 1}}, "cannot be imported"), ({"weights": {"os:name": 1}}, "no function"),
     ({"weights": {"call": 1}}, "no 'call'; did you mean 'calls'"),
     ({"weights": {"calls": {}}}, r"reward\.weights\.calls\.weight: missing"),
     ({"weights": {"calls": {"weight": 1, "most": 2}}}, "takes no options, got most"),
     ({"weights": {"format_penalty": {"problem": []}}}, "did you mean 'problems'"),
     ({"judge": "llm"}, r"reward\.judge\.base_url: missing\nreward\.judge\.model: missing"),
     ({"judge": ["exact", {"kind": "math", "timeout": 1}]}, "timeout: unknown.*'timeout_s'"),
     ({"judge": {"kind": "choice", "strict": True}}, "Choice takes no options, got strict")],
)  # fmt: skip
def test_wrong_options_are_explained(options: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RewardOptions.model_validate(options).make()


class Agreeable:
    """A judge of the user's own: right whatever is answered."""

    name = "agreeable"

    class Options(Record):
        except_for: str = ""

    def __init__(self, options: Options) -> None:
        self._except_for = options.except_for

    async def judge(self, task: Task, answer: str) -> Verdict:
        return Verdict(correct=answer != self._except_for, judge=self.name)

    async def close(self) -> None: ...


AGREEABLE = f"{__name__}:Agreeable"


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ([], ["exact"]),
        (["judge=math"], ["math"]),
        (['judge=["exact", "math"]'], ["exact", "math"]),
        (["judge.kind=llm", "judge.base_url=http://h/v1", "judge.model=m"], ["llm"]),
        (['judge=["exact", {kind="math", timeout_s=5}]'], ["exact", "math"]),
        ([f"judge={AGREEABLE}"], [AGREEABLE]),
    ],
)
def test_judges_are_named_in_a_run_file_or_on_the_command_line(
    settings: list[str], kinds: list[str]
) -> None:
    options = validate(RewardOptions, with_overrides({}, settings))
    assert [part.kind for part in options.judge] == kinds
    assert RewardOptions.model_validate_json(options.model_dump_json()) == options
    asyncio.run(options.make().close())


async def test_a_judge_of_the_users_own_takes_its_options() -> None:
    own = {"kind": AGREEABLE, "except_for": "8"}
    reward = RewardOptions.model_validate({"judge": ["exact", own]}).make()
    named = TASK.model_copy(update={"judge": AGREEABLE})
    found = [(await reward.apply(named, trajectory(answer))).verdict for answer in ("9", "8")]
    assert found == [
        Verdict(correct=True, judge="agreeable"), Verdict(correct=False, judge="agreeable"),
    ]  # fmt: skip


def test_every_preset_uses_known_terms() -> None:
    assert all(set(weights) <= set(TERMS) for weights in PRESETS.values())


def judged(judge: object, gold: str, answer: str, *choices: str) -> bool | None:
    task = a_task(answer=gold, choices=choices)
    return asyncio.run(judge.judge(task, answer)).correct  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [("7", "7", True), ("7", " 7. ", True), ("10", "10.0", True), ("1,000", "1000", True),
     ("SIGGRAPH", "siggraph", True), ("red", "“Red”", True), ("ﬁ", "fi", True),
     ("\u00bd", "1\u20442", True),
     ("7", "17", False), ("7", "-7", False), (".5", "5", False), ("0.5", ".5", True),
     ("red", "a red car", False), ("7", "", False), ("7", "seven", False), ("no", "not", False),
     ("1e5", "100000", False), ("1" * 60, "1" * 60, True), ("x", "x y", False), ("...", "", False)],
)  # fmt: skip
def test_exact(gold: str, answer: str, right: bool) -> None:
    assert judged(Exact(), gold, answer) is right


def test_marks_over_a_letter_are_not_put_in_order_by_the_million() -> None:
    """Normalising them takes the square of their number: minutes, on the event loop."""
    started = time.process_time()
    assert judged(Exact(), "7", "a" + "\u0301\u0316" * 100_000) is False
    assert time.process_time() - started < 1
    assert judged(Exact(), "x" * 30_000, "x" * 30_000) is True


async def test_other_words_may_be_left_to_the_next_judge() -> None:
    gentle = {"kind": "exact", "mismatch": "undecided"}
    agreeable = {"kind": AGREEABLE, "except_for": "8"}
    reward = RewardOptions.model_validate({"judge": [gentle, agreeable]}).make()
    verdicts = [(await reward.apply(TASK, trajectory(a))).verdict for a in ("7", "seven", "8")]
    assert [(v.correct, v.judge) for v in verdicts if v] == [
        (True, "exact"), (True, "agreeable"), (False, "agreeable"),
    ]  # fmt: skip
    alone = RewardOptions.model_validate({"judge": gentle}).make()
    assert (await alone.apply(TASK, trajectory("seven"))).score is None


OPTIONS = ("Pepsi", "Coca-Cola", "a red car", "Sprite")


@pytest.mark.parametrize(
    ("answer", "right"),
    [("B", True), ("b", True), ("(B)", True), ("B.", True), ("B)", True), ("Coca-Cola", True),
     ("coca-cola.", True), ("B. Coca-Cola", True), ("(B) Coca-Cola", True), ("**B**", True),
     ("The answer is B", True), ("answer: (B)", True), ("The correct option is Coca-Cola.", True),
     ("Based on the image, the answer is C", False), ("C", False), ("A. Coca-Cola", False),
     ("B. Pepsi", False), ("B or C", False), ("E", False), ("", False), ("Bold guess", None),
     ("A red one", None), ("It is a reddish car", None), ("Big", None), ("x" * 10_000, None)],
)  # fmt: skip
def test_choice(answer: str, right: bool | None) -> None:
    """Among them are inputs on which public scorers err (VLMEvalKit `can_infer`, regex letters)."""
    assert judged(Choice(), "Coca-Cola", answer, *OPTIONS) is right
    assert judged(Choice(), "B", answer, *OPTIONS) is right


def test_a_word_is_never_read_by_its_first_letter() -> None:
    for answer in ("A red car", "ANSWER", "THE RED CAR", "Apple"):
        assert judged(Choice(), "Pepsi", answer, *OPTIONS) is not True
    assert judged(Choice(), "a red car", "A red car", *OPTIONS) is True


def test_a_gold_answer_that_is_no_option_is_a_data_error() -> None:
    assert judged(Choice(), "Fanta", "B", *OPTIONS) is None
    assert judged(Choice(), "Z", "B", *OPTIONS) is None


def test_a_task_whose_gold_answer_may_be_two_options_is_refused_before_it_is_played() -> None:
    labelled = a_task(answer="A", choices=("B) 5", "A) 6"))
    with pytest.raises(ConfigError, match="does not name one of the choices for sure"):
        RewardOptions().make().check(labelled)
    RewardOptions().make().check(labelled.model_copy(update={"answer": "A) 6"}))


async def compared(judge: Math, gold: str, answer: str) -> bool | None:
    return (await judge.judge(Task(id="t", prompt=("?",), answer=gold), answer)).correct


async def test_math() -> None:
    """One worker for all: equal forms and wrong ones."""
    judge = Math(MathOptions(timeout_s=60.0, workers=1))
    assert await compared(judge, r"\frac{1}{2}", "0.5") is True
    assert await compared(judge, "1/2", r"\boxed{\frac{1}{2}}") is True
    assert await compared(judge, r"\sqrt{\frac{3}{4}}", r"\frac{\sqrt{3}}{2}") is True
    assert await compared(judge, "42", "43") is False
    assert await compared(judge, "42", "forty two apples\0\n\r") is None, "it is text"
    assert await compared(judge, "42", '"]}\ntrue\n') is None
    assert await compared(judge, "42", r"\frac{1}{" * 10_000) is None, "too long to be looked at"
    of_options = a_task(answer="B", choices=("3", "1/2"))
    assert (await judge.judge(of_options, r"\frac{2}{4}")).correct is True
    assert (await judge.judge(of_options, "half")).unread
    letters = [(await judge.judge(of_options, answer)).correct for answer in ("B", "(A)", "3")]
    assert letters == [True, False, False]
    worker = judge._free.get_nowait()
    assert worker is not None
    worker.kill()
    await worker.wait()
    judge._free.put_nowait(worker)
    assert await compared(judge, "42", "42") is True, "a worker that died is replaced"
    await judge.close()


async def test_a_worker_that_hangs_is_undecided_and_replaced() -> None:
    judge = Math(MathOptions(timeout_s=60.0, workers=1))
    assert await compared(judge, "42", "42") is True
    worker = judge._free.get_nowait()
    assert worker is not None
    os.kill(worker.pid, signal.SIGSTOP)
    judge._free.put_nowait(worker)
    clock = Clock()
    task = Task(id="t", prompt=("?",), answer="42")
    asking = asyncio.ensure_future(FirstOf([judge, Fixed(False)]).judge(task, "43"))
    await until(judge._free.empty)
    clock.forward(61)
    asked = await asking
    assert (asked.correct, asked.judge) == (False, "fixed"), "the next judge decides"
    assert worker.returncode is not None
    assert await compared(judge, "42", "42") is True
    await judge.close()


def test_in_the_process_itself_the_same_comparison_never_returns() -> None:
    """The defence switched off: what `math` compares in a worker, compared directly."""
    code = (
        "from math_verify import parse, verify\n"
        "print('started', flush=True)\n"
        "right = parse('$9^{9^{9^{9}}}$', parsing_timeout=None)\n"
        "verify(parse('$42$'), right, timeout_seconds=None)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"started\n"
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(timeout=0.5)
    child.kill()
    child.communicate()


def llm(server: ScriptedServer, **options: object) -> LLM:
    fast = {"base_url": server.url, "model": "j", "backoff_s": 0.001, "max_retries": 1}
    return LLM(ClientOptions(**(fast | options)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [(["CORRECT"], True), (["INCORRECT"], False), (["**Correct.**"], True),
     (["<think>CORRECT? no.</think>\nINCORRECT"], False), (["maybe", "CORRECT"], True),
     (["Verdict: INCORRECT"], False), (['```json\n{"verdict": "CORRECT"}\n```'], True),
     (["Both say seven.\n**CORRECT**"], True), (["not correct", "NOT CORRECT"], None),
     (["CORRECT\nINCORRECT", "CORRECT or INCORRECT?"], None), (["CORRECT. Or is it?"] * 2, None),
     (["It is CORRECT", "It is INCORRECT"], None), (["", ""], None)],
)  # fmt: skip
async def test_the_word_of_a_language_model(replies: list[str], expected: bool | None) -> None:
    left = list(replies)
    with ScriptedServer(lambda request: left.pop(0)) as server:
        judge = llm(server)
        verdict = await judge.judge(TASK, "seven")
        await judge.close()
    assert verdict.correct is expected
    assert verdict.judge.startswith("llm:j:")


async def test_a_judge_that_is_down_has_no_opinion_and_is_asked_again() -> None:
    with ScriptedServer(lambda request: ScriptedReply(status=503)) as server:
        reward = Reward({}, FirstOf([Exact(), llm(server), Fixed(True)]))
        done = await reward.apply(TASK, trajectory("seven"))
        await reward.close()
    assert (done.score, done.verdict, done.reward_failed) == (None, None, True)
    assert "503" in (done.error or "")


async def test_a_list_of_judges_asks_the_next_one_where_the_text_differs() -> None:
    with ScriptedServer(lambda request: "CORRECT") as server:
        asked = {"kind": "llm", "base_url": server.url, "model": "j"}
        reward = RewardOptions.model_validate({"judge": ["exact", asked]}).make()
        verdicts = [(await reward.apply(TASK, trajectory(a))).verdict for a in ("7", "seven")]
        await reward.close()
    assert [(v.correct, v.judge.split(":")[0]) for v in verdicts if v] == [
        (True, "exact"), (True, "llm"),
    ]  # fmt: skip
    assert len(server.requests) == 1
    last = RewardOptions().make()
    done = await last.apply(TASK, trajectory("seven"))
    assert done.verdict == Verdict(correct=False, judge="exact")


async def test_a_choice_that_cannot_be_read_goes_to_the_next_judge() -> None:
    task = a_task(answer="B", choices=("cat", "dog"))
    with ScriptedServer(lambda request: "CORRECT") as server:
        asked = {"kind": "llm", "base_url": server.url, "model": "j"}
        reward = RewardOptions.model_validate({"judge": ["exact", asked]}).make()
        verdicts = [
            (await reward.apply(task, trajectory(a))).verdict for a in ("B", "A or B", "puppy")
        ]
        await reward.close()
    assert [(v.correct, v.judge.split(":")[0]) for v in verdicts if v] == [
        (True, "choice"), (False, "choice"), (True, "llm"),
    ]  # fmt: skip
    assert "Reference answer:\n> B. dog\n" in server.requests[0].text
    assert "> A. cat\n> B. dog" in server.requests[0].text


def test_an_answer_that_cannot_be_read_is_unscored_but_wrong_in_a_training() -> None:
    task = a_task(answer="B", choices=("cat", "dog"))
    unread = trajectory("puppy")
    options = RewardOptions()
    evaluated = asyncio.run(options.make().apply(task, unread))
    trained = asyncio.run(options.make(training=True).apply(task, unread))
    assert (evaluated.score, evaluated.verdict and evaluated.verdict.correct) == (None, None)
    assert trained.score is not None
    assert trained.score.value == 0.0
    for done in (evaluated, trained):
        assert done.verdict is not None
        assert done.verdict.unread
        assert "cannot be read" in done.verdict.reason
    strict = RewardOptions(unread="wrong").make()
    assert asyncio.run(strict.apply(task, unread)).score == trained.score
    lenient = RewardOptions(unread="unscored").make(training=True)
    assert asyncio.run(lenient.apply(task, unread)).score is None


def test_what_a_judge_does_not_decide_for_another_reason_is_never_wrong() -> None:
    undecided = Reward({}, Fixed(None), unread="wrong")
    assert asyncio.run(undecided.apply(TASK, trajectory())).score is None
    after_choice = Reward({}, Fixed(None), unread="wrong")
    task = a_task(answer="B", choices=("cat", "dog"))
    done = asyncio.run(after_choice.apply(task, trajectory("puppy")))
    assert done.score is None, "the last judge was asked, and did not say that it is unread"


async def test_a_judge_is_only_contacted_when_it_is_asked(tmp_path: Path) -> None:
    nowhere = {"kind": "llm", "base_url": "http://127.0.0.1:9/v1", "model": "j"}
    options = RewardOptions.model_validate({"judge": ["exact", nowhere]})
    reward = options.make()
    done = await reward.apply(TASK, trajectory())
    assert done.score is not None
    await reward.close()


def test_text_in_observations_is_never_an_answer() -> None:
    """Reading structure: an observation that holds an answer tag is worth nothing."""
    done = asyncio.run(played("<answer></answer> <|image_pad|>", task=TASK))
    assert done.answer is None
    assert value(done) == pytest.approx(-0.2)
