"""Attacks and signals of users: named in the run file, and judged as ours are."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from saccade.config import Part, validate, with_overrides
from saccade.errors import ConfigError
from saccade.fisher.target import Classifier, Target
from saccade.robust.attacks import ATTACKS, make_attack
from saccade.robust.attacks.base import Attack, Batch
from saccade.robust.attacks.stepped import Pgd
from saccade.robust.classifiers.attack import measure_attacks
from saccade.robust.classifiers.detection import measure_detection
from saccade.robust.classifiers.recipe import RobustRecipe
from saccade.robust.detectors import SIGNALS, make_signal
from saccade.robust.detectors.base import MOST_SETTINGS, Extractor, Reference, Signal

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own_nets.md").read_text()
(MODULE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(RUN_FILE,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of the page, where a run file finds it."""
    (tmp_path / "my_net.py").write_text(MODULE + "\n\nclass Neither:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)


def run_of_the_page(tmp_path: Path, *settings: str) -> RobustRecipe:
    """The run file of the page, with fewer images."""
    table = with_overrides(tomllib.loads(RUN_FILE), [f"out={tmp_path / 'run'}", *settings])
    return validate(RobustRecipe, table)


class Cheat(Attack):
    """Goes ten times as far as it may, out of bounds, and says that it has won."""

    def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
        far = [batch.x + 10 * epsilon * torch.ones_like(batch.x) for epsilon in epsilons]
        batch.x.fill_(0.5)
        batch.classes.fill_(0)
        return far


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_cheat_is_projected_and_measured(digits: tuple, norm: str) -> None:
    net, x, y = digits
    before = x.clone(), y.clone()
    found = Cheat()(Classifier(net), x, y, epsilons=[0.3], norm=norm)  # type: ignore[arg-type]
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])
    change = (found.inputs[0] - x).flatten(1)
    sizes = change.norm(dim=1) if norm == "l2" else change.abs().amax(1)
    assert (sizes <= 0.3 + 1e-5).all()
    torch.testing.assert_close(found.sizes[0].float(), sizes, atol=1e-6, rtol=0)
    assert 0 <= float(found.inputs.min()) <= float(found.inputs.max()) <= 1
    assert torch.equal(found.success[0], net(found.inputs[0]).argmax(1) != y)
    assert not found.success.all()


def test_a_budget_of_values_keeps_the_largest_changes(digits: tuple) -> None:
    class Several(Attack):
        norms = ("l0",)

        def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
            step = torch.linspace(-0.4, 0.1, batch.x[0].numel()).view_as(batch.x[0])
            return [batch.x + step] * len(epsilons)

    net, x, y = digits
    middle = 0.4 + 0.2 * x[:5]  # nothing is clipped
    found = Several()(Classifier(net), middle, y[:5], epsilons=[3], norm="l0")
    changed = (found.inputs[0] != middle).flatten(1)
    assert (found.sizes == 3).all()
    assert changed[:, :3].all()
    assert not changed[:, 3:].any()


def test_nobody_takes_the_place_of_the_judge() -> None:
    with pytest.raises(ConfigError, match="Sure: override propose"):

        class Sure(Attack):
            def __call__(self, *arguments: object, **options: object) -> bool:
                return True

    class Mixin:
        def __call__(self, *arguments: object, **options: object) -> bool:
            return True

    with pytest.raises(ConfigError, match="Mixed: override propose"):

        class Mixed(Mixin, Pgd):
            pass


@pytest.mark.parametrize(
    "proposal", [lambda x: x[:, :, :4], lambda x: x * torch.nan, lambda x: x[:1]]
)
def test_a_proposal_that_is_no_input_is_named(digits: tuple, proposal: object) -> None:
    class Wrong(Attack):
        def propose(self, batch: Batch, epsilons: Sequence[float]) -> list[torch.Tensor]:
            return [proposal(batch.x)]  # type: ignore[operator]

    net, x, y = digits
    with pytest.raises(ConfigError, match=r"Wrong: expected \(6, 1, 8, 8\) finite inputs"):
        Wrong()(Classifier(net), x[:6], y[:6], epsilons=[1.0])


def test_attacks_of_a_run_file(tmp_path: Path) -> None:
    """A name, a name with options, one's own, one's own with options; named so in the tables."""
    more = ["fgm", "pgd", {"kind": "pgd", "steps": 1}, "my_net:Brighter"]
    recipe = run_of_the_page(tmp_path, "n=40", "attack.epsilons=[0.4]")
    methods = (*recipe.attack.methods, *(as_part(part) for part in more))
    section = recipe.attack.model_copy(update={"methods": methods})
    (net,) = measure_attacks(recipe.model_copy(update={"attack": section})).nets
    half = "my_net:Brighter(share=0.5) x1"
    assert list(net.fooled) == [
        "ossa x1", "pgd(steps=40) x1", half, "fgm x1", "pgd x1", "pgd(steps=1) x1",
        "my_net:Brighter x1",
    ]  # fmt: skip
    assert net.fooled["pgd(steps=1) x1"] == net.fooled["fgm x1"]  # clipped to the ball
    assert net.fooled["pgd x1"] > net.fooled["fgm x1"]
    assert 0 < net.mean_size[half][0] < net.mean_size["my_net:Brighter x1"][0]


def as_part(part: str | dict[str, object]) -> str | Part:
    return part if isinstance(part, str) else Part.model_validate(part)


def test_signals_of_a_run_file(tmp_path: Path) -> None:
    """Options that are given are fixed; those that are left out are tried."""
    small = ("trees=5", "adaptive_n=10", "adaptive_steps=1", "adaptive_restarts=1")
    recipe = run_of_the_page(tmp_path, "n=134", *(f"detect.{setting}" for setting in small))
    (net,) = measure_detection(recipe).nets
    assert list(net.auc) == ["fisher", "log_q", "kd(bandwidth=0.26)", "my_net:Contrast"]
    assert net.settings["kd(bandwidth=0.26)"]["fgm"] == {"bandwidth": 0.26}
    assert net.settings["my_net:Contrast"]["fgm"] == {}
    assert set(net.settings["fisher"]["fgm"]) == {"k", "min_leaf"}


@pytest.mark.parametrize(
    ("section", "match"),
    [
        ({"methods": ["ossa", "fgmm"]}, "attack.methods: there is no 'fgmm'; did you mean 'fgm'"),
        ({"methods": ["pgd", "pgd"]}, "attack.methods: pgd is named twice"),
        ({"methods": [{"kind": "pgd", "step": 3}]}, "step: unknown key; did you mean 'steps'"),
        ({"methods": ["my_net:Neither"]}, "Neither is no .*base.Attack"),
        ({"methods": ["greedy_l0"]}, "GreedyL0 takes a budget in l0, not l2"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(
    tmp_path: Path, section: Mapping[str, object], match: str
) -> None:
    table = {"out": str(tmp_path / "run"), "attack": section}
    with pytest.raises(ConfigError, match=match):
        measure_attacks(validate(RobustRecipe, table))
    assert not (tmp_path / "run").exists()


def test_a_signal_that_tries_more_than_the_others_is_refused() -> None:
    class Greedy(Signal):
        a: int = 1

        def grid(self, classes: int) -> dict[str, range]:
            return {"a": range(MOST_SETTINGS + 1)}

        def fit(self, target: Target, reference: Reference) -> Extractor:
            raise NotImplementedError

    with pytest.raises(ConfigError, match="a grid of 9 settings, at most 8"):
        Greedy().settings(10)
    assert Greedy(a=3).settings(10) == [Greedy(a=3)]


def test_every_name_of_the_tables_is_made() -> None:
    assert all(isinstance(make_attack(name), Attack) for name in ATTACKS)
    assert all(isinstance(make_signal(name), Signal) for name in SIGNALS)
    assert make_attack(Part.model_validate({"kind": "pgd", "steps": 3})) == Pgd(steps=3)
    with pytest.raises(ConfigError, match=r"no .*base\.Signal"):
        make_signal("my_net:Neither")
