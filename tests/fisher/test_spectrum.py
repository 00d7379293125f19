"""The spectrum against the matrix itself: in float64, or with 60 digits where that is too few."""

import mpmath
import pytest
import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.products import Product
from saccade.fisher.spectrum import eigenpairs
from saccade.fisher.target import Classifier, tail_of


def net(classes: int, inputs: int = 12, *, scale: float = 1.0, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made = nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, 24), nn.Tanh(), nn.Linear(24, classes)
    ).double()
    with torch.no_grad():
        made[3].weight *= scale
        made[3].bias *= scale
    return made.eval()


def batch(n: int = 5, inputs: int = 12, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 3, inputs // 3, generator=generator, dtype=torch.float64)


def dense(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(D, D): the definition, one image: sum_k p_k g_k g_k^T."""

    def log_p(v: torch.Tensor) -> torch.Tensor:
        return module(v[None])[0].log_softmax(0)

    gradients = torch.autograd.functional.jacobian(log_p, x).flatten(1)
    p = log_p(x).exp()
    return (gradients.T * p) @ gradients


@pytest.mark.parametrize("method", ["gram", "lanczos"])
@pytest.mark.parametrize("classes", [2, 3, 10, 40])
def test_the_pairs_are_those_of_the_matrix(method: str, classes: int) -> None:
    module, x = net(classes), batch()
    k = min(3, classes - 1)
    found = eigenpairs(Classifier(module), x, k, method, tolerance=1e-9)
    assert found.log_values.shape == (5, k)
    assert found.vectors.shape == (5, k, 1, 3, 4)
    for n, image in enumerate(x):
        values, vectors = torch.linalg.eigh(dense(module, image))
        values, vectors = values.flip(0)[:k], vectors.flip(1)[:, :k]
        torch.testing.assert_close(found.log_values[n].exp(), values, rtol=1e-7, atol=1e-12)
        alike = (found.vectors[n].flatten(1) * vectors.T).sum(1).abs()
        torch.testing.assert_close(alike, torch.ones(k, dtype=torch.float64), rtol=0, atol=1e-6)
        if classes > 2:
            gap = 1 - torch.linalg.eigvalsh(dense(module, image)).flip(0)[1] / values[0]
            torch.testing.assert_close(found.gap[n], gap, rtol=1e-4, atol=1e-6)
        assert found.top[n] == module(image[None]).argmax()
    assert found.residuals.max() < 1e-6


def test_two_classes_are_the_gradient() -> None:
    module, x = net(2), batch()
    found = eigenpairs(Classifier(module), x, 2)
    direction = nn.functional.normalize(found.gradients.flatten(1), dim=1)
    alike = (found.vectors[:, 0].flatten(1) * direction).sum(1).abs()
    torch.testing.assert_close(alike, torch.ones(5, dtype=torch.float64))
    assert torch.isinf(found.log_values[:, 1]).all()
    assert not found.vectors[:, 1].any()


@pytest.mark.parametrize("method", ["gram", "lanczos"])
def test_the_rank_is_less_than_the_number_of_classes(method: str) -> None:
    found = eigenpairs(Classifier(net(4)), batch(), 6, method)
    assert torch.isfinite(found.log_values[:, :3]).all()
    assert torch.isinf(found.log_values[:, 3:]).all()


def exact(module: nn.Module, x: torch.Tensor, digits: int = 60) -> tuple[float, list[float]]:
    """log10 of 1 - p_max and the log-eigenvalues, with that many digits, from float64 logits."""
    mpmath.mp.dps = digits
    jacobian = torch.autograd.functional.jacobian(lambda v: module(v[None])[0], x).flatten(1)
    z = [mpmath.mpf(float(v)) for v in module(x[None])[0].detach()]
    total = mpmath.fsum(mpmath.exp(v) for v in z)
    p = [mpmath.exp(v) / total for v in z]
    rows = [[mpmath.mpf(float(v)) for v in row] for row in jacobian]
    size = len(rows[0])
    mean = [mpmath.fsum(p[k] * rows[k][d] for k in range(len(p))) for d in range(size)]
    centred = [[row[d] - mean[d] for d in range(size)] for row in rows]
    matrix = mpmath.matrix(size)
    for i in range(size):
        for j in range(size):
            matrix[i, j] = mpmath.fsum(p[k] * c[i] * c[j] for k, c in enumerate(centred))
    values = sorted((v for v in mpmath.eigsy(matrix, eigvals_only=True)), reverse=True)
    rest = mpmath.fsum(sorted(p)[:-1])
    return float(mpmath.log10(rest)), [float(mpmath.log(v)) for v in values if v > 0]


@pytest.mark.parametrize("method", ["gram", "lanczos"])
@pytest.mark.parametrize("scale", [1.0, 10.0, 150.0])
def test_eigenvalues_are_right_however_confident_the_net_is(method: str, scale: float) -> None:
    """A float32 net; 1 - p_max down to 1e-25, where float32 and float64 softmax say exactly 1."""
    double = net(6, inputs=6, scale=scale, seed=3)
    single = net(6, inputs=6, scale=scale, seed=3).float()
    single.load_state_dict({name: v.float() for name, v in double.state_dict().items()})
    double.load_state_dict({name: v.double() for name, v in single.state_dict().items()})
    x = batch(4, inputs=6).float()
    found = eigenpairs(Classifier(single), x, 4, method, tolerance=1e-6)
    smallest = 0.0
    for n, image in enumerate(x):
        rest, logs = exact(double, image.double())
        smallest = min(smallest, rest)
        for i in range(4 if method == "gram" else 1):
            if logs[i] - logs[0] > -25.3:  # 1e-11 of the largest
                assert abs(float(found.log_values[n, i]) - logs[i]) < 1e-4
    if scale == 150.0:
        assert smallest < -12


def test_the_gradient_of_a_saturated_net_does_not_vanish() -> None:
    module = net(6, scale=400.0).float()
    x = batch().float().requires_grad_()
    target = torch.nn.functional.cross_entropy(module(x), module(x).argmax(1), reduction="sum")
    (usual,) = torch.autograd.grad(target, x)
    ours = eigenpairs(Classifier(module), x.detach()).gradients
    gone = usual.flatten(1).norm(dim=1) == 0
    assert gone.any(), "the loss gradient of float32 is exactly 0 somewhere"
    assert (ours.flatten(1).norm(dim=1) > 1).all()


@pytest.mark.parametrize("backend", ["jvp", "linearize", "double_vjp", "difference", "kl"])
def test_products_agree_with_the_matrix(backend: str) -> None:
    module, x = net(10), batch()
    product = Product(Classifier(module), x, backend)  # type: ignore[arg-type]
    v = nn.functional.normalize(torch.randn(5, 12, dtype=torch.float64), dim=1)
    got = product(v) * product.tail.q
    wanted = torch.stack([dense(module, image) @ one for image, one in zip(x, v, strict=True)])
    bound = {"difference": 1e-4, "kl": 1e-2}.get(backend, 1e-10)
    assert (got - wanted).norm() / wanted.norm() < bound


class Forwardless(torch.autograd.Function):
    """An operator that can only be differentiated once, and backwards: as fused attention."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)  # type: ignore[attr-defined]
        return x.tanh()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: object, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return g * (1 - x.tanh() ** 2)


def test_an_operator_without_forward_mode_falls_back() -> None:
    inner = net(20)

    class Awkward(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return inner[3](Forwardless.apply(inner[1](inner[0](x))))

    plain = eigenpairs(Classifier(inner), batch(), 1, "lanczos")
    try:
        fallen = eigenpairs(Classifier(Awkward().eval()), batch(), 1, "lanczos")
    except RuntimeError as error:
        pytest.fail(f"no way was left: {error}")
    torch.testing.assert_close(fallen.log_values, plain.log_values, rtol=1e-3, atol=1e-3)


class Detached(torch.autograd.Function):
    """An operator whose own backward takes no part in a second one, and raises nothing."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)  # type: ignore[attr-defined]
        return x.tanh()

    @staticmethod
    def backward(ctx: object, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return g.detach() * (1 - x.tanh() ** 2)


@pytest.mark.parametrize("checked", [True, False])
def test_a_second_derivative_that_is_silently_wrong_is_noticed(
    checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without the check it is not."""
    inner = net(20)

    class Forked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            middle = inner[1](inner[0](x))
            return inner[3](0.2 * middle + Detached.apply(middle))

    class Plain(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            middle = inner[1](inner[0](x))
            return inner[3](0.2 * middle + middle.tanh())

    if not checked:
        monkeypatch.setattr(Product, "_is_transposed", lambda *_: True)
    wanted = eigenpairs(Classifier(Plain().eval()), batch(), 1, "gram").log_values
    found = eigenpairs(Classifier(Forked().eval()), batch(), 1, "lanczos").log_values
    assert bool(((found - wanted).abs() < 1e-3).all()) == checked


def test_passes_are_counted_by_what_reaches_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = net(30), []
    module.register_forward_hook(lambda *_: calls.append(1))
    found = eigenpairs(Classifier(module), batch(), 1, "lanczos", backend="jvp", tolerance=1e-3)
    steps = found.passes.jvp
    assert found.passes.vjp == steps + 1  # and the start gradient
    assert 1 + steps <= found.passes.forward <= 1 + steps + 3  # 5 images, 2, 1: anew each time
    assert len(calls) == found.passes.forward + 1  # one asked how many classes there are
    alone = eigenpairs(Classifier(module), batch()[:1], 1, "lanczos", backend="jvp")
    assert alone.passes.forward == 1 + alone.passes.jvp
    calls.clear()
    derivatives, grad = [], torch.autograd.grad

    def counted(*arguments: object, **options: object) -> object:
        derivatives.append(1)
        return grad(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.autograd, "grad", counted)
    usual = eigenpairs(Classifier(module), batch()[:1], 1, "lanczos").passes
    assert len(calls) == 2  # the one that is kept, and the one that asked
    assert (usual.forward, usual.vjp) == (1, 1 + usual.jvp)
    assert len(derivatives) == usual.jvp + usual.vjp
    monkeypatch.undo()
    assert steps <= 12
    gram = eigenpairs(Classifier(module), batch(), 1, "gram")
    assert (gram.passes.forward, gram.passes.vjp, gram.passes.jvp) == (1, 29, 0)


def test_leaving_classes_out_costs_passes_and_little_accuracy() -> None:
    target, x = Classifier(net(50, scale=3.0)), batch()
    whole = eigenpairs(target, x, 1, "gram")
    part = eigenpairs(target, x, coverage=0.99)
    assert part.passes.vjp < whole.passes.vjp
    assert (part.log_values - whole.log_values).abs().max() < 0.05


def test_an_image_is_done_when_it_is_certain_whatever_the_others_need() -> None:
    """Ten images in one batch and each of them alone: the same pairs, to the same residual."""
    module, x = net(40), batch(10)
    alone = [eigenpairs(Classifier(module), one[None], 1, "lanczos", tolerance=1e-3) for one in x]
    found = eigenpairs(Classifier(module), x, 1, "lanczos", tolerance=1e-3)
    steps = [pair.passes.jvp for pair in alone]
    assert min(steps) < max(steps) == found.passes.jvp
    for n, pair in enumerate(alone):
        torch.testing.assert_close(found.log_values[n], pair.log_values[0])
        torch.testing.assert_close(found.residuals[n], pair.residuals[0], rtol=1e-3, atol=1e-9)
    assert found.residuals.max() <= 1e-3


def test_chunks_change_nothing() -> None:
    target, x = Classifier(net(10)), batch(9)
    whole, parts = eigenpairs(target, x, 2), eigenpairs(target, x, 2, chunk_bytes=1)
    torch.testing.assert_close(parts.log_values, whole.log_values)
    torch.testing.assert_close(parts.vectors.abs(), whole.vectors.abs())


def test_a_net_in_bfloat16_is_close() -> None:
    module = net(10)
    wanted = eigenpairs(Classifier(module), batch(), 1).log_values
    half = eigenpairs(Classifier(module.to(torch.bfloat16)), batch().to(torch.bfloat16), 1)
    assert (half.log_values - wanted).abs().max() < 0.15


@pytest.mark.parametrize(
    ("x", "options", "match"),
    [
        (torch.zeros(0, 1, 3, 4), {}, r"expected a batch"),
        (torch.zeros(2, 1, 3, 4, dtype=torch.uint8), {}, r"divide by 255"),
        (torch.full((2, 1, 3, 4), torch.nan), {}, r"pixels are not finite"),
        (torch.zeros(2, 1, 3, 4), {"k": 0}, r"k: at least 1"),
        (torch.zeros(2, 1, 3, 4), {"coverage": 1.5}, r"coverage: more than 0"),
        (torch.zeros(2, 1, 3, 4), {"coverage": 0.9, "method": "lanczos"}, r"is to be gram"),
    ],
)
def test_what_cannot_be_used_is_named(x: torch.Tensor, options: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        eigenpairs(Classifier(net(3).float()), x, **options)


def test_targets_that_cannot_be_used_are_named() -> None:
    with pytest.raises(ConfigError, match=r"call \.eval\(\)"):
        Classifier(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    with pytest.raises(ConfigError, match=r"C at least 2, got \(2, 1\)"):
        tail_of(torch.zeros(2, 1))
    with pytest.raises(ConfigError, match=r"log-probabilities of input 1 are not all finite"):
        tail_of(torch.tensor([[0.0, -1.0], [0.0, -torch.inf]]))


def test_shapes_that_are_no_distribution_are_named() -> None:
    class Deep:
        def log_probs(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 2, 2, 2, requires_grad=True)

    with pytest.raises(ConfigError, match=r"\(N, C\) or \(N, T, C\), got \(5, 2, 2, 2\)"):
        Product(Deep(), batch())
