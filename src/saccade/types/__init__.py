"""The records that travel between rooms, and the two protocols: `Tool` and `Policy`.

Records are frozen and refuse unknown fields. A `Trajectory` is the whole state of an episode:
policies read it, the environment extends it, renderers, rewards and pages are functions of it.
"""

from saccade.types.environment import (
    EnvironmentRecord,
    Limits,
    ToolSpec,
)
from saccade.types.protocols import (
    Force,
    ModelInfo,
    Policy,
    Sampling,
    SideBySide,
    Tool,
    ToolContext,
    ToolFunction,
    ToolOutput,
)
from saccade.types.task import (
    OPTION_LETTERS,
    Part,
    Record,
    TargetBox,
    Task,
    option_letter,
)
from saccade.types.trajectory import (
    Action,
    Completion,
    Message,
    Outcome,
    Problem,
    ProblemKind,
    Score,
    StopReason,
    ToolCall,
    ToolResult,
    Trajectory,
    Turn,
    Verdict,
    WireCall,
    distinct_ids,
)

__all__ = [
    "OPTION_LETTERS",
    "Action",
    "Completion",
    "EnvironmentRecord",
    "Force",
    "Limits",
    "Message",
    "ModelInfo",
    "Outcome",
    "Part",
    "Policy",
    "Problem",
    "ProblemKind",
    "Record",
    "Sampling",
    "Score",
    "SideBySide",
    "StopReason",
    "TargetBox",
    "Task",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolFunction",
    "ToolOutput",
    "ToolResult",
    "ToolSpec",
    "Trajectory",
    "Turn",
    "Verdict",
    "WireCall",
    "distinct_ids",
    "option_letter",
]
