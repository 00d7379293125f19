"""A base for DeepEyesV2: a model that can look, search and write code, and hardly ever does.

Its words, its data (pool, corpus), the stages that train it, the questions that measure it, and the
teacher that writes demonstrations for its cold start.
"""
