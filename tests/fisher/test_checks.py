"""Targets by which an attack would look weak are refused with the way out, and no others."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.spectrum import Eigenpairs, eigenpairs
from saccade.fisher.target import Classifier, Logits, Target, tail_of
from saccade.robust.attacks.single import DeepFool, Fgm
from saccade.robust.detectors.detector import Detector

torch.manual_seed(0)
NET = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4)).eval()
LINE = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).eval()
X = torch.rand(5, 1, 3, 4, generator=torch.Generator().manual_seed(1))
Function = Callable[[torch.Tensor], torch.Tensor]


class Says:
    """A target that says what a function says."""

    def __init__(self, function: Function) -> None:
        self.log_probs = function


class Killed(torch.autograd.Function):
    """The identity, whose backward hides the gradient."""

    @staticmethod
    def forward(context: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(context: object, back: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(back)


class Answer(nn.Module):
    """Ends in what no layer tells."""

    def __init__(self, end: Function) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(NET(x))


def noisy(x: torch.Tensor) -> torch.Tensor:
    """Logits with noise that no mode switches off."""
    return NET(x) + 0.1 * torch.randn(len(x), 4)


def of_batch(x: torch.Tensor) -> torch.Tensor:
    """Logits by the statistics of the batch."""
    return NET((x - x.mean(0)) / (x.std(0, correction=0) + 0.1))


SAYS_NOTHING: dict[str, tuple[object, str]] = {
    "a module": (NET, r"with log_probs, got a Sequential; .*Classifier"),
    "a function": (lambda x: NET(x), r"with log_probs, got a function; .*Logits"),
    "nothing": (None, "with log_probs, got a NoneType"),
}


REFUSED: dict[str, tuple[Target, str]] = {
    "probabilities": (Says(lambda x: NET(x).softmax(-1)), r"got probabilities.*log_softmax"),
    "logits": (Says(NET), r"not normalised, as logits are.*log_softmax.*Classifier"),
    "a few probabilities": (Says(lambda x: NET(x)[:, :2].softmax(-1)), r"got probabilities"),
    "softmax in a module": (
        Classifier(Answer(lambda z: z.softmax(-1)).eval()), r"got probabilities.*leave out the",
    ),
    "softmax in half": (
        Logits(lambda x: NET(x).softmax(-1).bfloat16()), r"got probabilities.*leave out the",
    ),
    "saturated softmax": (Logits(lambda x: (500 * NET(x)).softmax(-1)), r"got probabilities"),
    "percent": (Logits(lambda x: 100 * NET(x).softmax(-1)), r"in percent.*leave out the softmax"),
    "negative": (Logits(lambda x: -NET(x).log_softmax(-1)), r"got negative log-probabilities"),
    "sigmoid": (Logits(lambda x: LINE(x).sigmoid()), r"as behind a sigmoid.*leave out the sigmoid"),
    "log of softmax": (Says(lambda x: (900 * NET(x)).softmax(-1).log()), r"not all finite.*log_so"),
    "detached": (Logits(lambda x: NET(x.detach())), r"no gradient in its inputs.*detach"),
    "without grad": (Logits(torch.no_grad()(NET)), r"no gradient in its inputs.*no_grad"),
    "inference": (Logits(torch.inference_mode()(NET)), r"no gradient in its inputs"),
    "hidden gradient": (Logits(lambda x: NET(Killed.apply(x))), r"zero at all of 5.*its own"),
    "rounded inputs": (Logits(lambda x: NET((7 * x).round() / 7)), r"zero at all of 5.*rounding"),
    "draws at random": (Logits(noisy), r"two passes .* gave different.*\.eval\(\)"),
    "statistics of a batch": (Logits(of_batch), r"two passes .* gave different"),
    "a tuple": (Logits(lambda x: (NET(x),)), r"got a tuple; wrap"),  # type: ignore[arg-type,return-value]
    "one logit": (Logits(lambda x: NET(x)[:, :1]), r"C at least 2, got \(2, 1\); one logit z"),
    "no axis of classes": (Logits(lambda x: NET(x)[:, 0]), r"C at least 2, got \(2,\)"),
    "classes": (Logits(lambda x: (9 * NET(x)).long()), r"expected logits \(2, C\).*int64"),
    "too many rows": (Logits(lambda x: NET(x).repeat(2, 1)), r"expected logits \(2, C\), got \(4"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_target_that_hides_something_is_refused_with_the_mend(name: str) -> None:
    target, match = REFUSED[name]
    with pytest.raises(ConfigError, match=match):
        eigenpairs(target, X)
    with pytest.raises(ConfigError, match=match):
        Fgm()(target, X, epsilons=[0.1])


@pytest.mark.parametrize(("target", "match"), SAYS_NOTHING.values(), ids=SAYS_NOTHING)
def test_what_is_no_target_is_refused_with_what_makes_one(target: Target, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        eigenpairs(target, X)
    with pytest.raises(ConfigError, match=match):
        Fgm()(target, X, epsilons=[0.1])
    with pytest.raises(ConfigError, match=match):
        Detector.fit(target, X.repeat(20, 1, 1, 1), X)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"k": 1.5}, "k: at least 1"), ({"k": "1"}, "k: at least 1"), ({"k": True}, "k: at least 1"),
     ({"method": "lanczos", "max_steps": 0}, "max_steps: at least 1, a whole number, got 0")],
)  # fmt: skip
def test_what_is_no_number_is_refused(options: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        eigenpairs(Classifier(NET), X, **options)


@pytest.mark.parametrize("seed", [-1, 2**32, None, "a"])
def test_a_seed_of_a_detector_is_one(seed: int) -> None:
    with pytest.raises(ConfigError, match="seed: expected a whole number from 0"):
        Detector.fit(Classifier(NET), X.repeat(20, 1, 1, 1), X, seed=seed)


@pytest.mark.parametrize("method", ["gram", "lanczos"])
@pytest.mark.parametrize("name", ["hidden gradient", "rounded inputs", "detached"])
def test_every_method_sees_a_hidden_gradient(name: str, method: str) -> None:
    target, match = REFUSED[name]
    with pytest.raises(ConfigError, match=match):
        eigenpairs(target, X, 1, method)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=match):
        DeepFool()(target, X, epsilons=[0.1])


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (nn.Sequential(NET, nn.Softmax(-1)), r"ends in Softmax.*module\[:-1\]"),
        (nn.Sequential(*NET, nn.Sequential(nn.Sigmoid())), "ends in Sigmoid"),
        (lambda x: x, r"expected a torch.nn.Module, got a function.*Logits"),
    ],
)
def test_a_module_whose_last_layer_makes_probabilities_is_refused_at_once(
    module: nn.Module, match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        Classifier(module.eval() if isinstance(module, nn.Module) else module)


def test_a_module_that_went_back_into_training_is_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).eval()
    target = Classifier(module)
    module.train()
    with pytest.raises(ConfigError, match=r"training mode; call \.eval"):
        eigenpairs(target, X)


def by_chance(x: torch.Tensor) -> torch.Tensor:
    """Logits that are at least 0 and sum to 1 where the first two pixels are equal."""
    flat = x.flatten(1)
    return torch.stack([flat[:, 0], 1 - flat[:, 1]], 1)


EQUAL = X.clone()
EQUAL[:, 0, 0, 1] = EQUAL[:, 0, 0, 0]
TAKEN: dict[str, tuple[Target, torch.Tensor]] = {
    "log-probabilities": (Says(lambda x: NET(x).log_softmax(-1)), X),
    "log_softmax at the end": (Classifier(nn.Sequential(*NET, nn.LogSoftmax(-1)).eval()), X),
    "saturated": (Says(lambda x: (500 * NET(x)).log_softmax(-1)), X),
    "log-probabilities in half": (Says(lambda x: NET(x).bfloat16().log_softmax(-1)), X),
    "two classes": (Logits(lambda x: NET(x)[:, :2]), X),
    "sum to one by chance": (Logits(by_chance), EQUAL),
    "one image": (Logits(by_chance), EQUAL[:1]),
    "sum to one until trained": (Logits(lambda x: 0.25 + 1e-3 * LINE(x)), X),
    "between 0 and 1 until trained": (Logits(lambda x: 0.5 + 1e-3 * LINE(x)), X),
    "of no mean": (Logits(lambda x: NET(x) + 1000), X),
    "small": (Logits(lambda x: 1e-6 * NET(x)), X),
}


@pytest.mark.parametrize("name", TAKEN)
def test_no_other_target_is_suspected(name: str) -> None:
    target, x = TAKEN[name]
    assert eigenpairs(target, x).log_values.isfinite().all()
    assert not Fgm()(target, x, epsilons=[0.1]).unmoved.any()


def test_a_net_that_ends_in_log_softmax_is_as_exact_as_one_that_does_not() -> None:
    def pairs(end: nn.Module) -> Eigenpairs:
        return eigenpairs(Classifier(nn.Sequential(Answer(lambda z: 60 * z), end).eval()), X, 3)

    plain, ended = pairs(nn.Identity()), pairs(nn.LogSoftmax(-1))
    torch.testing.assert_close(ended.log_values, plain.log_values, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_vocabulary_in_half_precision_is_normalised_enough(kind: torch.dtype) -> None:
    rows = torch.randn(4, 150_000, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    assert tail_of(rows.to(kind)).log_q.isfinite().all()


def test_a_flat_target_is_a_warning_and_no_error() -> None:
    flat = Logits(lambda x: NET(x).detach() * 0 + (0 * x).flatten(1)[:, :4])
    with pytest.warns(UserWarning, match="gradient is zero at all of 5 inputs"):
        found = Fgm()(flat, X, epsilons=[0.1])
    assert found.unmoved.all()


def test_where_only_the_loss_is_stationary_the_spectrum_is_that_of_the_jacobian() -> None:
    """At 0 the two other classes pull in opposite directions: no gradient, but a metric."""
    target = Logits(lambda x: torch.cat([0 * x[:, :1], x[:, :1], -x[:, :1]], 1) + 0 * x.sum())
    value = eigenpairs(target, torch.zeros(1, 2), 1, "gram").log_values[0, 0]
    torch.testing.assert_close(value.exp(), torch.tensor(2 / 3, dtype=torch.float64))
    with pytest.warns(UserWarning, match="gradient is zero"):
        Fgm()(target, torch.zeros(1, 2), epsilons=[0.1], bounds=(-1, 1))


def test_an_unknown_choice_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"method: expected one of .*; did you mean 'lanczos'"):
        eigenpairs(Classifier(NET), X, 1, "Lanzcos")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"backend: .*did you mean 'jvp'"):
        eigenpairs(Classifier(NET), X, backend="jpv")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", ["gram", "lanczos"])
def test_the_spectrum_is_the_same_where_the_caller_has_gradients_off(
    mode: Callable[[], torch.no_grad], method: str
) -> None:
    wanted = eigenpairs(Classifier(NET), X, 2, method)  # type: ignore[arg-type]
    with mode():
        found = eigenpairs(Classifier(NET), X * 1, 2, method)  # type: ignore[arg-type]
    torch.testing.assert_close(found.log_values, wanted.log_values)
    torch.testing.assert_close(found.vectors, wanted.vectors)
