"""What writes the next turn: a script, a chat server, a local model, a rule that reads."""

BUILT_IN = {
    "replay": "saccade.policies.replay:ReplayPolicy",
    "openai": "saccade.policies.openai:OpenAIPolicy",
    "hf": "saccade.policies.hf:HFPolicy",
    "reader": "saccade.policies.reader:ReaderPolicy",
}
"""Names for run files; your own policy goes there as "package.module:Class"."""
