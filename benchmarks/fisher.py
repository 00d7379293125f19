"""OSSA beside foolbox, torchattacks and ART, and what an eigenpair costs: goals and figures.

    python benchmarks/fisher.py --data mnist.npz [--n 300] [--seed 0] [--kept runs/ossa_mnist/nets]

Peers get the same images, sizes, bounds and steps, in the same process. Writes
results/fisher.json and the table in docs/robustness.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foolbox
import numpy as np
import torch
import torchattacks
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from places import fill
from torch import nn

from saccade.fisher.spectrum import Eigenpairs, eigenpairs
from saccade.fisher.target import Classifier
from saccade.measures.intervals import wilson
from saccade.robust.attacks.single import Fgm, Ossa
from saccade.robust.attacks.stepped import OssaIterated, Pgd
from saccade.robust.classifiers.datasets import load_dataset
from saccade.robust.classifiers.nets import Scaled, kept_net

SIZE = 2.0
STEPS = 10
RESIDUAL = 1e-2
"""At which Lanczos stops; of the eigenvalue the error is far smaller, and measured."""
PAGE, OUT = Path("docs/robustness.md"), Path("results/fisher.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", default="mnist.npz")
    parser.add_argument("--kept", type=Path, default=Path("runs/ossa_mnist/nets"))
    parser.add_argument("--nets", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--n", type=int, default=300, help="images a net")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(options.data)
    nets, images = [], []
    for seed in options.nets:
        nets.append(kept_net(options.kept / f"net-{seed}.npz", data, seed=seed))
        right = (nets[-1](data.test.x).argmax(1) == data.test.y).nonzero()[:, 0].numpy()
        chosen = np.random.default_rng(options.seed).permutation(right)[: options.n]
        images.append(data.test.part(torch.from_numpy(chosen)))
    pairs = list(zip(nets, images, strict=True))
    found: dict[str, Any] = {
        "command": f"python benchmarks/fisher.py --n {options.n} --seed {options.seed}",
        "n": len(images[0].y), "nets": options.nets, "epsilon": SIZE,
        "date": time.strftime("%Y-%m-%d"),
        "fooled": {
            f"x{scale:g}": together([fooled(net, *part, scale) for net, part in pairs])
            for scale in (1.0, 2.0, 4.0)
        },
        "passes": passes(nets[0], images[0].x),
        "cost": {
            name: cost(made, images[0].x[:20]) for name, made in wide(data.train.x[:2]).items()
        },
        "not_finite": sum(not_finite(net, part.x) for net, part in pairs),
    }  # fmt: skip
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    fill(PAGE, {"fisher": table(found)})
    print(table(found))


def together(counts: list[dict[str, int]]) -> dict[str, list[int]]:
    """Name -> the count of each net."""
    return {name: [of_net[name] for of_net in counts] for name in counts[0]}


def fooled(net: nn.Module, x: torch.Tensor, y: torch.Tensor, scale: float) -> dict[str, int]:
    """Images lost at one L2 size, clipped to [0, 1], by our methods and by theirs."""
    sure = Scaled(net, scale).eval()
    made = {
        name: attack(Classifier(sure), x, y, epsilons=[SIZE]).inputs[0]
        for name, attack in {
            "ossa": Ossa(), "fgm": Fgm(), "pgd": Pgd(steps=STEPS),
            "ossa_iterated": OssaIterated(steps=STEPS),
        }.items()
    }  # fmt: skip
    model = foolbox.PyTorchModel(sure, bounds=(0, 1), device="cpu")
    step = 2.5 / STEPS
    torch.manual_seed(0)
    for name, peer in {
        "foolbox FGM": foolbox.attacks.L2FastGradientAttack(),
        "foolbox BIM": foolbox.attacks.L2BasicIterativeAttack(steps=STEPS, rel_stepsize=step),
        "foolbox VirtualAdversarial": foolbox.attacks.VirtualAdversarialAttack(steps=STEPS),
    }.items():
        made[name] = peer(model, x, y, epsilons=SIZE)[1]
    sure.register_parameter("device", nn.Parameter(torch.zeros(1)))  # torchattacks asks for one
    own = torchattacks.PGDL2(sure, eps=SIZE, alpha=SIZE * step, steps=STEPS)
    made["torchattacks PGDL2"] = own(x, y)
    shape = tuple(x.shape[1:])
    classifier = PyTorchClassifier(
        sure, nn.CrossEntropyLoss(), shape, nb_classes=10, clip_values=(0, 1), device_type="cpu"
    )
    once = FastGradientMethod(classifier, norm=2, eps=SIZE, batch_size=256)
    often = ProjectedGradientDescent(
        classifier, norm=2, eps=SIZE, eps_step=SIZE * step, max_iter=STEPS, batch_size=256,
        verbose=False,
    )  # fmt: skip
    for name, toolbox in {"ART FGM": once, "ART PGD": often}.items():
        made[name] = torch.from_numpy(toolbox.generate(x.numpy(), y.numpy()))
    with torch.no_grad():
        return {name: int((sure(one).argmax(1) != y).sum()) for name, one in made.items()}


def passes(net: nn.Module, x: torch.Tensor) -> dict[str, float]:
    """Passes of a certified top pair, and its error against all gradients in float64."""
    double = kept_double(net)
    exact = eigenpairs(Classifier(double), x.double(), method="gram").log_values[:, 0]
    made, parts = [], []
    for one in x:
        pair = eigenpairs(Classifier(net), one[None], method="lanczos", tolerance=RESIDUAL)
        made.append(pair.passes.equivalents)
        parts.append(pair.log_values[0, 0])
    error = (torch.stack(parts) - exact).abs()
    return {
        "median": float(np.median(made)), "p95": float(np.quantile(made, 0.95)),
        "error_median": float(error.median()), "error_p95": float(error.quantile(0.95)),
    }  # fmt: skip


def kept_double(net: nn.Module) -> nn.Module:
    """The same weights in float64; the net itself stays as it is."""
    return copy.deepcopy(net).double().eval()


def wide(sample: torch.Tensor) -> dict[str, nn.Module]:
    """Nets with a thousand classes, of random weights: a plain one and one shaped as a ResNet."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(sample.shape[1], 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, 1000),
    )  # fmt: skip
    residual = nn.Sequential(
        nn.Conv2d(sample.shape[1], 32, 3, 1, 1), Block(32), nn.MaxPool2d(2), Block(32),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 1000),
    )  # fmt: skip
    plain(sample)
    return {"plain": frozen(plain), "residual": frozen(residual)}


def frozen(net: nn.Module) -> nn.Module:
    return net.eval().requires_grad_(requires_grad=False)


class Block(nn.Module):
    """Two convolutions around which the input passes (He et al., arXiv 1512.03385)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.inner(x)).relu()


def cost(net: nn.Module, x: torch.Tensor) -> dict[str, float]:
    """CPU milliseconds an image of the top pair by all gradients and by Lanczos, one thread."""
    target = Classifier(net)

    def lanczos(max_steps: int = 32) -> Eigenpairs:
        return eigenpairs(target, x, method="lanczos", tolerance=RESIDUAL, max_steps=max_steps)

    exact = eigenpairs(target, x, method="gram").log_values[:, 0]  # warms up, too
    certified, short = lanczos(), lanczos(2)
    return {
        "gram_ms": 1e3 * seconds(lambda: eigenpairs(target, x, method="gram"), 1) / len(x),
        "lanczos_ms": 1e3 * seconds(lanczos, 5) / len(x),
        "products": certified.passes.jvp,
        "error_p95": float((certified.log_values[:, 0] - exact).abs().quantile(0.95)),
        "two_products_ms": 1e3 * seconds(lambda: lanczos(2), 5) / len(x),
        "two_products_error_p95": float((short.log_values[:, 0] - exact).abs().quantile(0.95)),
    }


def seconds(run: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


def not_finite(net: nn.Module, x: torch.Tensor) -> int:
    """Images with a gradient or eigenvalue that is no number, logits times 6."""
    sure = Classifier(Scaled(net, 6.0).eval())
    pairs = eigenpairs(sure, x)
    bad = ~pairs.log_values.isfinite().all(1) | ~pairs.gradients.flatten(1).isfinite().all(1)
    return int((bad | (pairs.gradients.flatten(1).norm(dim=1) == 0)).sum())


def table(found: dict[str, Any]) -> str:
    """Goals and what was reached."""
    lost, n = found["fooled"], found["n"] * len(found["nets"])

    def ratio(scale: str, ours: str, theirs: str) -> str:
        one, other = lost[scale][ours], lost[scale][theirs]
        each = [a / max(b, 1) for a, b in zip(one, other, strict=True)]
        whole = sum(one) / max(sum(other), 1)
        return f"{whole:.2f} ({sum(one)} : {sum(other)}; nets {min(each):.2f} to {max(each):.2f})"

    cost = found["cost"]
    rows = [
        ("passes of a certified top pair, floor 4: median, 95 %", "at most 8",
         "{median:.0f}, {p95:.0f}".format(**found["passes"])),
        ("its error in log lambda_1, 95 %", "at most .001", f"{found['passes']['error_p95']:.1e}"),
        *((f"CPU time, all gradients / Lanczos, 1,000 classes, {name} net", "at least 100",
           f"{c['gram_ms'] / c['lanczos_ms']:.0f} ({c['gram_ms']:.0f} : {c['lanczos_ms']:.1f} ms, "
           f"{c['products']} products, error {c['error_p95']:.0e})")
          for name, c in cost.items()),
        *((f"the same, two products, {name} net", "",
           f"{c['gram_ms'] / c['two_products_ms']:.0f} ({c['two_products_ms']:.1f} ms, error "
           f"{c['two_products_error_p95']:.0e})") for name, c in cost.items()),
        *((f"{title}, logits {scale}", goal, ratio(scale, ours, theirs))
          for title, goal, scale, ours, theirs in RATIOS),
        ("iterated OSSA minus PGD, logits x1", "within .03",
         f"{(sum(lost['x1']['ossa_iterated']) - sum(lost['x1']['pgd'])) / n:+.3f}"),
        ("images without finite gradient or eigenvalue, logits x6", "0", str(found["not_finite"])),
    ]  # fmt: skip
    successes = sum(lost["x1"]["ossa"])
    low, high = wilson(successes, n)
    lines = ["| what | goal | reached |", "|---|---|---|"]
    lines += [f"| {what} | {goal} | {got} |" for what, goal, got in rows]
    nets = ", ".join(map(str, found["nets"]))
    lines.append(
        f"\nMNIST, nets {nets}, n = {found['n']} images each, L2 {found['epsilon']:g} clipped, "
        f"{STEPS} steps; Lanczos to a residual of {RESIDUAL:g}. OSSA fools {successes / n:.3f} "
        f"[{low:.3f}, {high:.3f}]. `{found['command']}`, {found['date']}, one thread.\n"
    )
    return "\n".join(lines)


RATIOS = (
    ("OSSA / our stable FGM", "at least .95", "x1", "ossa", "fgm"),
    ("OSSA / foolbox FGM", "at least 1.3", "x2", "ossa", "foolbox FGM"),
    ("OSSA / ART FGM", "at least 1.3", "x2", "ossa", "ART FGM"),
    ("OSSA / foolbox FGM", "at least 2.5", "x4", "ossa", "foolbox FGM"),
    ("OSSA / ART FGM", "at least 2.5", "x4", "ossa", "ART FGM"),
    ("our PGD / torchattacks PGDL2", "at least 5", "x4", "pgd", "torchattacks PGDL2"),
    ("our PGD / foolbox BIM", "at least 2", "x4", "pgd", "foolbox BIM"),
    ("our PGD / ART PGD", "", "x4", "pgd", "ART PGD"),
    ("our PGD / torchattacks PGDL2", "at least 1", "x1", "pgd", "torchattacks PGDL2"),
    ("our PGD / foolbox BIM", "at least 1", "x1", "pgd", "foolbox BIM"),
    ("our PGD / ART PGD", "", "x1", "pgd", "ART PGD"),
    ("OSSA / foolbox VirtualAdversarial", "at least 1.8", "x1", "ossa",
     "foolbox VirtualAdversarial"),
)  # fmt: skip
"""What is compared, the goal, how sure the net is, ours, theirs."""


if __name__ == "__main__":
    main()
