"""Benchmarks of our own: scenes that are drawn, and a few photographs."""
