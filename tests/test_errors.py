"""What is not installed: the table of extras is that of pyproject.toml, absences are told."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from saccade.errors import EXTRA_OF, PACKAGES, MissingExtra, require

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    name: {package for line in lines if "[" not in line for package in re.findall("^[^><=]+", line)}
    for name, lines in PROJECT["optional-dependencies"].items()
}
BASE = {re.findall("^[^><=]+", line)[0] for line in PROJECT["dependencies"]} | {"PIL", "saccade"}
ELSEWHERE = {
    "art": "peers", "eagerpy": "peers", "foolbox": "peers", "torchattacks": "peers",
    "vllm": "an environment of its own", "pydantic_core": "comes with pydantic",
    "tokenizers": "comes with transformers", "huggingface_hub": "comes with transformers",
    "pillow_heif": "a plug-in of Pillow", "h11": "comes with uvicorn",
    "pdqhash": "a second hash, where it is installed",
}  # fmt: skip
"""Modules that no extra of a user holds, and where they come from."""
IN_THE_SANDBOX = "sandbox/inside"
"""What runs there finds the libraries of the sandbox or goes on without them."""


@pytest.mark.parametrize("module", EXTRA_OF)
def test_a_module_is_in_the_smallest_extra_that_holds_its_package(module: str) -> None:
    package = PACKAGES.get(module, module)
    holding = [name for name, packages in EXTRAS.items() if package in packages]
    assert EXTRA_OF[module] in holding
    assert len(EXTRAS[EXTRA_OF[module]]) == min(len(EXTRAS[name]) for name in holding)


def third_party(path: Path) -> set[str]:
    found = re.findall(
        r"^ *(?:from|import) (\w+)(?:[\w.]* import .*|[\w., ]*)$", path.read_text(), re.M
    )
    return set(found) - sys.stdlib_module_names - BASE


def test_every_module_that_the_base_installation_lacks_has_its_extra() -> None:
    files = (ROOT / "src" / "saccade").rglob("*.py")
    used = {name for path in files if IN_THE_SANDBOX not in str(path) for name in third_party(path)}
    assert used - set(ELSEWHERE) - set(EXTRA_OF) == set()
    assert set(EXTRA_OF) - used == {"onnxruntime", "safetensors"}, "others import these"


def test_what_cannot_be_imported_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"scikit-learn is not installed.*\[robust\]"):
        require("json", "sklearn")
    assert "[train]" in str(MissingExtra.of("torch.nn", "train"))
    assert MissingExtra.of("my_module") is None
