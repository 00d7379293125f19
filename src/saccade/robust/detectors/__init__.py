"""Detector signals: each is a frozen record with its options, fitted to a target.

    features = KernelDensity(bandwidth=0.26).fit(Classifier(net), reference)
    features(images)                         # (N, 1)

The paper's are the log-eigenvalues of the Fisher matrix (`fisher`). Beside them stands what they
must beat. A run file names them by the table below or as `package.module:Name`. To add one,
subclass `base.Signal` and add its name here. Only `make_signal` loads torch: names
in a run file are read and checked without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saccade.config import Part, build
from saccade.errors import ConfigError

if TYPE_CHECKING:
    from saccade.robust.detectors.base import Signal

SIGNALS = {
    "fisher": "saccade.robust.detectors.spectral:Fisher",
    "log_lambda1": "saccade.robust.detectors.spectral:LogLambda1",
    "log_q": "saccade.robust.detectors.spectral:LogQ",
    "log_probs": "saccade.robust.detectors.spectral:LogProbs",
    "fisher_and_log_probs": "saccade.robust.detectors.spectral:FisherAndLogProbs",
    "kd": "saccade.robust.detectors.baselines:KernelDensity",
    "lid": "saccade.robust.detectors.baselines:Dimensionality",
    "mahalanobis": "saccade.robust.detectors.baselines:Mahalanobis",
    "squeezing": "saccade.robust.detectors.baselines:Squeezing",
}


def make_signal(part: Part | str, where: str = "signal") -> Signal:
    """The signal behind a name, with its options.

    Raises:
        ConfigError: there is no such signal, or an option is wrong.
    """
    from saccade.robust.detectors.base import Signal

    made = build(part, SIGNALS, where)
    if not isinstance(made, Signal):
        name = type(made).__name__
        raise ConfigError(f"{where}: {name} is no saccade.robust.detectors.base.Signal")
    return made
