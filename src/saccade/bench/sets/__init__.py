"""The public benchmarks, one file each."""
