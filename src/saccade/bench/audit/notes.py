"""What an audit cannot say, and what to read with care, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from saccade.bench.audit.record import ARMS, NEED_BOXES, ArmResult, Audit

UNANSWERED = 0.05
"""Share of episodes without an answer from which on an arm says more of its prompt than of eyes."""


def notes_on(
    found: Audit, dialects: Mapping[str, str], *, boxes: bool, unstaged: Sequence[str] = ()
) -> tuple[str, ...]:
    """The sentences below the tables.

    Args:
        found: What was measured.
        dialects: Arm -> name of the dialect that it was played in.
        boxes: Whether a true box is known of any question.
        unstaged: Names of the tools beside the zoom.
    """
    others = ", ".join(unstaged)
    staged = f"{others}: not staged; every arm with tools shows what they return as it is"
    return (*_notes(found, dialects, boxes), *([staged] if others else []))


def _notes(found: Audit, dialects: Mapping[str, str], boxes: bool) -> Iterator[str]:
    yield from _of_arms(found)
    if (direct := dialects.get("direct")) is not None:
        own = direct != dialects.get("agent")
        yield (
            "direct: asked for the answer alone, in the prompt of `--arm direct`, without tools"
            if own
            else "direct: the answer is forced after a thought of the model's own, in the prompt "
            "of the agent"
        )
    asked = found.arm("result_only")
    if asked is not None and asked.no_look:
        yield (
            f"result_only: in {asked.no_look} of {asked.episodes} episodes the agent had not "
            "looked, so these were asked as no_tool is"
        )
    yield from _of_evidence(found)
    missing = [arm for arm in ARMS if found.arm(arm) is None]
    if not boxes:
        yield f"{', '.join(NEED_BOXES)}: no question has a true box"
        missing = [arm for arm in missing if arm not in NEED_BOXES]
    if missing:
        yield f"not played: {', '.join(missing)}"


def _of_arms(found: Audit) -> Iterator[str]:
    agent = found.arm("agent")
    usual = 0.0 if agent is None else _unanswered(agent)
    for arm in found.arms:
        share = _unanswered(arm)
        if arm.arm != "agent" and share >= usual + UNANSWERED:
            yield (
                f"{arm.arm}: {arm.no_answer} of {arm.episodes} episodes ended without an answer "
                "(the agent's: "
                f"{0 if agent is None else agent.no_answer} of {agent.episodes if agent else 0}); "
                "this arm is one that the model does not know how to answer in, and a gain "
                "against it says little of what it sees"
            )
        if arm.left_out:
            yield f"{arm.arm}: {arm.left_out} questions without a usable true box were left out"
        if arm.unscored or arm.failed:
            yield (
                f"{arm.arm}: {arm.unscored} episodes without a verdict and {arm.failed} that "
                "failed on our side are in no average"
            )


def _of_evidence(found: Audit) -> Iterator[str]:
    if not found.evidence:
        yield "visual evidence gain: none, the agent has no episode with a look and a gold answer"
        return
    if found.no_look:
        yield f"visual evidence gain: {found.no_look} episodes of the agent had no look"
    if found.looked_again:
        yield (
            f"visual evidence gain: {found.looked_again} episodes of the agent looked more than "
            "once; only the last observation is replaced, and what earlier ones show stays"
        )
    if found.no_gold:
        yield f"visual evidence gain: {found.no_gold} episodes with a look have no gold answer"
    if found.evidence[0].failed:
        yield (
            f"visual evidence gain: {found.evidence[0].failed} continuations failed on our side or "
            "have no verdict, and are in no mean"
        )
    if found.evidence[0].measure == "accuracy":
        yield (
            "visual evidence gain: the policy tells no log-probabilities, so the first episode of "
            "each question was continued from its last look"
        )


def _unanswered(arm: ArmResult) -> float:
    finished = arm.episodes - arm.failed
    return arm.no_answer / finished if finished else 0.0
