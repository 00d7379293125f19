"""How images reach a chat server: in which format, in which message, by which name."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from building import a_task, plain
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont
from pydantic import JsonValue
from waiting import LIMIT_S

from saccade.dialects.native import Native
from saccade.env import Environment
from saccade.images.encode import EXACT_PIXELS, encode
from saccade.images.geometry import PixelBudget
from saccade.images.image import Image
from saccade.policies.openai import OpenAIOptions, OpenAIPolicy
from saccade.policies.openai.options import ImageLinks
from saccade.rollout import rollout
from saccade.runs.manifest import changes_meaning
from saccade.testing import ScriptedReply, ScriptedRequest, ScriptedServer
from saccade.tools.zoom import ZoomIn

PHOTO_SIDE = 1024


def photograph(side: int = PHOTO_SIDE) -> PILImage.Image:
    """Smooth shading with the grain of a sensor: what a PNG cannot make small."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    shades = 128 + 100 * np.stack([np.sin(5 * x + 3 * y), np.cos(7 * y), np.sin(9 * x * y)], -1)
    return PILImage.fromarray(np.clip(shades + rng.normal(0, 3, shades.shape), 0, 255).astype("u1"))


def written_page(side: int = PHOTO_SIDE) -> PILImage.Image:
    """Black text on white."""
    page = PILImage.new("RGB", (side, side), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(18)
    for line in range(side // 20):
        draw.text((4, 20 * line), "The quick brown fox 0123456789 " * 4, font=font, fill="black")
    return page


def saved(folder: Path, name: str, pixels: PILImage.Image, **how: object) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels.save(file, **how)  # type: ignore[arg-type]
    return file


def worst(sent: PILImage.Image, shown: PILImage.Image) -> int:
    return int(np.abs(np.asarray(sent, int) - np.asarray(shown, int)).max())


def test_a_photograph_that_was_resized_is_sent_as_a_near_jpeg() -> None:
    image = Image.from_pixels(photograph())
    shown = Image(image.source, image.region, type(image.size)(900, 900))
    data, media_type = shown.encoded()
    assert media_type == "image/jpeg"
    assert 2 * len(data) < len(shown.encoded("png").data)
    sent = PILImage.open(io.BytesIO(data))
    assert sent.size == shown.size, "boxes are pixels of the shown size"
    assert worst(sent, shown.pixels()) < 16
    assert sent.layer[0][1:3] == sent.layer[1][1:3], "colour is not subsampled"  # type: ignore[attr-defined]


def test_text_and_small_images_are_sent_exactly() -> None:
    side = int(EXACT_PIXELS**0.5)
    for pixels in (written_page(), photograph(side)):
        data, media_type = encode(pixels, "auto")
        assert media_type == "image/png"
        assert worst(PILImage.open(io.BytesIO(data)), pixels) == 0


@pytest.mark.parametrize("wire", ["auto", "png", "jpeg"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif"])
def test_a_file_is_kept_only_if_it_is_of_the_format(wire: str, name: str, tmp_path: Path) -> None:
    file = saved(tmp_path, name, photograph(96))
    data, media_type = Image.open(file).encoded(wire)  # type: ignore[arg-type]
    kept = {"auto": ("a.jpg", "a.png"), "png": ("a.png",), "jpeg": ("a.jpg",)}[wire]
    assert (data == file.read_bytes()) is (name in kept)
    assert media_type in (("image/jpeg", "image/png") if wire == "auto" else (f"image/{wire}",))
    assert PILImage.open(io.BytesIO(data)).format == media_type.removeprefix("image/").upper()


async def sent_in_two_turns(image: Image, **options: object) -> list[ScriptedRequest]:
    """The requests of an episode that zooms once and answers."""
    zoom: JsonValue = {"name": "image_zoom_in_tool", "arguments": '{"bbox_2d": [0, 0, 64, 64]}'}
    call: JsonValue = {"id": "1", "type": "function", "function": zoom}

    def answer(request: ScriptedRequest) -> str | ScriptedReply:
        return "B" if request.turn else ScriptedReply(tool_calls=[call, {**call, "id": "2"}])  # type: ignore[dict-item]

    with ScriptedServer(answer) as server:
        fast = {"base_url": server.url, "model": "m", "backoff_s": 0.001, "timeout_s": LIMIT_S}
        policy = OpenAIPolicy(OpenAIOptions.model_validate(fast | options))
        budget = PixelBudget(factor=1, max_pixels=10**6)
        env = Environment(Native(), [ZoomIn()], view=budget)
        try:
            done = await rollout(policy, env, a_task(image, "What?"))
        finally:
            await policy.close()
    assert done.answer == "B", done.error
    return server.requests


async def test_an_image_is_encoded_once_however_many_turns_show_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[Image] = []
    real = Image.encoded

    def counted(image: Image, wire: str = "auto") -> object:
        encoded.append(image)
        return real(image, wire)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "encoded", counted)
    first, second = await sent_in_two_turns(plain(300, 200))
    assert len(first.image_bytes) == 1
    assert len(second.image_bytes) == 3
    assert len(encoded) == 2, "the question and the crop, which two calls asked for"


def urls(request: ScriptedRequest, role: str) -> list[dict[str, JsonValue]]:
    parts = [p for m in request.messages if m["role"] == role for p in m["content"]]  # type: ignore[union-attr]
    return [p["image_url"] for p in parts if isinstance(p, dict) and p["type"] == "image_url"]  # type: ignore[misc]


async def test_images_of_tools_go_where_the_server_takes_them() -> None:
    _, second = await sent_in_two_turns(plain(300, 200))
    assert (len(urls(second, "user")), len(urls(second, "tool"))) == (3, 0)
    assert second.messages[-1]["role"] == "user"
    _, second = await sent_in_two_turns(plain(300, 200), tool_images="tool")
    assert (len(urls(second, "user")), len(urls(second, "tool"))) == (1, 2)
    roles = [m["role"] for m in second.messages]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
    assert [m["tool_call_id"] for m in second.messages[-2:]] == ["1", "2"]


async def test_the_detail_is_sent_with_every_image_or_not_at_all() -> None:
    _, second = await sent_in_two_turns(plain(300, 200), image_detail="high")
    assert [link["detail"] for link in urls(second, "user")] == ["high"] * 3
    _, second = await sent_in_two_turns(plain(300, 200))
    assert not any("detail" in link for link in urls(second, "user"))


async def test_a_file_that_is_shown_as_it_is_can_be_sent_by_its_url(tmp_path: Path) -> None:
    links = {"folder": tmp_path / "data", "url": "https://host/pictures/"}
    file = saved(tmp_path / "data", "a b/größe?.jpg", photograph(200))
    first, second = await sent_in_two_turns(Image.open(file), image_urls=links)
    where = "https://host/pictures/a%20b/gr%C3%B6%C3%9Fe%3F.jpg"
    assert [link["url"] for link in urls(first, "user")] == [where]
    mixed = [str(link["url"]) for link in urls(second, "user")]
    assert mixed[0] == where
    assert all(url.startswith("data:image/png") for url in mixed[1:]), "crops are no files"


async def test_only_files_of_the_folder_in_the_right_format_have_a_url(tmp_path: Path) -> None:
    data = tmp_path / "data"
    links = {"folder": data, "url": "https://host/x"}
    outside = saved(tmp_path, "secret.jpg", photograph(64))
    beside = saved(tmp_path / "data2", "a.jpg", photograph(64))
    webp = saved(data, "a.webp", photograph(64))
    large = saved(data, "large.jpg", photograph())
    os.symlink(outside, data / "link.jpg")
    files = [outside, beside, webp, large, data / "link.jpg", data / ".." / "secret.jpg"]
    for file in files:
        first, _ = await sent_in_two_turns(Image.open(file), image_urls=links)
        (link,) = urls(first, "user")
        assert str(link["url"]).startswith("data:image/"), file
    file = saved(data, "a.jpg", photograph(64))
    first, _ = await sent_in_two_turns(Image.open(file), image_urls=links, image_format="png")
    assert str(urls(first, "user")[0]["url"]).startswith("data:image/png")


@pytest.mark.parametrize(
    "url", ["host/data", "ftp://host/x", "https://me:pw@host/x", "https://host/x?key=1", "https://",
            "file://host/x", "file:relative"],
)  # fmt: skip
def test_a_folder_has_the_url_of_a_folder(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"URL|expected https"):
        ImageLinks(folder=tmp_path, url=url)
    assert ImageLinks(folder=tmp_path, url="file:///data").link(tmp_path / "a.png") == (
        "file:///data/a.png"
    )


def test_a_server_that_fetches_nothing_is_given_no_url(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ollama fetches no images"):
        OpenAIOptions.model_validate(
            {"base_url": "http://x/v1", "model": "m", "server": "ollama",
             "image_urls": {"folder": tmp_path, "url": "https://host"}}
        )  # fmt: skip


def test_another_encoding_is_another_run_and_another_host_is_not() -> None:
    for key in ("image_format", "image_detail", "tool_images", "send_thought"):
        assert changes_meaning(f"policy.{key}")
    assert not changes_meaning("policy.image_urls.url")
