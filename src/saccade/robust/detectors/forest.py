"""A random forest as plain arrays: it is fitted by scikit-learn, and travels without pickle.

scikit-learn follows the node indices of a forest without looking, so a forest from a file that
is not trusted can crash the process. Here they are checked when it is read.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from saccade.errors import FormatError
from saccade.robust.arrays import read_arrays, write_arrays

TREES = 300
CALIBRATION = 0.25
"""Share of the clean inputs of a detector that is kept for its threshold."""
MOST_BYTES = 256 << 20
"""Of a file, unpacked."""
_Kind = TypeVar("_Kind", bound=np.generic)


def clean_needed(false_positive_rate: float) -> int:
    """Clean inputs that a threshold needs: one false alarm among those kept for it."""
    return math.ceil(math.ceil(1 / false_positive_rate) / CALIBRATION)


class Forest(NamedTuple):
    """All trees, node after node; a child lies behind its parent, a leaf is its own child."""

    roots: NDArray[np.int64]
    """(T,), first node of each tree."""
    left: NDArray[np.int64]
    """(M,), taken where the feature is at most `split`."""
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    split: NDArray[np.float64]
    share: NDArray[np.float64]
    """(M,), of the samples in the node, by weight, that are positive."""

    @classmethod
    def fit(
        cls,
        rows: NDArray[np.float64],
        truth: NDArray[np.bool_],
        *,
        min_leaf: int,
        seed: int,
        trees: int = TREES,
    ) -> Forest:
        """Fit trees to rows (N, F), both kinds of equal weight."""
        from sklearn.ensemble import RandomForestClassifier

        fitted = RandomForestClassifier(
            trees, min_samples_leaf=min_leaf, class_weight="balanced", random_state=seed, n_jobs=1
        ).fit(rows, truth)
        grown = [tree.tree_ for tree in fitted.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in grown)])[:-1]
        own = [start + np.arange(tree.node_count) for start, tree in zip(roots, grown, strict=True)]
        children = [
            [
                np.where(side < 0, node, start + side)
                for side in (tree.children_left, tree.children_right)
            ]
            for start, tree, node in zip(roots, grown, own, strict=True)
        ]
        counts = np.concatenate([tree.value[:, 0] for tree in grown])
        positive = int(np.flatnonzero(fitted.classes_)[0])
        return cls(
            roots,
            np.concatenate([left for left, _ in children]),
            np.concatenate([right for _, right in children]),
            np.concatenate([tree.feature for tree in grown]).clip(0).astype(np.int64),
            np.concatenate([tree.threshold for tree in grown]),
            counts[:, positive] / counts.sum(1),
        )

    def score(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,): mean over the trees of the positive share in the leaf that a row (N, F) reaches."""
        values = rows.astype(np.float32)  # as scikit-learn compares
        node = np.tile(self.roots, (len(rows), 1))
        which = np.arange(len(rows))[:, None]
        while True:
            smaller = values[which, self.feature[node]] <= self.split[node]
            ahead = np.where(smaller, self.left[node], self.right[node])
            if (ahead == node).all():
                return np.asarray(self.share[node].mean(1))
            node = ahead

    def save(self, path: Path, **numbers: float) -> None:
        """Write it, with some numbers, as arrays of numpy (`.npz`)."""
        write_arrays(
            path, {**self._asdict(), **{k: np.asarray(v, np.float64) for k, v in numbers.items()}}
        )

    @classmethod
    def load(cls, path: Path, *names: str) -> tuple[Forest, dict[str, float]]:
        """Read a forest and the numbers of these names.

        Raises:
            FormatError: not what `save` wrote, too large, or nodes that lead nowhere.
        """
        held = read_arrays(path, "saved forest", most=MOST_BYTES)
        for name in (*cls._fields, *names):
            if name not in held:
                raise FormatError(f"{path}: no saved forest (no {name})")
        for name in names:
            if held[name].shape != () or held[name].dtype != np.float64:
                raise FormatError(f"{path}: {name} is no number")
        numbers = {name: float(held[name]) for name in names}

        def row(name: str, kind: type[_Kind]) -> NDArray[_Kind]:
            array = held[name]
            if array.dtype != kind or array.ndim != 1 or not len(array):
                raise FormatError(f"{path}: {name} is no row of {kind.__name__}")
            return array.astype(kind, copy=False)

        forest = cls(
            row("roots", np.int64), row("left", np.int64), row("right", np.int64),
            row("feature", np.int64), row("split", np.float64), row("share", np.float64),
        )  # fmt: skip
        if problem := forest._problem():
            raise FormatError(f"{path}: {problem}")
        return forest, numbers

    def _problem(self) -> str | None:
        nodes = len(self.left)
        if any(len(part) != nodes for part in self[2:]):
            return "the arrays are of unequal length"
        if self.roots.min() < 0 or self.roots.max() >= nodes:
            return "a root is no node"
        own = np.arange(nodes)
        leaf = self.left == own
        for side in (self.left, self.right):
            if side.max() >= nodes or ((side <= own) != leaf).any():
                return "a child does not lie behind its parent"
        if self.feature.min() < 0:
            return "a feature is below 0"
        if not np.isfinite(self.split).all() or self.share.min() < 0 or self.share.max() > 1:
            return "a split or a share is out of range"
        return None
