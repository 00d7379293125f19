"""What a bug report says, and the environment variables that are documented."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from saccade.cli.env import BASE, EXTRAS, _devices, _extra, _lines
from saccade.cli.reference.variables import OF_LIBRARIES, OWN
from saccade.errors import install_line

ROOT = Path(__file__).resolve().parents[2]


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = dict(project["optional-dependencies"])

    def packages(needs: list[str]) -> Iterator[str]:
        for need in needs:
            if nested := re.fullmatch(r"saccade-vlm\[(.*)\]", need):
                for extra in nested[1].split(","):
                    yield from packages(extras[extra])
            else:
                yield re.split(r"[<>=~!]", need)[0]

    assert set(BASE) == set(packages(project["dependencies"]))
    assert set(extras) - set(EXTRAS) == {"all", "peers", "dev", "vllm"}
    for name, listed in EXTRAS.items():
        assert set(listed) == set(packages(extras[name])), name
    apart = {"inspect"}  # fifty packages, in an environment of their own
    of_all = {p for name, listed in EXTRAS.items() if name not in apart for p in listed}
    assert set(packages(extras["all"])) == of_all


def test_a_missing_extra_stands_beside_its_install_line(monkeypatch) -> None:
    monkeypatch.setitem(EXTRAS, "ocr", ("pillow", "a-package-that-is-nowhere"))
    (line,) = _lines({"ocr": _extra("ocr")})
    assert line.startswith("ocr          pillow 1")
    assert line.endswith(f"; missing a-package-that-is-nowhere: {install_line('ocr')}")


def test_a_machine_without_torch_is_described_all_the_same() -> None:
    code = (
        "sys.modules |= {'torch': None, 'pyseccomp': None}; sys.argv[1:] = ['env', '--json']\n"
        "from saccade.cli import main; main()"
    )
    environment = {"PATH": "/usr/bin:/bin", "OPENAI_API_KEY": "sk-secret", "HF_TOKEN": ""}
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == [
        "saccade", "machine", "devices", "base", "extras", "sandbox", "variables",
    ]  # fmt: skip
    assert found["devices"] == ["unknown: ModuleNotFoundError of torch"]
    assert found["variables"] == ["OPENAI_API_KEY is set", "HF_TOKEN is set"]
    assert "'sandbox'" in found["sandbox"]["modes"]
    assert found["machine"]["python"] == f"CPython {sys.version.split()[0]}"
    assert "sk-secret" not in done.stdout
    assert str(ROOT) not in done.stdout


def test_a_torch_that_cannot_be_loaded_is_named_without_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries that do not fit the machine raise an OSError with their path."""
    (tmp_path / "torch.py").write_text("import ctypes; ctypes.CDLL(__file__)\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("saccade.models.devices", "torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert _devices() == ["unknown: OSError"]


def variables_in(tree: ast.AST) -> Iterator[str]:
    """Names that are looked up in `os.environ`, and the defaults of options that name one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target).endswith("_env"):
            yield from [ast.literal_eval(node.value)] if node.value else []
        lookup: ast.AST | None = None
        if isinstance(node, ast.Call):
            if ast.unparse(node.func).endswith(("environ.get", "environ.pop", "getenv")):
                lookup = node.args[0]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            lookup = node.slice
        elif isinstance(node, ast.Compare) and "environ" in ast.unparse(node.comparators[0]):
            lookup = node.left
        if isinstance(lookup, ast.Constant):
            yield str(lookup.value)


def test_every_variable_that_is_read_is_documented() -> None:
    read: set[str] = set()
    for path in (ROOT / "src" / "saccade").rglob("*.py"):
        if "environ" in (text := path.read_text()) or "_env: " in text or "getenv" in text:
            read |= set(variables_in(ast.parse(text)))
    assert read == set(OWN)
    assert not set(OWN) & set(OF_LIBRARIES)


def test_a_variable_that_is_read_is_found() -> None:
    code = "x = os.environ['A'] + environ.get('B', '') + os.getenv('C')\nd = 'D' in os.environ"
    options = "class Options(Record):\n    key_env: str = 'E'"
    assert set(variables_in(ast.parse(f"{code}\n{options}"))) == {"A", "B", "C", "D", "E"}
