"""What writes the next turn: a script, a chat server, a local model."""

BUILT_IN = {
    "replay": "saccade.policies.replay:ReplayPolicy",
    "openai": "saccade.policies.openai:OpenAIPolicy",
    "hf": "saccade.policies.hf:HFPolicy",
}
"""Names for run files; your own policy goes there as "package.module:Class"."""
