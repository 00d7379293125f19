"""A base for DeepEyes: a model that can look again, and does not yet know that it should.

Its data (pool, corpus), the stages that train it, the questions that measure it, and the oracle
that writes demonstrations for it. Everything that another base would share lies one folder up.
"""
