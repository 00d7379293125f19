"""The Fisher metric of a prediction in its input: where it is most sensitive, and how much."""
