"""One face is found, followed, aligned and sampled; what is no face is a state, not a crash."""

import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch.nn.functional import interpolate

from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.extractors.frames import Frames
from pipeline.faces.align import SIZE_PX, TEMPLATE_PX, align, similarity
from pipeline.faces.detections import Detections
from pipeline.faces.integral_image import Grid, IntegralImages, Span
from pipeline.faces.keyframes import KeyFrameDetector
from pipeline.faces.mtcnn import Boxes, Detector, _crops
from pipeline.faces.mtcnn_networks import CropNetwork, Networks, ProposalNetwork, Scale
from pipeline.faces.scene_cuts import SceneCuts
from pipeline.faces.tracker import Face, Tracker, iou
from pipeline.faces.windows import WINDOW_PX, windows
from pipeline.media import frames
from pipeline.media.write_mp4 import write_mp4
from pipeline.stage.result import FAILED, MISSING, OK, ClipInputs, ClipResult
from pipeline.stage.steps import sample_indices
from tests.support.paths import SHARED

FEAT = importlib.util.find_spec("feat")
assert FEAT is not None
assert FEAT.origin is not None
FOOTAGE = Path(FEAT.origin).parent / "tests/data"


@cache
def footage(name: str, every: int = 1) -> list[np.ndarray]:
    return [rgb for _, rgb in frames(str(FOOTAGE / name))][::every]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a worker: threads that wait for one another on busy cores are slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one_face() -> ClipResult:
    """The faces of a clip of one person, 72 frames long."""
    (result,) = extract(FOOTAGE / "single_face.mp4")
    return result


@cache
def networks() -> Networks:
    return Networks.load("cpu")


def extract(*paths: Path, keep: bool = False, **settings: Any) -> list[ClipResult]:
    source, faces = Frames(Frames.Settings()), Faces(Faces.Settings(device="cpu", **settings))
    batch = [ClipInputs(Clip(str(i), video=str(path))) for i, path in enumerate(paths)]
    if keep:
        streams = [source.restore(kept.rows) for kept in source.extract(batch)]
    else:
        streams = [dict(source.stream(inputs)) for inputs in batch]
    given = [ClipInputs(b.clip, stream) for b, stream in zip(batch, streams, strict=True)]
    return list(faces.extract(given))


def face(time_s: float, x: float, size: float = 50, y: float = 10, who: int = 0) -> Face:
    box = np.array([x, y, x + size, y + size], np.float32)
    coarse = np.random.default_rng(who).integers(0, 256, (7, 7, 3), np.uint8)
    image = cv2.resize(coarse, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_NEAREST)
    return Face(time_s, box, np.zeros((5, 2), np.float32), 1.0, image)


def follow(
    seen: Sequence[Sequence[Face]], cuts: Sequence[int] = (), **settings
) -> tuple[int, list[Face]]:
    """The number of tracks and the faces of the largest, at ten frames a second."""
    tracker = Tracker(**{"min_iou": 0.3, "max_gap_s": 0.5, **settings})
    for i, faces in enumerate(seen):
        tracker.add(i / 10, list(faces), i in cuts)
    return len(tracker.tracks), tracker.largest.faces if tracker.largest else []


def dots(at: np.ndarray, size: tuple[int, int], spread: float) -> np.ndarray:
    """A dark picture with a soft bright dot at each point."""
    y, x = np.mgrid[: size[0], : size[1]]
    light = sum(np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * spread**2)) for u, v in at)
    return np.repeat((255 * np.clip(light, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def centre_of_light(image: np.ndarray, near: np.ndarray, reach: int = 8) -> np.ndarray:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    light = image[..., 0] * (np.hypot(x - near[0], y - near[1]) < reach)
    return np.array([(x * light).sum(), (y * light).sum()]) / light.sum()


def room(frames: int) -> list[np.ndarray]:
    """Two people side by side, the one on the left nearer."""
    far, near = footage("single_face.mp4"), footage("WolfgangLanger_Pexels.mp4")
    below = ((0, 44), (0, 0), (0, 0))
    return [
        np.hstack([cv2.resize(b, (320, 180)), np.pad(cv2.resize(a, (240, 136)), below)])
        for a, b in zip(far[:frames], near[:frames], strict=True)
    ]


@pytest.mark.parametrize(
    "name", ["single_face.mp4", "WolfgangLanger_Pexels.mp4", "face_noface.mov"]
)
def test_detections_agree_with_facenet_pytorch(name):
    from facenet_pytorch import MTCNN

    reference = MTCNN(min_face_size=40, keep_all=True, select_largest=False)
    pictures = footage(name, every=24)[:5]
    for picture, found in zip(pictures, detector().detect(pictures), strict=True):
        boxes, probabilities, landmarks = reference.detect(picture, landmarks=True)
        if boxes is None:
            assert len(found.boxes) == 0
            continue
        assert len(found.boxes) == len(boxes)
        order = np.argsort(-probabilities.astype(float))
        boxes, landmarks = boxes[order].astype(float), landmarks[order].astype(float)
        assert iou(found.boxes, boxes).diagonal().min() > 0.9999
        np.testing.assert_allclose(found.landmarks, landmarks, atol=1e-2)
        np.testing.assert_allclose(
            found.probabilities, probabilities[order].astype(float), atol=1e-5
        )


def detector(min_face_px: int = 40) -> Detector:
    return Detector(networks(), min_face_px)


def test_a_picture_s_faces_do_not_depend_on_its_batch():
    pictures = footage("face_noface.mov", every=40)
    together = detector().detect(pictures)
    for picture, found in zip(pictures, together, strict=True):
        (alone,) = detector().detect([picture])
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(found.landmarks, alone.landmarks, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (2, 400), (39, 39), (40, 40), (13, 700)])
@pytest.mark.parametrize("min_face_px", [12, 41])
def test_pictures_without_room_for_a_face_are_no_error(size, min_face_px):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, *size, 3), np.uint8)
    assert [len(found.boxes) for found in detector(min_face_px).detect(list(pictures))] == [0, 0]


def test_boxes_outside_the_picture_show_nothing():
    box = torch.tensor([[-90.0, -90, -50, -50], [5, 5, 25, 25], [300, 5, 340, 45]])
    pictures = IntegralImages.of([np.full((40, 60, 3), 200, np.uint8)])
    found = Boxes(box, torch.ones(3), torch.zeros(3, dtype=torch.int64))
    crops, inside = _crops(pictures, found, 24)
    assert crops.shape == (3, 3, 24, 24)
    assert inside.tolist() == [False, True, False]


@pytest.mark.parametrize("size", [(7, 5), (24, 24), (61, 130), (400, 230)])
def test_integral_images_resize_as_torch_does_by_area(size):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 420, 250, 3), np.uint8)
    pixels = (torch.as_tensor(pictures).permute(0, 3, 1, 2).float() - 127.5) / 128
    integrals = IntegralImages.of(list(pictures))
    rows, columns = (
        Span.of(torch.arange(n), n, whole) for n, whole in zip(size, (420, 250), strict=True)
    )
    expected = interpolate(pixels, size=size, mode="area")
    torch.testing.assert_close(
        integrals.cells(Grid.of(rows, columns, 250)), expected, atol=1e-6, rtol=0
    )
    boxes = torch.tensor([[1.0, 1, 250, 420], [31, 11, 90, 70]])
    found = Boxes(boxes, torch.ones(2), torch.tensor([0, 1]))
    crops, _ = _crops(integrals, found, 48)
    torch.testing.assert_close(
        crops[1:], interpolate(pixels[1:, :, 10:70, 30:90], size=48, mode="area"), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("size", [(12, 12), (13, 40), (37, 52), (300, 431)])
def test_the_proposal_network_is_facenet_pytorch_s(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    pixels = (torch.as_tensor(picture).permute(2, 0, 1).float() - 127.5) / 128
    scale = Scale(1.0, *size)
    with torch.inference_mode():
        found = ProposalNetwork("cpu")(IntegralImages.of([picture]), [scale])
        corrections, probabilities = PNet()(pixels[None])
    assert (scale.rows, scale.columns) == probabilities.shape[2:]
    torch.testing.assert_close(
        torch.sigmoid(found[0, :, 0]), probabilities[0, 1].flatten(), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(found[0, :, 1:].T, corrections[0].flatten(1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(CropNetwork.refinement, RNet), (CropNetwork.output, ONet)]
)
def test_the_networks_on_crops_are_facenet_pytorch_s(ours, theirs):
    network = ours("cpu")
    crops = torch.randn(3, 3, network.side_px, network.side_px, generator=torch.manual_seed(0))
    with torch.inference_mode():
        found = network(crops.contiguous(memory_format=torch.channels_last))
        *corrections, probabilities = theirs()(crops)
    expected = torch.cat([probabilities[:, 1:], *corrections], 1)
    found = torch.cat([torch.sigmoid(found[:, :1]), found[:, 1:]], 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_output_network_finds_a_face_again_where_it_was():
    pictures = footage("single_face.mp4")[:20:10] + footage("face_noface.mov")[:1]
    whole = detector().detect(pictures)
    squares = [whole[0].squares, np.zeros((0, 4), np.float32), whole[2].squares]
    found = detector().look(pictures, squares)
    assert [len(f.boxes) for f in found] == [1, 0, 1]
    for k in (0, 2):
        np.testing.assert_allclose(found[k].boxes, whole[k].boxes, atol=1e-2)
        np.testing.assert_allclose(found[k].landmarks, whole[k].landmarks, atol=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_finds_the_same_faces():
    pictures = footage("single_face.mp4")[:20:10] + footage("face_noface.mov")[::80]
    on_cuda = Detector(Networks.load("cuda"), 40).detect(pictures)
    for found, expected in zip(on_cuda, detector().detect(pictures), strict=True):
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.1)


def tracked(pictures: Sequence[np.ndarray], every: int, ratio: float = 2.5) -> list[Detections]:
    """What is found in each picture with a key frame every so many, faces from 30 px on."""
    found: list[Detections] = []
    faces = KeyFrameDetector(detector(30), min_iou=0.3)
    for window in windows(enumerate(pictures), every, 16, SceneCuts(ratio)):
        before = found[-1] if found else None
        found += faces.detect([window], [before])[0].faces[window.follows :]
    assert len(found) == len(pictures)
    return found


@pytest.mark.parametrize("name", ["single_face.mp4", "face_noface.mov"])
def test_tracked_faces_agree_with_those_of_the_cascade(name):
    pictures = footage(name)[44:85]
    overlaps, errors = [], []
    exact = detector(30).detect(pictures)
    for found, expected in zip(tracked(pictures, 8), exact, strict=True):
        assert len(found.boxes) == len(expected.boxes)
        if len(found.boxes):
            width = expected.boxes[0, 2] - expected.boxes[0, 0]
            overlaps.append(iou(found.boxes, expected.boxes)[0, 0])
            errors.append(np.hypot(*(found.landmarks[0] - expected.landmarks[0]).T).mean() / width)
    assert np.median(overlaps) > 0.93
    assert np.percentile(overlaps, 5) > 0.8
    assert np.median(errors) < 0.03


def test_most_frames_are_seen_by_the_output_network_alone(monkeypatch):
    seen: list[int] = []
    whole = Detector.detect

    def noted(self: Detector, some: Sequence[np.ndarray]) -> list[Detections]:
        seen.extend(id(rgb) for rgb in some)
        return whole(self, some)

    monkeypatch.setattr(Detector, "detect", noted)
    pictures = footage("single_face.mp4")[:25]
    tracked(pictures, 8)
    assert seen == [id(pictures[i]) for i in (0, 8, 16, 24)]


def test_a_face_that_comes_and_goes_between_key_frames_is_found():
    pictures = [rgb.copy() for rgb in footage("single_face.mp4")[:17]]
    (face,) = detector().detect(pictures[:1])
    left, top, right, bottom = face.boxes[0].astype(int)
    for i in {*range(17)} - {*range(5, 12)}:
        pictures[i][top - 30 : bottom + 30, left - 30 : right + 30] = 128
    found = tracked(pictures, 8, ratio=1e9)
    assert [i for i, faces in enumerate(found) if len(faces.boxes)] == [5, 6, 7, 8, 9, 10, 11]


def test_nothing_is_carried_over_a_cut():
    here, there = footage("single_face.mp4")[:6], footage("WolfgangLanger_Pexels.mp4")[:5]
    pictures = here + [np.roll(rgb, 90, axis=1) for rgb in here] + there
    (window,) = windows(enumerate(pictures), 16, 20, SceneCuts(2.5))
    assert {5, 6, 11, 12} <= set(window.keys)
    exact = detector(30).detect(pictures)
    for found, expected in zip(tracked(pictures, 16), exact, strict=True):
        assert iou(found.boxes, expected.boxes).diagonal().min() > 0.8


def test_two_people_are_tracked_at_once():
    pictures = room(17)
    for found, expected in zip(tracked(pictures, 8), detector(30).detect(pictures), strict=True):
        assert len(found.boxes) == len(expected.boxes) == 2
        assert iou(found.boxes, expected.boxes).max(axis=1).min() > 0.75


def test_key_frames_do_not_depend_on_the_size_of_windows():
    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 256, (2, 20, 30, 3), np.uint8)
    pictures = [scenes[int(10 <= i < 15)] for i in range(30)]
    keys = set()
    for size in (1, 8, 50):
        start, at = 0, []
        for window in windows(enumerate(pictures), 4, size, SceneCuts(2.5)):
            at += [window.frames[k][0] for k in window.keys]
        assert start == at[0]
        keys.add(tuple(sorted(set(at))))
    assert keys == {(0, 4, 8, 9, 10, 12, 14, 15, 16, 20, 24, 28, 29)}


def test_few_large_pictures_are_held_at_a_time():
    large = np.broadcast_to(np.zeros(1, np.uint8), (3000, 4000, 3))
    held = [len(w.frames) for w in windows(((i, large) for i in range(9)), 8, 16, SceneCuts(2.5))]
    assert max(held) * 12_000_000 <= WINDOW_PX
    assert sum(held) - len(held) + 1 == 9


@pytest.mark.parametrize("batch_clips", [1, 2])
def test_a_clip_with_more_to_search_than_its_limit_fails_and_no_other(tmp_path, batch_clips):
    short, long = tmp_path / "short.mp4", tmp_path / "long.mp4"
    pictures = footage("single_face.mp4")[:24]
    write_mp4(short, pictures[:4], 24)
    write_mp4(long, pictures, 24)
    a_picture = detector().searched_px(pictures[0].shape[:2])
    assert 1.1 < a_picture / pictures[0][..., 0].size < 1.3
    limit: dict[str, Any] = {"search_limit_gpx": 4.5 * a_picture / 1e9, "detect_every": 1}
    failed, ok = extract(long, short, batch_clips=batch_clips, batch_frames=4, **limit)
    assert (failed.state, ok.state) == (FAILED, OK)
    assert "raise `search_limit_gpx` of faces in stages.yaml" in failed.reason
    assert failed.reason.endswith(f": {long}")


def test_pictures_of_another_size_begin_anew():
    pictures = [np.zeros((20, 30 + 2 * (i > 4), 3), np.uint8) for i in range(9)]
    found = list(windows(enumerate(pictures), 8, 16, SceneCuts(2.5)))
    assert [(len(w.frames), w.follows) for w in found] == [(5, False), (4, False)]


def test_similarity_recovers_turn_scale_and_shift():
    turn = 0.4
    matrix = 2.5 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.random.default_rng(0).normal(size=(5, 2))
    found = similarity(points, points @ matrix.T + (3, -7))
    np.testing.assert_allclose(found, np.column_stack([matrix, (3, -7)]), atol=1e-12)


def test_similarity_is_the_least_squares_fit():
    rng = np.random.default_rng(1)
    points, targets = rng.normal(size=(2, 5, 2))
    x, y = points.T
    one, nil = np.ones(5), np.zeros(5)
    lines = np.vstack([np.column_stack([x, -y, one, nil]), np.column_stack([y, x, nil, one])])
    a, b, u, v = np.linalg.lstsq(lines, targets.T.reshape(-1))[0]
    np.testing.assert_allclose(similarity(points, targets), [[a, -b, u], [b, a, v]], atol=1e-12)


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.3, 5.5])
def test_alignment_puts_landmarks_on_the_template(scale):
    turn = np.deg2rad(20)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    landmarks = (TEMPLATE_PX - 56) @ rotation.T * scale + (260, 230)
    image = align(dots(landmarks, (480, 520), spread=2 * scale), landmarks)
    assert image.shape == (SIZE_PX, SIZE_PX, 3)
    for point in TEMPLATE_PX:
        np.testing.assert_allclose(centre_of_light(image, point), point, atol=0.1)


def test_alignment_of_a_face_at_the_edge_is_black_outside():
    image = align(np.full((40, 40, 3), 200, np.uint8), TEMPLATE_PX * 3 - 300)
    assert image.shape == (SIZE_PX, SIZE_PX, 3)
    assert image[0, 0, 0] == 0


def test_alignment_averages_fine_detail_away():
    stripes = np.zeros((900, 900, 3), np.uint8)
    stripes[:, ::2] = 255
    image = align(stripes, TEMPLATE_PX * 8)
    assert image[20:90, 20:90].std() < 2


def test_real_faces_come_out_upright_and_centred(one_face):
    enlarged = [cv2.resize(image, None, fx=2, fy=2) for image in one_face.rows["images"]]
    found = [d.landmarks[0] / 2 for d in detector().detect(enlarged) if len(d.landmarks)]
    assert len(found) > 28
    assert np.abs(np.mean(found, axis=0) - TEMPLATE_PX).mean() < 2.5


def test_the_larger_of_two_tracks_is_followed():
    count, largest = follow([[face(i / 10, 0, 40), face(i / 10, 100 + i, 60)] for i in range(10)])
    assert count == 2
    assert [f.box[0] for f in largest] == [100 + i for i in range(10)]


def test_a_long_small_track_beats_a_short_large_one():
    seen = [[face(i / 10, 0, 40)] + [face(i / 10, 100, 80)] * (i == 3) for i in range(10)]
    assert len(follow(seen)[1]) == 10


def test_the_largest_track_is_remembered_after_it_ended():
    seen = [[face(i / 10, 100 * (i // 8), 40 if i < 8 else 30)] for i in range(24)]
    count, largest = follow(seen, max_gap_s=0)
    assert count == 3
    assert [f.time_s for f in largest] == [i / 10 for i in range(8)]


def test_a_short_gap_is_bridged_and_a_long_one_ends_the_track():
    seen = [[] if 3 <= i < 7 else [face(i / 10, 0)] for i in range(12)]
    assert follow(seen, max_gap_s=0.6)[0] == 1
    count, largest = follow(seen, max_gap_s=0.4)
    assert count == 2
    assert [f.time_s for f in largest] == [0.7, 0.8, 0.9, 1.0, 1.1]


def test_frames_far_apart_are_still_consecutive():
    assert follow([[face(i / 10, 0)] for i in range(5)], max_gap_s=0)[0] == 1


def test_a_cut_ends_a_track_even_where_faces_overlap():
    count, largest = follow([[face(i / 10, 0)] for i in range(10)], cuts=[4])
    assert (count, len(largest)) == (2, 6)


def test_people_who_pass_each_other_keep_their_tracks():
    seen = [[face(i / 10, 8 * i), face(i / 10, 160 - 8 * i, 60, y=45)] for i in range(20)]
    count, largest = follow(seen)
    assert count == 2
    assert len({f.box[1] for f in largest}) == 1


def test_no_faces_make_no_track():
    assert follow([[], []]) == (0, [])


def test_a_clip_of_two_people_follows_the_larger_one(tmp_path):
    write_mp4(tmp_path / "two.mp4", room(12))
    (result,) = extract(tmp_path / "two.mp4", min_face_px=30)
    (two,) = detector(30).detect(room(1))
    areas = np.prod(two.boxes[:, 2:] - two.boxes[:, :2], axis=1)
    assert len(areas) == result.rows["tracks"] == 2
    followed = iou(result.rows["boxes"], two.boxes[[areas.argmax()]])
    assert len(followed) == 12
    assert followed.min() > 0.6


def test_faces_are_sampled_from_the_frames_that_have_one(one_face):
    times = np.array([time for time, _ in frames(str(FOOTAGE / "single_face.mp4"))])
    assert one_face.length == 32
    np.testing.assert_array_equal(one_face.rows["times"], times[sample_indices(len(times))])
    assert one_face.rows["frames_with_face"] == one_face.rows["track_frames"] == 72
    assert one_face.rows["frames_without_face"] == 0
    np.testing.assert_array_equal(one_face.rows["track_span"], times[[0, -1]])


def test_frames_without_a_face_are_dropped_and_counted(tmp_path):
    scenes = footage("no_face.mp4")[:6] + footage("face_noface.mov")[:6]
    write_mp4(tmp_path / "half.mp4", scenes, fps=10)
    (result,) = extract(tmp_path / "half.mp4")
    assert (result.rows["frames_with_face"], result.rows["frames_without_face"]) == (6, 6)
    np.testing.assert_allclose(result.rows["times"], np.arange(6, 12) / 10, atol=1e-6)
    assert result.length == 6


def test_rows_are_as_declared(one_face):
    extractor = Faces(Faces.Settings())
    assert next(iter(extractor.writes())) == "images"
    for name, field in extractor.writes().items():
        field.check(name, one_face.rows[name], 32)


def test_each_clip_has_its_own_state(tmp_path):
    write_mp4(tmp_path / "short.mp4", footage("single_face.mp4")[:4])
    write_mp4(tmp_path / "empty.mp4", footage("no_face.mp4")[:5])
    (tmp_path / "text.mp4").write_text("no video")
    names = ["short.mp4", "empty.mp4", "text.mp4", "gone.mp4", "short.mp4"]
    results = extract(*[tmp_path / name for name in names])
    assert [r.state for r in results] == [OK, MISSING, FAILED, FAILED, OK]
    assert results[1].reason == "no face in 5 frames"
    assert "can't be opened" in results[2].reason
    assert all(np.array_equal(results[0].rows[k], results[4].rows[k]) for k in results[0].rows)


def test_streamed_and_kept_frames_give_the_same_faces(tmp_path):
    write_mp4(tmp_path / "clip.mp4", footage("single_face.mp4")[:10])
    (streamed,) = extract(tmp_path / "clip.mp4")
    (kept,) = extract(tmp_path / "clip.mp4", keep=True)
    assert all(np.array_equal(streamed.rows[k], kept.rows[k]) for k in streamed.rows)


def test_the_batch_size_changes_no_face(tmp_path):
    write_mp4(tmp_path / "clip.mp4", footage("single_face.mp4")[:6])
    (one,), (many,) = (extract(tmp_path / "clip.mp4", batch_frames=n) for n in (1, 4))
    np.testing.assert_allclose(one.rows["boxes"], many.rows["boxes"], atol=1e-3)
    assert np.abs(one.rows["images"].astype(int) - many.rows["images"]).max() <= 1


@pytest.mark.parametrize("detect_every", [1, 4])
def test_clips_do_not_mix_in_a_batch(tmp_path, detect_every):
    write_mp4(tmp_path / "one.mp4", footage("single_face.mp4")[:11])
    write_mp4(tmp_path / "other.mp4", footage("WolfgangLanger_Pexels.mp4")[:6])
    (tmp_path / "text.mp4").write_text("no video")
    paths = [tmp_path / name for name in ("one.mp4", "text.mp4", "other.mp4")]
    together = extract(*paths, batch_clips=3, batch_frames=4, detect_every=detect_every)
    alone = [extract(path, detect_every=detect_every)[0] for path in paths]
    assert [r.state for r in together] == [OK, FAILED, OK] == [r.state for r in alone]
    for a, b in zip(together, alone, strict=True):
        for name in a.rows:
            np.testing.assert_allclose(
                a.rows[name].astype(float), b.rows[name], atol=1 if name == "images" else 1e-2
            )


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared footage")
def test_after_a_cut_the_close_up_is_followed():
    (result,) = extract(SHARED / "debate_cuts.mp4")
    assert result.rows["track_span"][0] > 3.5
    assert np.diff(result.rows["boxes"][:, 1::2]).min() > 80


def test_weights_are_those_that_come_with_facenet_pytorch():
    found = Faces(Faces.Settings()).weights()
    assert found.id == "facenet-pytorch/mtcnn"
    assert found.path is not None
    assert {path.name for path in found.path.glob("?net.pt")} == {"pnet.pt", "rnet.pt", "onet.pt"}
