"""What a model behind a policy can see and do, asked of the model itself.

A server says nothing of the images that it drops, shrinks or cannot show its model, and a blind
model answers all the same: from what is usual. So it is asked: what is drawn large here, where is
it, how small may it be? `examine.examine_policy` asks everything (`saccade check policy`),
`warning.blindness` only whether the model sees at all (before `saccade rollout`, and in training).
"""
