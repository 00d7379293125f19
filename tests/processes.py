"""Processes that start with torch loaded: forked from one that has done nothing else."""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "pytest"])
