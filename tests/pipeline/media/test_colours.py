"""Colours come out as they were meant: matrix, range, HDR, wide gamuts, any layout of pixels."""

from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media import frames

SIZE_PX = 64
LIMITED, FULL = 1, 2
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
X265 = {"x265-params": "log-level=none:pools=1"}
# Skin, greys and paints, as they look on an SDR display.
SCENE = np.array(
    [
        (0.85, 0.65, 0.55), (0.55, 0.36, 0.28), (0.30, 0.19, 0.15), (0.18, 0.18, 0.18),
        (0.43, 0.43, 0.43), (0.65, 0.65, 0.65), (0.60, 0.20, 0.20), (0.20, 0.50, 0.25),
        (0.20, 0.25, 0.60), (0.60, 0.55, 0.20), (0.05, 0.05, 0.05), (0.45, 0.30, 0.55),
    ]
)  # fmt: skip


def to_2020(linear: np.ndarray) -> np.ndarray:
    """Linear BT.709 as linear BT.2020: the matrix that ITU-R BT.2087 prints."""
    matrix = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    return linear @ np.array(matrix).T


def pq(light: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100 table 4, from cd/m²."""
    y = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(light: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100 table 5, from cd/m² on a display of 1000, through the inverse OOTF."""
    luminance = (light @ np.array([0.2627, 0.6780, 0.0593]))[:, None] / 1000
    scene = light / 1000 * luminance ** (1 / 1.2 - 1)
    low = np.sqrt(3 * scene)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, low, high)


def planes(rgb: np.ndarray, matrix: int, full: bool, bits: int) -> list[np.ndarray]:
    """Encoded rgb [n, 3] in 0..1 as y, u, v [n] in steps of `bits` bits."""
    red, blue = WEIGHTS[matrix]
    y = rgb @ np.array([red, 1 - red - blue, blue])
    u, v = (rgb[:, 2] - y) / (2 * (1 - blue)), (rgb[:, 0] - y) / (2 * (1 - red))
    scale, most = 2 ** (bits - 8), 2**bits - 1
    if full:
        parts = [most * y, most * u + 128 * scale, most * v + 128 * scale]
    else:
        parts = [(219 * y + 16) * scale, (224 * u + 128) * scale, (224 * v + 128) * scale]
    return [
        np.rint(part).clip(0, most).astype(np.uint16 if bits > 8 else np.uint8) for part in parts
    ]


def write(
    path: Path,
    colours: np.ndarray,
    pixels: str = "yuv420p10le",
    matrix: int | None = 9,
    transfer: int | None = None,
    primaries: int | None = None,
    full: bool = False,
    encoder: str = "ffv1",
) -> Path:
    """A picture of equal tiles side by side, one a colour, twice."""
    bits = 10 if "10" in pixels else 8
    yuv = planes(colours, matrix or 5, full, bits)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            encoder, rate=25, options=X265 if encoder == "libx265" else {}
        )
        stream.width, stream.height, stream.pix_fmt = SIZE_PX * len(colours), SIZE_PX, pixels
        told = {"colorspace": matrix, "color_trc": transfer, "color_primaries": primaries}
        told["color_range"] = FULL if full else LIMITED
        for name, value in told.items():
            if value is not None:
                setattr(stream.codec_context, name, value)
        for number in range(2):
            frame = av.VideoFrame(stream.width, SIZE_PX, pixels)
            for plane, values in zip(frame.planes, yuv, strict=True):
                row = values.repeat(plane.width // len(colours))
                lines = np.zeros((plane.height, plane.line_size // row.itemsize), row.dtype)
                lines[:, : plane.width] = row
                plane.update(lines.tobytes())
            for name, value in told.items():
                if value is not None:
                    setattr(frame, name, value)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shown(path: Path) -> tuple[np.ndarray, str]:
    """The colour in the middle of each tile of the first picture, 0..1, and the note."""
    clip = frames(str(path))
    ((_, rgb), *_) = list(clip)
    middles = rgb[SIZE_PX // 2, SIZE_PX // 2 :: SIZE_PX]
    return middles / 255, clip.note


@pytest.mark.parametrize("matrix", [1, 5, 6, 9, None])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_matrix_and_range_are_the_files_own(tmp_path, matrix, full, pixels):
    path = write(tmp_path / "clip.mkv", SCENE, pixels, matrix, full=full)
    colours, note = shown(path)
    np.testing.assert_allclose(colours, SCENE, atol=0.02)
    assert note == ""


@pytest.mark.parametrize(("transfer", "curve", "name"), [(16, pq, "PQ"), (18, hlg, "HLG")])
@pytest.mark.parametrize("encoder", ["ffv1", "libx265"])
def test_hdr_looks_as_the_scene_does_in_sdr(tmp_path, transfer, curve, name, encoder):
    """The scene on an SDR display whose white is diffuse white in HDR, 203 cd/m² (BT.2408)."""
    encoded = curve(to_2020(203 * SCENE**2.4))
    path = write(tmp_path / "clip.mkv", encoded, transfer=transfer, primaries=9, encoder=encoder)
    colours, note = shown(path)
    assert note == f"{name}, BT.2020 brought to BT.709, SDR"
    is_dark = SCENE.max(axis=1) < 0.66  # below the knee nothing is to change
    np.testing.assert_allclose(colours[is_dark], SCENE[is_dark], atol=0.04)
    np.testing.assert_allclose(colours, SCENE, atol=0.05)
    np.testing.assert_allclose(colours[3:6], SCENE[3:6], atol=0.012)
    np.testing.assert_allclose(colours[3:6].std(axis=1), 0, atol=0.01)  # greys stay grey


@pytest.mark.parametrize(("transfer", "curve"), [(16, pq), (18, hlg)])
def test_highlights_are_brought_in_and_keep_their_order_and_hue(tmp_path, transfer, curve):
    light = np.array([50, 100, 203, 400, 700])[:, None] * np.array([[1, 0.8, 0.6]])
    path = write(tmp_path / "clip.mkv", curve(to_2020(light)), transfer=transfer, primaries=9)
    colours, _ = shown(path)
    assert (np.diff(colours[:, 0]) > 0.004).all()
    assert 0.85 < colours[2, 0] < 0.95
    assert colours.max() == pytest.approx(1, abs=0.02)
    ratios = colours**2.4 / colours[:, :1] ** 2.4
    np.testing.assert_allclose(ratios, [[1, 0.8, 0.6]] * 5, atol=0.05)


def test_a_wide_gamut_without_hdr_is_converted(tmp_path):
    encoded = to_2020(SCENE**2.4) ** (1 / 2.4)
    path = write(tmp_path / "clip.mkv", encoded, transfer=14, primaries=9)
    colours, note = shown(path)
    assert note == "BT.2020 brought to BT.709, SDR"
    np.testing.assert_allclose(colours, SCENE, atol=0.02)


def test_hdr_that_tells_its_transfer_alone_is_taken_as_bt2020(tmp_path):
    encoded = pq(to_2020(203 * SCENE**2.4))
    colours, _ = shown(write(tmp_path / "a.mkv", encoded, transfer=16, primaries=9))
    untold = write(tmp_path / "b.mkv", encoded, transfer=16, matrix=9)
    np.testing.assert_allclose(shown(untold)[0], colours, atol=0.01)


LAYOUTS = {
    "rgb24": ("qtrle", ".mov"), "argb": ("qtrle", ".mov"), "rgba": ("png", ".mov"),
    "pal8": ("png", ".mov"), "gray": ("ffv1", ".mkv"), "gray16le": ("ffv1", ".mkv"),
    "gray10le": ("ffv1", ".mkv"), "bgr0": ("ffv1", ".mkv"), "gbrp10le": ("ffv1", ".mkv"),
    "yuva420p": ("ffv1", ".mkv"), "yuv411p": ("ffv1", ".mkv"),
    "yuv440p": ("ffv1", ".mkv"), "yuv422p10le": ("ffv1", ".mkv"), "yuv444p12le": ("ffv1", ".mkv"),
    "yuv422p16le": ("ffv1", ".mkv"), "bgr8": ("gif", ".gif"), "monob": ("png", ".mov"),
}  # fmt: skip


@pytest.mark.parametrize("pixels", LAYOUTS)
@pytest.mark.parametrize("size", [(48, 64), (37, 51)])
def test_any_layout_of_pixels_becomes_rgb(tmp_path, pixels, size):
    encoder, suffix = LAYOUTS[pixels]
    image = np.full((*size, 3), 60, np.uint8)
    image[: size[0] // 2] = 200
    if pixels in ("monob", "pal8", "bgr8"):
        image = np.where(image > 128, np.uint8(255), np.uint8(0))
    with av.open(str(tmp_path / f"clip{suffix}"), "w") as container:
        stream = container.add_stream(encoder, rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        graph = av.filter.Graph()
        nodes = [
            graph.add_buffer(width=size[1], height=size[0], format="rgb24", time_base="1/25"),
            graph.add("format", pixels),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        for number in range(2):
            graph.push(av.VideoFrame.from_ndarray(image, "rgb24"))
            frame = graph.pull()
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    pictures = [rgb for _, rgb in frames(str(tmp_path / f"clip{suffix}"))]
    assert [rgb.shape for rgb in pictures] == [(*size, 3)] * 2
    for rgb in pictures:
        assert np.abs(rgb.astype(int) - image)[[2, -3]].mean() < 12
