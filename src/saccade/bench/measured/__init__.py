"""What is measured of a benchmark's run beside its accuracy; `saccade.bench.results` is all."""
