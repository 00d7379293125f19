"""`saccade check policy`, and the warning before `saccade rollout`: as a user meets them."""

import json
import tomllib
from pathlib import Path

import pytest
from command import here
from pydantic import JsonValue
from seeing import Seeing

from saccade.canary.findings import finding
from saccade.cli.checks.policy import show
from saccade.cli.checks.runfile import with_lines, write_lines
from saccade.errors import ConfigError
from saccade.images.image import Image
from saccade.testing import ScriptedServer

SMALL = ("environment.view.max_pixels=60000", "environment.limits.max_images=2")
"""Settings with which images are soon drawn, sent and read."""


NOBODY = ("policy.kind=openai", "policy.base_url=http://127.0.0.1:9/v1", "policy.model=m")
"""A server that would have to be asked first."""


def settings(server: ScriptedServer, *more: str) -> list[str]:
    policy = ("policy.kind=openai", f"policy.base_url={server.url}", "policy.model=m")
    return [*policy, "policy.backoff_s=0.001", *SMALL, *more]


def test_a_model_is_examined_and_its_lines_go_into_a_run_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    with ScriptedServer(Seeing(frame="relative_1000", refuses=("seed",))) as server:
        (tmp_path / "run.toml").write_text(
            "# saccade rollout run.toml\n\n# the server of the third floor\n"
            f'policy = {{ kind = "openai", base_url = "{server.url}", model = "m" }} # mine\n'
            'environment.coords = "absolute"  # to be checked\n'
        )
        done = here("check", "policy", "run.toml", *SMALL, "--n", "4", "--write", "run.toml",
                    cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done
    assert "ok         vision" in done.stdout
    assert 'environment.coords = "relative_1000"' in done.stdout
    assert "lines for the run file" in done.stdout
    assert file.read_text() == (
        "# saccade rollout run.toml\n\n# the server of the third floor\n"
        f'policy = {{ kind = "openai", base_url = "{server.url}", model = "m", '
        'omit = ["seed"], tool_images = "user" } # mine\n'
        'environment.coords = "relative_1000"  # to be checked\n'
        'dialect.kind = "deepeyes"\n'
    )


def test_a_blind_model_is_an_error_for_machines_too(tmp_path: Path) -> None:
    with ScriptedServer(Seeing(blind=True)) as server:
        done = here("check", "policy", *settings(server), "--json", "--write", "new.toml",
                    cwd=tmp_path)  # fmt: skip
    assert done.returncode == 1, done
    found = json.loads(done.stdout)
    (vision,) = (one for one in found["findings"] if one["part"] == "vision")
    assert vision["state"] == "error"
    assert "blind" in vision["text"]
    assert (vision["asked"], vision["right"] <= 3) == (12, True)
    assert vision["replies"]
    assert not (tmp_path / "new.toml").exists(), "nothing is written of a model that is blind"


def test_a_server_that_is_not_there_is_an_error() -> None:
    with ScriptedServer(Seeing()) as server:
        gone = settings(server)
    done = here("check", "policy", *gone)
    assert done.returncode == 1
    assert "does not answer" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "policy: missing"),
        (("policy.kind=opnai",), "did you mean 'openai'"),
        (("none.toml",), "none.toml: cannot be read"),
        (("policy.kind=reader",), "there is no model to ask"),
        (("sft.toml",), "a run file of saccade sft has no policy"),
        ((*NOBODY, "--write", "none/run.toml"), "its folder is not there"),
        ((*NOBODY, "--write", "broken.toml"), "broken.toml: not TOML"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    (tmp_path / "broken.toml").write_text("[")
    (tmp_path / "sft.toml").write_text('model = "m"\nout = "o"\nruns = ["r"]\n')
    done = here("check", "policy", *words, cwd=tmp_path)
    assert done.returncode == 2, done
    assert says in done.stderr


def test_findings_are_broken_between_words_in_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = finding("vision", "warning", "word " * 30, replies=("reply " * 20,))
    show([found], {})
    assert capsys.readouterr().out.count("\n") == 2, "in a file a finding is a line"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    show([found], {})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith(" " * 28 + "word")


# Lines in a run file


FORMS = {
    "empty": "",
    "a comment": "# mine\n",
    "dotted keys": 'policy.kind = "openai" # kept\npolicy.omit = [] # old\n\nseed = 3\n',
    "sections": '# mine\nseed = 3\n\n[policy] # it\nkind = "a"\n\n[tasks]\nkind = "x"\n',
    "inline": 'policy = { kind = "openai", rename = {} } # kept\n[tasks]\nkind = "x"\n',
    "inline, empty": "policy = {}\nenvironment = { }\n",
    "several lines": 'a = [\n  1, # 1\n  "]", { b = "}" },\n]\n[policy]\nomit = [\n "n"\n] # old\n',
    "strings": 'a = """\n[policy]\n"""\nb = \'# no comment\'\n"policy"."kind" = "x"\n',
    "arrays of tables": '[[x]]\ny = 1\n[[x]]\ny = 2\n',
    "nested": '[environment.limits]\nmax_turns = 3\n\n[environment]\ncoords = "absolute"\n',
    "Windows": '# mine\r\n[policy]\r\nkind = "openai"\r\n',
    "no end of line": '[policy]\nkind = "openai"',
}  # fmt: skip
LINES: dict[str, JsonValue] = {
    "policy.omit": ["seed", "stop"],
    "policy.rename": {"max_tokens": "max_completion_tokens"},
    "environment.coords": "relative_1000",
    "environment.limits.max_images": 2,
    "environment.view.max_pixels": 1_000_000,
    "dialect.kind": "native",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_lines_are_put_into_any_form_and_nothing_else_is_touched(text: str) -> None:
    new = with_lines(text, LINES)
    said = tomllib.loads(new)
    assert said["policy"]["omit"] == ["seed", "stop"]
    assert said["policy"]["rename"] == {"max_tokens": "max_completion_tokens"}
    assert said["environment"]["coords"] == "relative_1000"
    assert said["environment"]["limits"]["max_images"] == 2
    assert with_lines(new, LINES) == new, "once more changes nothing"
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert [c for c in comments if f"#{c}" not in new] == []
    assert ("\r\n" in text) == ("\r\n" in new) == ("\n" in new and new.count("\r") > 0)


def test_a_form_that_is_not_foreseen_is_refused_and_not_damaged(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    text = '[[policy]]\nkind = "openai"\n'
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"'policy' is a value"):
        write_lines(file, {"policy.omit": ["seed"]}, begin={})
    assert file.read_text() == text
    file.write_text("not TOML")
    with pytest.raises(ConfigError, match="not TOML"):
        write_lines(file, LINES, begin={})
    with pytest.raises(ConfigError, match="its folder is not there"):
        write_lines(tmp_path / "none" / "run.toml", LINES, begin={})


def test_a_run_file_is_begun_and_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "run.toml", tmp_path / "link.toml"
    write_lines(file, {"dialect.kind": "native"}, begin={"policy.kind": "openai"})
    assert file.read_text() == 'policy.kind = "openai"\ndialect.kind = "native"\n'
    link.symlink_to(file)
    write_lines(link, {"dialect.kind": "plain"}, begin={})
    assert link.is_symlink()
    assert 'dialect.kind = "plain"' in file.read_text()


# Before a run


def run_file(folder: Path, *, image: bool = True) -> None:
    """Two questions, about an image or about none."""
    from PIL import Image as PILImage

    rows: list[dict[str, JsonValue]] = [{"id": f"q{n}", "question": "?"} for n in range(2)]
    if image:
        Image.from_pixels(PILImage.new("RGB", (112, 112))).pixels().save(folder / "a.png")
        rows = [{**row, "images": ["a.png"]} for row in rows]
    (folder / "q.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "run.toml").write_text('tasks = { kind = "file", path = "q.jsonl" }\nout = "run"\n')


def test_a_blind_model_is_named_before_a_run_and_the_run_goes_on(tmp_path: Path) -> None:
    run_file(tmp_path)
    with ScriptedServer(Seeing(blind=True)) as server:
        done = here("rollout", "run.toml", *settings(server), cwd=tmp_path)
        asked = len(server.requests)
        again = here("rollout", "run.toml", *settings(server), cwd=tmp_path)
        more = len(server.requests)
    assert done.returncode == 0, done
    assert done.stderr.count("seems blind") == 1
    assert "canary=false" in done.stderr
    assert asked == 16 + 2
    assert (again.returncode, more) == (0, asked), "a finished run asks nothing"
    assert "blind" not in again.stderr


@pytest.mark.parametrize(
    ("image", "more", "asked"),
    [(True, (), 4), (True, ("canary=false",), 0), (False, (), 0)],
    ids=["sees", "switched off", "no images"],
)
def test_a_few_questions_are_asked_where_there_are_images(
    tmp_path: Path, image: bool, more: tuple[str, ...], asked: int
) -> None:
    run_file(tmp_path, image=image)
    with ScriptedServer(Seeing()) as server:
        done = here("rollout", "run.toml", *settings(server, *more), cwd=tmp_path)
    assert done.returncode == 0, done
    assert "blind" not in done.stderr
    assert len(server.requests) == asked + 2


def test_a_run_that_goes_on_is_not_asked_again_and_the_switch_means_nothing(tmp_path: Path) -> None:
    run_file(tmp_path)
    with ScriptedServer(Seeing()) as server:
        rest = settings(server)
        here("rollout", "run.toml", *rest, "canary=false", cwd=tmp_path)
        done = here("rollout", "run.toml", *rest, "samples=2", cwd=tmp_path)
    assert done.returncode == 0, done
    assert len(server.requests) == 4, "four episodes, and no question of the canary"


def test_a_script_is_not_asked(tmp_path: Path) -> None:
    run_file(tmp_path)
    turns = [{"task": f"q{n}", "turns": ["<answer>7</answer>"]} for n in range(2)]
    (tmp_path / "s.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in turns))
    done = here("rollout", "run.toml", "policy.kind=replay", "policy.script=s.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done
    assert "blind" not in done.stderr
