"""How a model stands up to changed inputs: attacks, detectors, and what they measure."""
