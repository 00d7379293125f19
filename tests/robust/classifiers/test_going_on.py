"""A run that is begun, interrupted, extended, finished: what is kept, and what is said.

The net is the small one of `digits`, named as a user names a net.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from saccade.cli.checks.examine import Examination
from saccade.cli.checks.kinds import kind_of
from saccade.cli.checks.trial import try_run
from saccade.config import validate
from saccade.errors import ConfigError, FormatError
from saccade.robust.attacks.base import Attack
from saccade.robust.attacks.single import Fgm, Random
from saccade.robust.classifiers.attack import KeptNet, measure_attacks
from saccade.robust.classifiers.detection import measure_detection
from saccade.robust.classifiers.folder import FILES, claim_nets, config_of, folder_of, hold
from saccade.robust.classifiers.recipe import RobustRecipe, check_attack
from saccade.robust.classifiers.results import AttackResult
from saccade.robust.classifiers.splits import Split
from saccade.robust.classifiers.subjects import Subject, chance_warning
from saccade.robust.detectors.base import checked_features
from saccade.robust.progress import Timetable
from saccade.runs.finished import finish

RESULTS = Path(__file__).parents[3] / "results" / "robust"
ATTACKS: dict[str, Attack] = {"fgm": Fgm(), "random": Random()}
MINE = """
import torch
from torch import nn
from saccade.robust.detectors.base import Signal

def untrained():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def probabilities():
    return nn.Sequential(untrained(), nn.Softmax(1))

def few():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

def wide():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

class Flat(Signal):
    def fit(self, target, reference):
        return lambda x: x.flatten(1).mean(1).numpy()
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that is not there; nets and a signal are modules beside it."""
    (tmp_path / "mine_going_on.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "run"


class Interrupted(Exception):
    """Stands for Ctrl-C."""


def kept(file: Path, digits: tuple[nn.Module, torch.Tensor, torch.Tensor], n: int) -> KeptNet:
    net, x, y = digits
    recipe = RobustRecipe.model_validate({"n": n, "attack": {"epsilons": [0.3, 1.0]}})
    return KeptNet(file, recipe, ATTACKS, Subject(0, net, 0.9, Split(x[:n], y[:n])))


def timetable(*, ends_at: str | None = None) -> Timetable:
    """One that is interrupted when a part begins for the second time."""
    begun: list[str] = []

    def on_progress(what: str, done: int, total: int) -> None:
        begun.append(what)
        if begun.count(f"net 0: {ends_at}") == 2:
            raise Interrupted

    return Timetable({"fgm x1": 1, "random x1": 1, "vulnerability": 1}, 1, on_progress)


def test_an_interrupted_net_goes_on_and_more_images_extend_it(
    tmp_path: Path, digits: tuple[nn.Module, torch.Tensor, torch.Tensor]
) -> None:
    """By 256 images; what comes of it is what a run from the start gives, to the last bit."""
    whole = kept(tmp_path / "whole.json", digits, 300)
    whole.complete(timetable(), lambda _: pytest.fail("nothing was kept"))
    part = kept(tmp_path / "part.json", digits, 300)
    with pytest.raises(Interrupted):
        part.complete(timetable(ends_at="random"), pytest.fail)
    for n in (270, 300):
        said: list[str] = []
        part = kept(tmp_path / "part.json", digits, n)
        part.complete(timetable(), said.append)
        assert said == [f"net 0: 256 of {n} images are kept, the others are attacked now"]
    assert (tmp_path / "part.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    measured = whole.net()
    assert measured.n == 300
    assert measured.fooled["fgm x1"][1] > measured.fooled["random x1"][1]
    with pytest.raises(ConfigError, match=r"holds 300 images, 200 are asked for; go on with n=300"):
        kept(tmp_path / "part.json", digits, 200).complete(timetable(), pytest.fail)
    net, x, y = digits
    other = nn.Sequential(net, nn.Linear(10, 10)).eval()
    for changed in ((other, x, y), (net, x * 0.99, y), (net, x, y.flip(0))):
        with pytest.raises(
            ConfigError, match=r"part\.json holds .* another net or of other images"
        ):
            kept(tmp_path / "part.json", changed, 300).complete(timetable(), pytest.fail)
    (tmp_path / "part.json").write_text('{"net": 0}')
    with pytest.raises(FormatError, match=r"part\.json: .*delete it"):
        kept(tmp_path / "part.json", digits, 300)


def test_a_run_that_fails_before_it_measured_leaves_nothing(mine: Path) -> None:
    recipe = RobustRecipe(out=str(mine), model="mine_going_on:probabilities")
    with pytest.raises(ConfigError, match=r"model mine_going_on:probabilities: .*leave out"):
        measure_attacks(recipe)
    assert not mine.exists()


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("untrained", None), ("probabilities", "leave out the softmax"),
        ("few", "a logit for each of 10 classes of the data, got 3"),
        ("wide", r"the net failed on images \(3, 1, 8, 8\)"),
    ],
)  # fmt: skip
def test_a_check_of_the_run_file_says_what_is_wrong_with_the_net(
    net: str, message: str | None
) -> None:
    found = Examination()
    recipe = RobustRecipe(model=f"mine_going_on:{net}")
    try_run(kind_of({"data": "digits", "nets": [0]}, "x"), recipe, found)
    wrong = [finding for finding in found.findings if finding.state == "error"]
    assert [finding.part for finding in wrong] == ([] if message is None else ["model"])
    assert message is None or re.search(message, wrong[0].text)


def test_a_signal_that_is_none_is_said_before_the_attacks_and_chance_is_a_warning(
    mine: Path,
) -> None:
    table = {
        "out": str(mine), "model": "mine_going_on:untrained", "n": 134,
        "detect": {"signals": ["mine_going_on:Flat"]},
    }  # fmt: skip
    told: list[str] = []
    with (
        pytest.warns(
            UserWarning, match=r"untrained on digits: .* cannot be told from guessing among 10"
        ),
        pytest.raises(ConfigError, match=r"signal mine_going_on:Flat: .*\(2, F\).*got \(2,\)"),
    ):
        measure_detection(validate(RobustRecipe, table), lambda *step: told.append(step[0]))
    assert told == []
    assert not mine.exists()


def test_chance_is_what_the_interval_holds() -> None:
    """1 of 10 classes: 130 of 1,000 right are better than guessing, 118 need not be."""
    assert chance_warning(130, 1000, 10) is None
    warning = chance_warning(118, 1000, 10)
    assert warning is not None
    assert "0.118 [0.099, 0.139] before any attack, n = 1000, cannot" in warning
    assert chance_warning(70, 100, 2) is None
    assert chance_warning(55, 100, 2) is not None


@pytest.mark.parametrize(
    ("features", "got"),
    [([[1.0]] * 3, "a list"), (torch.ones(3, 1), "a Tensor")],
)
def test_features_are_numbers_of_each_input(features: object, got: str) -> None:
    with pytest.raises(ConfigError, match=rf"signal mine: .*\(3, F\).* for 3 inputs, got {got}"):
        checked_features("mine", features, 3)
    array = torch.arange(6.0).view(3, 2).numpy()
    assert checked_features("mine", array, 3).dtype == "float64"
    array[1, 1] = torch.nan
    with pytest.raises(ConfigError, match="not all of it finite"):
        checked_features("mine", array, 3)


def test_nets_are_of_one_data_set(tmp_path: Path) -> None:
    """Both commands use them: neither may take those that were trained for other images."""
    recipe = RobustRecipe(out=str(tmp_path), data="mnist.npz")
    claim_nets(recipe, write=False)
    assert not (tmp_path / "nets").exists()
    claim_nets(recipe, write=True)
    claim_nets(recipe.model_copy(update={"n": 20, "seed": 3, "nets": (7,)}), write=False)
    with pytest.raises(
        ConfigError, match=r'nets holds another run:\s+data: "mnist.npz" -> "digits"'
    ):
        claim_nets(recipe.model_copy(update={"data": "digits"}), write=False)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"nets": [0, 1, 0]}, "nets: .*0 is named twice"),
        ({"data": "digitz"}, "no file, folder or built-in data 'digitz'; did you mean 'digits'"),
        ({"data": "no_such_module_here:data"}, "data: there is no module 'no_such_module_here'"),
        ({"model": "no_such.module:net"}, "model: 'no_such.module:net' cannot be imported"),
        ({"model": "net.pt"}, "model: 'net.pt' is to be 'package.module:name'"),
    ],
)
def test_what_is_not_there_is_said(table: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_attack(validate(RobustRecipe, table))


def test_mistakes_and_finished_runs_need_no_torch(tmp_path: Path) -> None:
    """In one process, which ends with what `saccade attack` prints of a finished run."""
    recipe = RobustRecipe(out=str(tmp_path), data="mnist.npz", n=600)
    result = AttackResult.model_validate_json((RESULTS / "mnist_attack.json").read_bytes())
    folder, config = folder_of(recipe, "attack"), config_of(recipe, "attack")
    with hold(recipe, "attack").claim:
        for name in ("attack-0.json", *FILES["attack"]):
            (folder / name).write_text("kept")
    finish(folder, "attack", config, result.model_dump(mode="json"), needs=FILES["attack"])
    script = """
import sys
from saccade.cli import app
from saccade.errors import ConfigError
for mistake in (["attack", 'attack.methods=["fgmm"]'], ["attack", 'attack.methods=["pgd","pgd"]'],
                ["detect", "--n", "133"], ["detect", 'detect.signals=["fishr"]'],
                ["detect", "--data", "nowhere"], ["attack", "--data", "mnist.npz", "--seed", "1"],
                ["attack", "policy.kind=hf", "attack.arms=[1]", "attack.method=pdg"]):
    try:
        app([*mistake, "--out", sys.argv[1]], standalone_mode=False)
    except ConfigError as error:
        print(error, file=sys.stderr)
app(["attack", "--data", "mnist.npz", "--n", sys.argv[2], "--out", sys.argv[1], *sys.argv[3:]],
    standalone_mode=False)
assert not {"torch", "scipy", "sklearn", "matplotlib", "transformers"} & set(sys.modules)
"""
    command = [sys.executable, "-c", script, str(tmp_path), "500", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == result.model_dump(mode="json")
    for words in (
        "there is no 'fgmm'; did you mean 'fgm'", "attack.methods: pgd is named twice",
        "a false positive rate of 0.05 needs 134 images, got 133", "did you mean 'fisher'",
        "no file, folder or built-in data 'nowhere'", "seed: 0 -> 1", "did you mean 'pgd'",
        "finished, and holds more than is asked for (n=600)",
    ):  # fmt: skip
        assert words in done.stderr, words
