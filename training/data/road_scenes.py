"""Made-up road scenes with boxes around cars, pedestrians and signs: a data set for detectors that costs nothing.

    python manage.py data generate road-scenes --to scenes --count 1000

Each picture is a road that runs to the horizon, at some hour of the day; what is nearer is larger and lower. The folder
is in COCO's form: `annotations.json`, and the pictures in `images/`. The same seed gives the same pictures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiplatform.errors import InvalidInputError
from aiplatform.late import late_module
from training.data.dataset import Array

if TYPE_CHECKING:
    from PIL import Image, ImageDraw
else:
    Image, ImageDraw = late_module("PIL.Image"), late_module("PIL.ImageDraw")

CLASSES = ("car", "pedestrian", "sign")
ANNOTATIONS, IMAGES = "annotations.json", "images"
MOST_OBJECTS = 6
LEAST_VISIBLE = 0.6  # of a box that nearer ones cover: what is hidden more is not annotated
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


def write_road_scenes(folder: Path, *, count: int, seed: int, height: int = 96, width: int = 128) -> None:
    """Write so many pictures and their annotations.

    Raises: InvalidInputError if the folder holds something already, or count or size are too small.
    """
    if count < 1 or min(height, width) < 48:
        raise InvalidInputError(f"there must be at least 1 picture of 48x48 pixels, not {count} of {height}x{width}")
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInputError(f"'{folder}' is not empty; nothing was written")
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        picture, objects = draw_scene(np.random.default_rng([seed, number]), height=height, width=width)
        name = f"{IMAGES}/{number:06d}.png"
        picture.save(folder / name)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for kind, (left, top, right, bottom) in objects:
            box = [round(v, 2) for v in (left, top, right - left, bottom - top)]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": kind + 1, "bbox": box,
                 "area": round(box[2] * box[3], 2), "iscrowd": 0}
            )  # fmt: skip
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(CLASSES)]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    (folder / ANNOTATIONS).write_text(json.dumps(whole))


def draw_scene(random: np.random.Generator, *, height: int, width: int) -> tuple[Image.Image, list[tuple[int, Box]]]:
    """Return a picture, and what is on it: places in CLASSES with their boxes, the farthest first."""
    horizon = height * random.uniform(0.3, 0.45)
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    _draw_road(draw, random, horizon, height, width)
    objects: list[tuple[int, Box]] = []
    nearness = np.sort(random.uniform(0.15, 1.0, random.integers(1, MOST_OBJECTS + 1)))  # 0: at the horizon
    for near in nearness.tolist():
        kind = int(random.choice(len(CLASSES), p=[0.5, 0.3, 0.2]))
        ground = horizon + (height - horizon) * near * 0.95
        box = _place(random, kind, near, ground, height, width)
        (_draw_car, _draw_pedestrian, _draw_sign)[kind](draw, random, box)
        objects.append((kind, _inside(box, height, width)))
    return _as_seen(picture, random), _visible(objects)


def _draw_road(draw: ImageDraw.ImageDraw, random: np.random.Generator, horizon: float, height: int, width: int) -> None:
    sky, grass = random.integers((110, 150, 190), (170, 200, 256)), random.integers((40, 90, 30), (100, 140, 70))
    draw.rectangle((0, 0, width, horizon), fill=_colour(sky))
    draw.rectangle((0, horizon, width, height), fill=_colour(grass))
    middle, gray = width * random.uniform(0.4, 0.6), int(random.integers(70, 110))
    road = [(middle - 2, horizon), (middle + 2, horizon), (width * 1.1, height), (-width * 0.1, height)]
    draw.polygon(road, fill=(gray, gray, gray))
    for near in (0.1, 0.25, 0.45, 0.7):  # the dashes of the middle line
        top, bottom = horizon + (height - horizon) * near, horizon + (height - horizon) * near * 1.25
        x = middle + (width / 2 - middle) * near
        draw.rectangle((x - 2 * near, top, x + 2 * near, bottom), fill=(230, 230, 210))


def _place(random: np.random.Generator, kind: int, near: float, ground: float, height: int, width: int) -> Box:
    """Return the box of something that stands on the ground; sizes are for a picture's height."""
    tall = height * near * (0.26, 0.36, 0.42)[kind] * random.uniform(0.85, 1.15)
    wide = tall * (1.7, 0.38, 0.45)[kind] * random.uniform(0.9, 1.1)
    spread = (0.35, 0.45, 0.48)[kind]
    side = random.uniform(-spread, spread) if kind == 0 else random.choice([-1, 1]) * random.uniform(0.3, spread)
    middle = width * (0.5 + side * (0.3 + 0.7 * near))
    return middle - wide / 2, ground - tall, middle + wide / 2, ground


def _draw_car(draw: ImageDraw.ImageDraw, random: np.random.Generator, box: Box) -> None:
    left, top, right, bottom = box
    tall, wide = bottom - top, right - left
    body = _colour(random.choice([(200, 30, 30), (30, 60, 190), (235, 235, 235), (20, 20, 25), (220, 190, 40)]))
    draw.rectangle((left, top + tall * 0.4, right, bottom - tall * 0.12), fill=body)
    draw.polygon(
        [(left + wide * 0.15, top + tall * 0.42), (left + wide * 0.28, top), (right - wide * 0.28, top),
         (right - wide * 0.15, top + tall * 0.42)], fill=body,
    )  # fmt: skip
    draw.rectangle((left + wide * 0.3, top + tall * 0.1, right - wide * 0.3, top + tall * 0.36), fill=(150, 190, 210))
    for middle in (left + wide * 0.2, right - wide * 0.2):
        draw.ellipse((middle - tall * 0.16, bottom - tall * 0.32, middle + tall * 0.16, bottom), fill=(10, 10, 10))


def _draw_pedestrian(draw: ImageDraw.ImageDraw, random: np.random.Generator, box: Box) -> None:
    left, top, right, bottom = box
    tall, middle = bottom - top, (left + right) / 2
    coat = _colour(random.integers(20, 230, 3))
    draw.ellipse((middle - tall * 0.1, top, middle + tall * 0.1, top + tall * 0.2), fill=(222, 184, 150))
    draw.rectangle((left, top + tall * 0.2, right, top + tall * 0.6), fill=coat)
    for side in (left, middle + (right - middle) * 0.25):
        draw.rectangle((side, top + tall * 0.6, side + (right - left) * 0.38, bottom), fill=(40, 40, 70))


def _draw_sign(draw: ImageDraw.ImageDraw, random: np.random.Generator, box: Box) -> None:
    left, top, right, bottom = box
    wide, middle = right - left, (left + right) / 2
    draw.rectangle((middle - wide * 0.06, top + wide * 0.5, middle + wide * 0.06, bottom), fill=(120, 120, 120))
    if random.random() < 0.5:
        draw.ellipse((left, top, right, top + wide), fill=(190, 20, 20))
        draw.ellipse((left + wide * 0.2, top + wide * 0.2, right - wide * 0.2, top + wide * 0.8), fill=(250, 250, 250))
    else:
        draw.polygon([(middle, top), (right, top + wide), (left, top + wide)], fill=(230, 200, 30))


def _as_seen(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the picture at some hour, with a sensor's noise."""
    pixels = np.asarray(picture, dtype=np.float32) * random.uniform(0.45, 1.1)
    noisy = pixels + random.normal(0, random.uniform(2, 10), pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _visible(objects: list[tuple[int, Box]]) -> list[tuple[int, Box]]:
    """Return those of which nearer ones, which come later, leave enough to be seen."""
    kept = []
    for place, (kind, box) in enumerate(objects):
        covered = max((_shared(box, other) for _, other in objects[place + 1 :]), default=0.0)
        if covered <= 1 - LEAST_VISIBLE and (box[2] - box[0]) * (box[3] - box[1]) >= 12:
            kept.append((kind, box))
    return kept


def _shared(box: Box, other: Box) -> float:
    wide = min(box[2], other[2]) - max(box[0], other[0])
    tall = min(box[3], other[3]) - max(box[1], other[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(wide, 0) * max(tall, 0) / area if area > 0 else 1.0


def _inside(box: Box, height: int, width: int) -> Box:
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))


def _colour(values: Array) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in values)
    return red, green, blue
