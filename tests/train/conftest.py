"""Every training starts as in a process of its own."""

import pytest
from accelerate.state import AcceleratorState, GradientState, PartialState


@pytest.fixture(autouse=True)
def fresh_process_state() -> None:
    """accelerate keeps its settings for the life of a process."""
    for state in (AcceleratorState, PartialState, GradientState):
        state._reset_state()
