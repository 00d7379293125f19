"""Which tokens of an episode get which part of its advantage.

Plain GRPO gives every sampled token the advantage of its episode (`outcome`). `counterfactual` and
`probe` find out what the calls of an episode were good for, and credit them with that.
"""
