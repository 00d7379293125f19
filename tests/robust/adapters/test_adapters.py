"""Our attacks and detector, called as users of foolbox, torchattacks and ART call theirs."""

import foolbox
import numpy as np
import pytest
import torch
import torchattacks
from art.estimators.classification import PyTorchClassifier
from sklearn.metrics import roc_auc_score
from torch import nn

from saccade.errors import ConfigError
from saccade.fisher.target import Classifier
from saccade.robust.adapters.art import ArtAttack, ArtDetector
from saccade.robust.adapters.foolbox import FoolboxAttack
from saccade.robust.adapters.torchattacks import TorchattacksAttack
from saccade.robust.attacks import make_attack
from saccade.robust.attacks.single import Ossa

EPSILONS = [0.2, 0.5]


def test_foolbox_takes_it_for_its_own(digits: tuple) -> None:
    net, x, y = digits
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    for method in ("ossa", "pgd"):
        raw, clipped, success = FoolboxAttack(method)(model, x, y, epsilons=EPSILONS)
        ours = make_attack(method)(Classifier(net), x, y, epsilons=EPSILONS)
        assert success.shape == (2, len(x))
        for i in range(2):
            torch.testing.assert_close(raw[i], ours.inputs[i], atol=1e-5, rtol=0)
            assert (foolbox.distances.l2(x, clipped[i]) <= EPSILONS[i] + 1e-4).all()
        assert (success != ours.success).float().mean() < 0.01


def test_foolbox_preprocessing_and_targets_are_kept(digits: tuple) -> None:
    net, x, y = digits
    shifted = nn.Sequential(Shift(), net).eval()
    preprocessing = {"mean": [0.3], "std": [0.5], "axis": -3}
    model = foolbox.PyTorchModel(shifted, bounds=(0, 1), preprocessing=preprocessing, device="cpu")
    plain = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    wanted = foolbox.criteria.TargetedMisclassification((y + 1) % 10)
    through, _, success = FoolboxAttack("pgd")(model, x, wanted, epsilons=1.0)
    direct, _, _ = FoolboxAttack("pgd")(plain, x, wanted, epsilons=1.0)
    torch.testing.assert_close(through, direct, atol=1e-3, rtol=0)
    assert success.float().mean() > 0.3
    misread = foolbox.criteria.Misclassification(y)
    with pytest.raises(ConfigError, match="criterion"):
        FoolboxAttack().run(model, x, misread & misread, epsilon=1.0)


class Shift(nn.Module):
    """Undoes the preprocessing above."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.5 + 0.3


def test_torchattacks_takes_it_for_its_own(
    digits: tuple, capsys: pytest.CaptureFixture[str]
) -> None:
    net, x, y = digits
    ours = Ossa()(Classifier(net), x, y, epsilons=[0.5])
    made = TorchattacksAttack(net, "ossa", eps=0.5)
    assert isinstance(made, torchattacks.attack.Attack)
    torch.testing.assert_close(made(x, y), ours.inputs[0])
    aimed = TorchattacksAttack(net, "pgd", eps=1.0)
    aimed.set_mode_targeted_by_function(lambda images, labels: (labels + 1) % 10)
    reached = net(aimed(x, y)).argmax(1) == (y + 1) % 10
    assert reached.float().mean() > 0.3


@pytest.fixture
def classifier(digits: tuple) -> PyTorchClassifier:
    return PyTorchClassifier(
        digits[0], nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0.0, 1.0), device_type="cpu"
    )


def test_art_takes_it_for_its_own(digits: tuple, classifier: PyTorchClassifier) -> None:
    net, x, y = digits
    ours = Ossa()(Classifier(net), x, y, epsilons=[0.5])
    made = ArtAttack(classifier, "ossa", eps=0.5, batch_size=77).generate(x.numpy())
    np.testing.assert_allclose(made, ours.inputs[0].numpy(), atol=1e-6)
    one_hot = np.eye(10)[(y.numpy() + 1) % 10]
    aimed = ArtAttack(classifier, "pgd", eps=1.0, targeted=True)
    reached = classifier.predict(aimed.generate(x.numpy(), one_hot)).argmax(1)
    assert (reached == one_hot.argmax(1)).mean() > 0.3
    with pytest.raises(ConfigError, match="needs the classes"):
        aimed.generate(x.numpy())


def test_art_preprocessing_is_kept(digits: tuple) -> None:
    net, x, _ = digits
    shifted = nn.Sequential(Shift(), net).eval()
    with_shift = PyTorchClassifier(
        shifted, nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0.0, 1.0),
        preprocessing=(0.3, 0.5), device_type="cpu",
    )  # fmt: skip
    ours = Ossa()(Classifier(net), x, epsilons=[0.5])
    made = ArtAttack(with_shift, "ossa", eps=0.5).generate(x.numpy())
    np.testing.assert_allclose(made, ours.inputs[0].numpy(), atol=1e-4)


def test_the_detector_serves_art(digits: tuple, classifier: PyTorchClassifier) -> None:
    net, x, _ = digits
    changed = ArtAttack(classifier, "otcm", eps=1.0).generate(x.numpy())
    won = (net(torch.as_tensor(changed)).argmax(1) != net(x).argmax(1)).numpy()
    detector = ArtDetector(classifier, false_positive_rate=0.1)
    with pytest.raises(ConfigError, match="call fit first"):
        detector.detect(changed)
    half = np.arange(len(x)) < 150
    known = np.concatenate([x.numpy()[half], changed[half & won]])
    detector.fit(known, np.arange(len(known)) >= 150)
    fresh = np.concatenate([x.numpy()[~half], changed[~half & won]])
    report, flagged = detector.detect(fresh)
    truth = np.arange(len(fresh)) >= (~half).sum()
    assert roc_auc_score(truth, report["predictions"]) > 0.85
    assert flagged[truth].mean() > 0.5 > flagged[~truth].mean()
