"""Cells as in a notebook: state, what comes back, habits; and that code runs as it was written."""

import ast
import contextlib
import io
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from unhurried import UNHURRIED

from saccade.sandbox import Notebook, Sandbox
from saccade.sandbox.libraries import PACKAGES
from saccade.sandbox.session import MAX_CODE_BYTES

CELL = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def test_variables_functions_and_imports_stay(notebook: Notebook) -> None:
    await notebook.run("import math\nx = 20\ndef double(n):\n    return 2 * n")
    cell = await notebook.run("double(x) + math.floor(2.5)")
    assert (cell.status, cell.value) == ("ok", "42")
    assert (await notebook.run("_")).value == "42"


async def test_streams_come_back_apart(notebook: Notebook) -> None:
    cell = await notebook.run("import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert (cell.stdout, cell.stderr, cell.value) == ("out\n", "err\n", None)
    assert (await notebook.run("1")).stdout == ""


@pytest.mark.parametrize(
    "code", ["7;", "7;  # quiet", "x = 7", "None", "", "# only this", "7;\n\n"]
)
async def test_what_is_no_value_is_not_shown(notebook: Notebook, code: str) -> None:
    cell = await notebook.run(code)
    assert (cell.status, cell.value, cell.error) == ("ok", None, None)


@pytest.mark.parametrize("code", ["'a;'", "x = 1; x", "{';': 1}[';'] # ;"])
async def test_a_semicolon_elsewhere_is_no_end(notebook: Notebook, code: str) -> None:
    assert (await notebook.run(code)).value is not None


async def test_an_exception_shows_the_lines_of_the_cells_and_nothing_of_ours(
    notebook: Notebook,
) -> None:
    await notebook.run("def f(n):\n    return 1 / n")
    cell = await notebook.run("print('before')\nf(0)")
    assert cell.status == "error"
    assert cell.stdout == "before\n"
    assert cell.error is not None
    assert cell.error.splitlines()[0] == "Traceback (most recent call last):"
    assert "return 1 / n" in cell.error
    assert cell.error.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "saccade" not in cell.error
    assert "notebook.py" not in cell.error
    assert (await notebook.run("f(1)")).value == "1.0"


async def test_a_deep_traceback_is_short(notebook: Notebook) -> None:
    cell = await notebook.run(
        "def f(n):\n    if n: f(n - 1)\n    else: raise KeyError('deep')\nf(60)"
    )
    assert cell.error is not None
    assert cell.error.count("File") <= 8
    chained = await notebook.run(
        "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('b') from e"
    )
    assert "ZeroDivisionError" in (chained.error or "")
    assert "ValueError: b" in (chained.error or "")


async def test_library_frames_are_left_out(notebook: Notebook) -> None:
    cell = await notebook.run("import json\njson.loads('{')")
    assert cell.error is not None
    assert cell.error.count("File") == 1
    assert "JSONDecodeError" in cell.error


async def test_a_loop_is_interrupted_and_its_variables_stay(notebook: Notebook) -> None:
    cell = await notebook.run("n = 0\nwhile True:\n    n += 1", seconds=1)
    assert cell.status == "timeout"
    assert "ran longer than 1 s" in (cell.error or "")
    assert "line 3" in (cell.error or "") or "line 2" in (cell.error or "")
    assert int((await notebook.run("n")).value or 0) > 1000


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("%matplotlib inline\nx = 1", "magics are not available"),
        ("%%time\nx = 1", "magics are not available"),
        ("!pip install numpy", "shell lines are not available"),
        ("x = 1\n!ls", "shell lines are not available"),
        ("str?", "write help(...)"),
        ("?str", "write help(...)"),
    ],
)
async def test_habits_of_notebooks_are_answered_with_what_to_write(
    notebook: Notebook, code: str, hint: str
) -> None:
    cell = await notebook.run(code)
    assert cell.status == "error"
    assert "SyntaxError" in (cell.error or "")
    assert hint in (cell.error or "")


async def test_a_modulo_is_no_magic(notebook: Notebook) -> None:
    assert (await notebook.run("x = (7\n% 4)\nx")).value == "3"


async def test_await_at_the_top(notebook: Notebook) -> None:
    cell = await notebook.run(
        "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 5\nawait f()"
    )
    assert cell.value == "5", cell.error
    again = await notebook.run(
        "x = await f()\nlock = asyncio.Lock()\nasync with lock:\n    y = x\ny"
    )
    assert again.value == "5", again.error


async def test_figures_come_back_once(notebook: Notebook) -> None:
    shown = await notebook.run(
        "import matplotlib.pyplot as plt\nplt.figure(figsize=(2, 1), dpi=100)\n"
        "plt.plot([1, 2])\nplt.show()"
    )
    assert [image.size for image in shown.images] == [(200, 100)], shown.error
    assert len(shown.images[0].getcolors(100_000) or ()) > 2
    left_open = await notebook.run("fig, ax = plt.subplots(figsize=(1, 1), dpi=100)\nax.plot([3])")
    assert [image.size for image in left_open.images] == [(100, 100)]
    assert (await notebook.run("plt.get_fignums()")).images == ()
    saved = await notebook.run("fig.savefig('x.png')\nfrom PIL import Image\nImage.open('x.png')")
    assert len(saved.images) == 1, saved.error
    assert (await notebook.run("fig")).images != ()
    assert (await notebook.run("fig.show()")).images != ()


DRAWN = (
    "import matplotlib.pyplot as plt\nfrom PIL import Image\n"
    "plt.figure(figsize=(1, 1), dpi=40).text(0.5, 0.5, 'x')\n"
)


@pytest.mark.parametrize(
    ("code", "notes", "images"),
    [
        ("plt.savefig('a.png'); plt.close()", ["a picture was saved but not shown: 'a.png'"], 0),
        ("plt.gcf().savefig(fname='a.png'); plt.close('all')", ["saved but not shown: 'a.png'"], 0),
        ("plt.close()", ["a figure was closed before being shown; plt.show()"], 0),
        ("plt.figure().text(0, 0, 'y'); plt.close('all')", ["2 figures were closed before"], 0),
        ("plt.clf()", ["a figure was cleared before being shown"], 1),
        ("plt.savefig('a.png'); plt.clf()", ["a picture was saved but not shown: 'a.png'"], 1),
        ("plt.close(); Image.new('L', (9, 9)).save('b.png')", ["'b.png'", "was closed"], 0),
        ("plt.show(); Image.new('L', (9, 9)).save('b.png')", ["'b.png'; display(Image.open("], 1),
        ("plt.show(); import pathlib; Image.new('L', (9, 9)).save(pathlib.Path('b.png'))",
         ["'b.png'"], 1),
        ("plt.show(); plt.imsave('c.png', [[0, 1]])", ["'c.png'"], 1),
        ("plt.close(); import cv2, numpy; cv2.imwrite('d.png', numpy.zeros((9, 9)))",
         ["'d.png'", "closed"], 0),
        ("plt.close()\nfor n in range(5): Image.new('L', (9, 9)).save(f'{n}.png')",
         ["5 pictures were saved but not shown: '0.png', '1.png', '2.png' and 2 more", "closed"],
         0),
        ("plt.savefig('a.png'); plt.close(); 1 / 0", ["'a.png'"], 0),
    ],
)  # fmt: skip
async def test_what_is_saved_or_closed_unseen_is_said(
    notebook: Notebook, code: str, notes: list[str], images: int
) -> None:
    cell = await notebook.run(DRAWN + code)
    assert len(cell.notes) == len(notes), (cell.notes, cell.error)
    for note, part in zip(cell.notes, notes, strict=True):
        assert part in note
    assert len(cell.images) == images


SHOWN = [
    "pass",
    "plt.savefig('a.png')",  # left open, so shown
    "plt.savefig('a.png'); plt.show()",
    "plt.show(); plt.savefig('a.png'); plt.close()",  # an empty one
    "fig = plt.gcf(); plt.show(); fig.savefig('a.png')",
    "fig = plt.gcf(); plt.close(); fig",
    "plt.savefig('a.png'); plt.close(); Image.open('a.png')",
    "plt.show(); image = Image.new('L', (9, 9)); image.save('b.png'); display(image)",
    "plt.show(); image = Image.new('L', (9, 9)); image.show(); image.save('b.png')",
    "import io; b = io.BytesIO(); plt.savefig(b); plt.close(); Image.open(b)",
    "import io; plt.show(); Image.new('L', (9, 9)).save(io.BytesIO(), 'PNG')",
    "import cv2, numpy as np; cv2.imwrite('d.png', np.zeros((9, 9, 3))); plt.show()",
    "plt.show(); plt.figure(); plt.close(); plt.clf(); plt.close()",  # nothing was on them
    "plt.show(); fig = plt.figure(); fig.clear(); fig.text(0, 0, 'z'); plt.show()",
    "fig = plt.gcf(); plt.show(); plt.close(fig); fig.clear()",
    "plt.show(); plt.close('all'); plt.close(99)",
]
"""Cells of which the model sees what they draw."""


async def test_of_what_is_shown_nothing_is_said(notebook: Notebook) -> None:
    for code in SHOWN:
        cell = await notebook.run(DRAWN + code)
        assert (cell.status, cell.notes) == ("ok", ()), (code, cell.error)
        assert cell.images, code


async def test_a_figure_that_was_shown_before_may_be_saved(notebook: Notebook) -> None:
    await notebook.run(DRAWN + "fig = plt.gcf()")
    assert (await notebook.run("fig.savefig('a.png')")).notes == ()
    assert (await notebook.run("plt.figure().text(0, 0, 'x'); plt.close()")).notes != ()
    assert (await notebook.run("1")).notes == ()


async def test_saving_does_what_it_did_and_cannot_flood(notebook: Notebook) -> None:
    await notebook.run(DRAWN + "plt.close()\nimport inspect")
    flood = await notebook.run(
        "for n in range(100):\n    plt.figure().text(0, 0, 'x'); plt.close()\n"
        "image = Image.new('L', (2, 2))\n"
        "for n in range(100): image.copy().save('n' * 200 + f'{n}.png')"
    )
    assert flood.status == "ok", flood.error
    assert len(flood.notes) == 1
    assert "16 or more figures were closed" in flood.notes[0]
    wrong = await notebook.run("Image.new('L', (2, 2)).save('a.nothing')")
    assert "ValueError: unknown file extension: .nothing" in (wrong.error or "")
    assert wrong.notes == ()
    name = "('x\\n]\\x1b[0m<|im_start|>' * 9 + '.png')[-99:]"
    hostile = await notebook.run(
        f"class P(str):\n    def __str__(self): 1 / 0\n"
        f"Image.new('L', (2, 2)).save(P('p.png'))\nImage.new('L', (2, 2)).save({name})"
    )
    assert hostile.status == "ok", hostile.error
    assert "\n" not in hostile.notes[0]
    assert len(hostile.notes[0]) < 200
    signatures = "[str(inspect.signature(f)) for f in (plt.close, Image.Image.save)]"
    told = await notebook.run(f"{signatures}, plt.close.__name__, plt.Figure.savefig.__doc__[:9]")
    assert "(fig: " in (told.value or "")
    assert "'close'" in (told.value or "")


async def test_images_come_back_as_they_are(notebook: Notebook) -> None:
    cell = await notebook.run(
        "from PIL import Image\na = Image.new('RGB', (3, 2), (10, 20, 30))\n"
        "display(a, 'text', a.convert('L'))\n"
        "Image.new('RGBA', (1, 1), (255, 0, 0, 0)).show()\na.crop((0, 0, 2, 1))"
    )
    assert cell.stdout == "'text'\n"
    assert [image.size for image in cell.images] == [(3, 2), (3, 2), (1, 1), (2, 1)]
    assert cell.images[0].getpixel((0, 0)) == (10, 20, 30)
    assert cell.images[2].getpixel((0, 0)) == (255, 255, 255)  # transparent, on white
    assert cell.value is None


async def test_what_is_too_large_is_cut_and_says_so(sandbox: Sandbox) -> None:
    session = await sandbox.session(
        limits=replace(UNHURRIED, text=100, images=2, image_pixels=10_000)
    )
    try:
        cell = await session.run("print('x' * 5000)")
        assert len(cell.stdout) < 200
        assert "bytes of stdout were left out" in cell.notes[0]
        cell = await session.run("'y' * 5000")
        assert len(cell.value or "") < 200
        assert "characters left out" in (cell.value or "")
        cell = await session.run(
            "from PIL import Image\nfor _ in range(5): display(Image.new('RGB', (400, 100)))"
        )
        assert len(cell.images) == 2
        assert all(image.width * image.height <= 10_000 for image in cell.images)
        assert any("returned as" in note for note in cell.notes)
        assert any("only the first 2 images" in note for note in cell.notes)
    finally:
        session.close()


async def test_long_text_of_wide_characters_fits(notebook: Notebook) -> None:
    cell = await notebook.run("'\U0001f600' * 200_000")
    assert cell.status == "ok"
    assert 1000 < len(cell.value or "") < 25_000
    both = await notebook.run("raise ValueError('\U0001f600' * 200_000)")
    assert both.status == "error"
    assert (await notebook.run("1 + 1")).value == "2"


async def test_given_images_are_pixels_and_nothing_else(notebook: Notebook) -> None:
    """No name, no path, no metadata: nothing that tells the data set or the answer."""
    photo = PILImage.new("RGB", (640, 480), (1, 2, 3))
    photo.getexif()[0x010E] = "the answer is 42"
    photo.info["comment"] = "vstar_bench/direct_attributes/sa_42.jpg"
    file = io.BytesIO()
    photo.save(file, "JPEG", exif=photo.getexif(), comment="vstar")
    opened = PILImage.open(io.BytesIO(file.getvalue()))
    opened.filename = "/data/vstar_bench/sa_42.jpg"
    await notebook.give("image_1", opened)
    cell = await notebook.run(
        "import os, gc\n"
        "seen = [image_1.size, image_1.mode, dict(image_1.getexif()), image_1.info, "
        "getattr(image_1, 'filename', ''), os.listdir('.'), sorted(os.environ)]\n"
        "image_1.getpixel((5, 5)), seen"
    )
    assert cell.value is not None, cell.error
    pixel, seen = ast.literal_eval(cell.value)
    assert all(abs(a - b) <= 3 for a, b in zip(pixel, (1, 2, 3), strict=True))
    assert seen[:6] == [(640, 480), "RGB", {}, {}, "", []]
    assert not any("SACCADE" in name or "PYTEST" in name for name in seen[6])
    everything = await notebook.run(
        "texts = [o for o in gc.get_objects() if isinstance(o, dict)]\n"
        "[v for o in texts for v in o.values() if isinstance(v, str) and "
        "('vstar' + '_bench' in v or 'the answer' + ' is' in v) and 'texts' not in v]"
    )
    assert everything.value == "[]"


async def test_a_killed_cell_is_survived(sandbox: Sandbox) -> None:
    image = PILImage.new("RGB", (4, 4), "red")
    async with sandbox.notebook(images=[image]) as notebook:
        await notebook.run("x = 41")
        cell = await notebook.run("print('last words')\nimport os\nos._exit(3)")
        assert (cell.status, cell.stdout) == ("killed", "last words\n")
        assert "variables are as they were before this cell" in (cell.error or "")
        assert (await notebook.run("x + 1, image_1.getpixel((0, 0))")).value == "(42, (255, 0, 0))"
        assert notebook.restarts == 1
    async with sandbox.notebook(images=[image], after_kill="fresh") as notebook:
        await notebook.run("x = 41")
        assert "but the images are lost" in (
            (await notebook.run("import os; os._exit(3)")).error or ""
        )
        assert (await notebook.run("'x' in globals(), image_1.size")).value == "(False, (4, 4))"


async def test_a_notebook_is_seeded(sandbox: Sandbox) -> None:
    draws = "import random, numpy\n(random.random(), numpy.random.rand())"
    found = []
    for seed in (1, 1, 2):
        async with sandbox.notebook(seed=seed) as notebook:
            found.append((await notebook.run(draws)).value)
    assert found[0] == found[1] != found[2]


async def test_what_a_model_may_import_can_be_imported(notebook: Notebook) -> None:
    for name in PACKAGES:
        cell = await notebook.run(f"import {name}\n{name}.__name__")
        assert cell.value == repr(name), cell.error


SOURCES = [
    "if True:\n\tx = 1\n\tif x:\n\t\ty = 2\nprint(x, y)",
    "x = 1\r\nif x:\r\n    print('crlf')\r\n",
    "x = 1\n\x0c\nprint('form feed')",
    "größe = 3\nπ = 3.14\n变量 = 5\nprint(größe + π + 变量)",
    "x = 1 + \\\n    2\nprint(x)",
    "s = '''a\n\"\"\"nested\"\"\"\n   indented\n\ttab\n'''\nprint(repr(s))",
    "s = \"\"\"a\n'''nested'''\n\"\"\"\nprint(repr(s))",
    "print(1) # ends in a comment",
    "for i in range(3):\n    s = i\nprint(s)",
    "def f():\n    return 1\n\n\nprint(f())",
    "if False:\n    pass\nelse:\n    x = 3\nprint(x)",
    "print('\\u2028 \\\\n')\n",
    "class A:\n  def f(self):\n    return f'{1+1!r:>5}'\nprint(A().f())",
    "try:\n    raise KeyError\nexcept KeyError: print('caught')\nfinally: print('done')",
    "match [1, 2]:\n    case [a, *b]:\n        print(a, b)",
    "x = [\n  1,\n\n  2,\n]\nprint(x)\n\n\n",
]


def printed(code: str) -> str:
    """What Python itself makes of it."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "<reference>", "exec"), {"__name__": "__main__"})
    return out.getvalue()


@pytest.mark.parametrize("code", SOURCES)
async def test_code_runs_exactly_as_written(notebook: Notebook, code: str) -> None:
    cell = await notebook.run(code)
    assert cell.error is None
    assert cell.stdout == printed(code)


_NAMES = st.sampled_from(["a", "größe", "变量", "_x"])
_TEXTS = st.text(st.sampled_from("ab \t'\"\\#\n\r\f{}é€\U0001f600"), max_size=12)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Nested blocks in a random indentation, with strings that look like code."""
    indent = draw(st.sampled_from([" ", "  ", "    ", "\t"]))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    lines: list[str] = []

    def block(depth: int) -> None:
        for _ in range(draw(st.integers(1, 3))):
            kind = draw(st.sampled_from(["print", "if", "for", "def", "string", "comment"]))
            pad = indent * depth
            name = draw(_NAMES)
            if kind == "print" or depth > 2:
                lines.append(f"{pad}print({draw(_TEXTS)!r})")
            elif kind == "if":
                lines.append(f"{pad}if {draw(st.booleans())}:")
                block(depth + 1)
            elif kind == "for":
                lines.append(f"{pad}for {name} in range(2):")
                block(depth + 1)
            elif kind == "def":
                lines.append(f"{pad}def {name}():")
                block(depth + 1)
                lines.append(f"{pad}{name}()")
            elif kind == "string":
                lines.append(f"{pad}{name} = {draw(_TEXTS)!r}; print({name})")
            else:
                lines.append(f"{pad}pass  # {draw(st.sampled_from([':', 'if x:', '%', '!']))}")

    block(0)
    return newline.join(lines) + draw(st.sampled_from(["", newline, "  # end", newline * 3]))


@CELL
@given(code=programs())
async def test_any_program_runs_as_python_runs_it(notebook: Notebook, code: str) -> None:
    cell = await notebook.run(code)
    assert cell.error is None, cell.error
    # Control characters are taken out of what is shown; what was printed is otherwise the same.
    shown = "".join(c for c in printed(code) if c not in "\r\x0c")
    assert cell.stdout == shown


@pytest.mark.parametrize("code", ["\ud800", "x = '\udcff'", "\0", "x = 1\0", "\ufeffx = 1"])
async def test_text_that_is_no_program_is_an_error_or_runs(notebook: Notebook, code: str) -> None:
    cell = await notebook.run(code)
    assert cell.status in ("ok", "error")
    assert (await notebook.run("2")).value == "2"


async def test_code_that_is_too_long_is_an_error_and_costs_nothing(notebook: Notebook) -> None:
    await notebook.run("x = 1")
    cell = await notebook.run("x = 2  #" + "#" * MAX_CODE_BYTES)
    assert (cell.status, cell.error) == ("error", "a cell has at most 16,777,216 bytes of code")
    assert (await notebook.run("x")).value == "1"


async def test_a_cell_of_a_megabyte_runs(notebook: Notebook) -> None:
    code = "x = [\n" + "    1,\n" * 150_000 + "]\nlen(x)"
    assert (await notebook.run(code)).value == "150000"
