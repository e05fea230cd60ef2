"""Colours of HDR and of wide gamuts as those of ordinary video (BT.709, SDR).

Light is in cd/m². Sources: ITU-R BT.2100 (PQ, HLG), BT.2390 (the curve that brings highlights in),
BT.2408 (diffuse white), BT.1886 (the SDR display), SMPTE RP 431-2 (P3).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

WHITE = 203.0  # diffuse white in HDR, which is the white of SDR
PEAK = 1000.0  # of the source, always: what a file says of its own peak is seldom right
GAMMA = 2.4  # of the SDR display
GRID = 33  # colours of the table along red, green and blue

# x and y of red, green and blue, by FFmpeg's number; of all, white is D65.
BT709, BT2020, P3 = 1, 9, 12
PRIMARIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
D65 = (0.3127, 0.3290)
PQ, HLG = 16, 18  # FFmpeg's numbers of the transfer functions
NAMES = {PQ: "PQ", HLG: "HLG", BT2020: "BT.2020", P3: "P3"}


@lru_cache(maxsize=8)
def table(transfer: int, primaries: int) -> str:
    """The text of a `.cube` file: BT.709 SDR for all rgb values in 0..1, red the fastest.

    transfer: PQ, HLG, or any other for SDR. primaries: one of PRIMARIES.
    """
    blue, green, red = np.meshgrid(*[np.linspace(0, 1, GRID)] * 3, indexing="ij")
    rgb = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    colours = "%.6f %.6f %.6f\n" * len(rgb) % tuple(sdr(rgb, transfer, primaries).ravel())
    return f"LUT_3D_SIZE {GRID}\n{colours}"


def sdr(rgb: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Encoded colours [n, 3] in 0..1 as BT.709 SDR; what lies outside its gamut is clipped."""
    to_709 = (np.linalg.inv(to_xyz(BT709)) @ to_xyz(primaries)).T
    if transfer == PQ:
        linear = _dimmed(from_pq(rgb) @ to_709) / WHITE
    elif transfer == HLG:
        linear = _dimmed(from_hlg(rgb, primaries) @ to_709) / WHITE
    else:
        linear = rgb**GAMMA @ to_709
    return np.asarray(np.clip(linear, 0, 1) ** (1 / GAMMA))


def to_xyz(primaries: int) -> np.ndarray:
    """The matrix [3, 3] from linear rgb to CIE XYZ; its second row are the weights of luminance."""
    x, y = np.array([*PRIMARIES[primaries], D65]).T
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    return np.asarray(xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3]))


PQ_M1, PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
PQ_C1, PQ_C2, PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
PQ_PEAK = 10_000.0


def from_pq(signal: np.ndarray) -> np.ndarray:
    """Light of a PQ signal in 0..1."""
    root = signal ** (1 / PQ_M2)
    return np.asarray(
        PQ_PEAK * (np.maximum(root - PQ_C1, 0) / (PQ_C2 - PQ_C3 * root)) ** (1 / PQ_M1)
    )


def to_pq(light: np.ndarray) -> np.ndarray:
    """The PQ signal of light."""
    power = (light / PQ_PEAK) ** PQ_M1
    return np.asarray(((PQ_C1 + PQ_C2 * power) / (1 + PQ_C3 * power)) ** PQ_M2)


HLG_A = 0.17883277
HLG_B, HLG_C = 1 - 4 * HLG_A, 0.5 - HLG_A * np.log(4 * HLG_A)
HLG_GAMMA = 1.2  # of the whole system, where the display's peak is 1000


def from_hlg(signal: np.ndarray, primaries: int) -> np.ndarray:
    """Light of an HLG signal [n, 3] in 0..1 on a display whose peak is PEAK."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - HLG_C) / HLG_A) + HLG_B) / 12)
    luminance = scene @ to_xyz(primaries)[1]
    return np.asarray(PEAK * luminance[:, None] ** (HLG_GAMMA - 1) * scene)


def _dimmed(light: np.ndarray) -> np.ndarray:
    """Light [n, 3] within WHITE: untouched up to a knee, from there PEAK rolled off to WHITE.

    The curve (BT.2390's, a Hermite spline in PQ) is that of the brightest of the three; the others
    follow in proportion, so that no hue changes.
    """
    white, peak = to_pq(np.array([WHITE, PEAK]))
    top = white / peak
    knee = 1.5 * top - 0.5
    brightest = light.max(axis=1, keepdims=True).clip(0)
    signal = np.minimum(to_pq(brightest) / peak, 1)
    t = np.maximum((signal - knee) / (1 - knee), 0)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    bent = np.where(signal < knee, signal, spline + (-2 * t**3 + 3 * t**2) * top)
    return np.asarray(light * from_pq(bent * peak) / np.maximum(brightest, 1e-9))
