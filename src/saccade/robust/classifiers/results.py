"""What `saccade attack` and `saccade detect` measured, as it stands in the run folder."""

from __future__ import annotations

from pydantic import JsonValue

from saccade.types import Record

Span = tuple[float, float]
"""A 95 % interval."""


class NeverFlips(Record):
    """Images that no size up to `limit` flips: the saturation of an attack along a line."""

    n: int
    along_the_eigenvector: int
    """Either way along it."""
    with_its_sign: int
    along_the_gradient: int
    limit: float


class Vulnerability(Record):
    """The largest eigenvalue as a score, against the least L2 that flips an image.

    Correlations and what comes of them are None where all images have one value: where none flips.
    """

    spearman_log_lambda1: float | None
    spearman_log_q: float | None
    """Rank correlation of the confidence, which must be beaten."""
    gain: float | None
    """|first| - |second|."""
    gain_interval: Span | None
    """None also where a resampling of the images has no correlation."""
    never_flips: NeverFlips
    log_lambda1: tuple[float | None, ...]
    """None where an image has no gradient at all."""
    log_q: tuple[float, ...]
    least_l2: tuple[float | None, ...]
    """None where it never flips."""


class AttackedImages(Record):
    """Some images of a net under attack; of such records a net is put together."""

    n: int
    fooled: dict[str, tuple[int, ...]]
    sizes: dict[str, tuple[float, ...]]
    """Sum of the sizes of changes over images."""


class Scores(Record):
    """The largest eigenvalue of images and what flips them."""

    log_lambda1: tuple[float, ...]
    log_q: tuple[float, ...]
    least_l2: tuple[float | None, ...]
    """None where no size up to the limit flips an image."""
    never_with_its_sign: int
    never_along_the_gradient: int


class Seen(Record):
    """Of what something was measured: what goes on with it is to be of the same net and images."""

    images: str
    """Digest of the images and their classes."""
    logits: tuple[float, ...]
    """Of the net, of the first images and classes."""


class Block(Record):
    """256 images, or the rest; what is kept of a net while the run is under way."""

    seen: Seen
    attacked: AttackedImages
    scores: Scores


class KeptAttack(Record):
    """What is kept of a net: a run that asks for more images goes on behind the last full block."""

    net: int
    accuracy: float
    blocks: tuple[Block, ...] = ()
    whole: AttackedImages | None = None
    """Attacks that take all images at once."""

    @property
    def n(self) -> int:
        """Number of images."""
        return sum(block.attacked.n for block in self.blocks)


class NetAttack(Record):
    """One net under attack. Keys of the tables are `METHOD xSCALE`; entries follow epsilon."""

    net: int
    accuracy: float
    n: int
    fooled: dict[str, tuple[int, ...]]
    mean_size: dict[str, tuple[float, ...]]
    vulnerability: Vulnerability


class Rate(Record):
    """A fooling rate over all nets."""

    epsilon: float
    rate: float
    n: int
    interval: Span
    """95 % CI by Wilson, over all images of all nets."""
    nets: tuple[float, ...]


class AttackResult(Record):
    """A run of `saccade attack`."""

    config: dict[str, JsonValue]
    command: str = ""
    """The command line."""
    nets: tuple[NetAttack, ...]
    rates: dict[str, tuple[Rate, ...]]


Auc = dict[str, dict[str, float | None]]
"""Signal -> attack -> area under the ROC; None where too few attacks succeeded."""


class NetDetection(Record):
    """Detection on one net."""

    net: int
    accuracy: float
    n: int
    success: dict[str, float]
    """Attack -> its success rate; only images that fool the net are adversarial."""
    auc: Auc
    settings: dict[str, dict[str, dict[str, float]]]
    """Signal -> attack -> what was chosen on the development part."""
    crossed: dict[str, Auc]
    """Signal -> attack that it was fitted to -> attack that it was tried on."""
    curves: dict[str, tuple[Span, ...] | None]
    """Signal -> ROC for OSSA: false and true positive rate."""


class KeptDetection(Record):
    """What is kept of a net while the run is under way."""

    seen: Seen
    found: NetDetection


class SignalAuc(Record):
    """A signal against an attack, over nets."""

    nets: tuple[float | None, ...]
    mean: float | None
    interval: Span | None
    """95 % CI by Student's t over nets; None for one net."""
    fisher_minus: float | None
    """Mean over nets of the AUC of `fisher` minus this one."""
    fisher_minus_interval: Span | None


class DetectResult(Record):
    """A run of `saccade detect`."""

    config: dict[str, JsonValue]
    command: str = ""
    """The command line."""
    nets: tuple[NetDetection, ...]
    auc: dict[str, dict[str, SignalAuc]]
