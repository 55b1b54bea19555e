"""Uploaded pictures: right pixels from good ones, a rule from bad ones."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aiplatform.artifacts import ImageInput
from aiplatform.errors import InvalidInputError, PayloadTooLargeError, PlatformError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.image_upload import decode_upload, image_array

GRAY = ImageInput(height=4, width=6, channels=1)
COLOUR = ImageInput(height=4, width=6, channels=3, low=-1.0, high=1.0)
PROBABILITIES = TensorSpec(name="probabilities", dtype=DType.FP32, shape=(-1, 10))


def signature_for(image: ImageInput) -> Signature:
    shape = (-1, image.height, image.width, image.channels)
    return Signature(inputs=(TensorSpec(name="image", dtype=DType.FP32, shape=shape),), outputs=(PROBABILITIES,))


def picture(mode: str = "L", size: tuple[int, int] = (6, 4), color: Any = 0, form: str = "PNG", **more: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, color).save(file, form, **more)
    return file.getvalue()


def form_of(*files: bytes, boundary: str = "xyz") -> tuple[bytes, str]:
    parts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
        f"Content-Type: image/png\r\n\r\n".encode()
        + file
        + b"\r\n"
        for file in files
    )
    return parts + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def upload(*files: bytes, image: ImageInput | None = GRAY, max_pixels: int = 10_000) -> np.ndarray[Any, Any]:
    body, content_type = form_of(*files)
    signature = signature_for(image or GRAY)
    request = decode_upload(body, content_type, signature=signature, image=image, max_pixels=max_pixels)
    signature.inputs[0].check(request.inputs["image"])
    return request.inputs["image"]


def test_white_is_high_and_black_is_low() -> None:
    array = upload(picture(color=255), picture(color=0))
    assert array.shape == (2, 4, 6, 1)
    assert (array[0].min(), array[1].max()) == (255.0, 0.0)
    array = upload(picture("RGB", color=(255, 0, 0), form="PNG"), image=COLOUR)
    assert array[0, 0, 0].tolist() == [1.0, -1.0, -1.0]


def test_sizes_and_modes_are_converted() -> None:
    for mode, color in (
        ("RGB", (255, 255, 255)),
        ("RGBA", (255, 255, 255, 255)),
        ("P", 0),
        ("1", 1),
        ("LA", (255, 255)),
    ):
        assert upload(picture(mode, size=(60, 40), color=color)).shape == (1, 4, 6, 1)
    assert upload(picture("I;16", color=65535)).max() == 255.0
    assert upload(picture("L", color=255, form="JPEG")).min() > 250


def test_a_phone_picture_is_turned_upright() -> None:
    upright = Image.new("L", (4, 6), 0)
    upright.paste(255, (0, 0, 4, 3))  # the upper half is white
    turned = upright.rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise by 90 degrees to see it upright
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    array = image_array(file.getvalue(), ImageInput(height=6, width=4, channels=1), max_pixels=100)
    assert (array[:3].min(), array[3:].max()) == (255.0, 0.0)


def test_a_model_without_images_takes_no_upload() -> None:
    with pytest.raises(InvalidInputError, match="does not take image uploads"):
        upload(picture(), image=None)


def test_a_large_picture_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(PayloadTooLargeError, match=r"200 x 100 pixels; the limit is 10000 pixels \(MAX_IMAGE_PIXELS\)"):
        upload(picture(size=(200, 100)))


@pytest.mark.parametrize("side", [10_000, 30_000, 2**31 - 1])
def test_a_bomb_of_a_few_bytes_is_refused(side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )
    with pytest.raises(PayloadTooLargeError):
        upload(bomb)


def test_what_is_no_picture_is_refused() -> None:
    gif = picture(form="GIF")
    for file in (
        b"hello",
        gif,
        picture()[:40],
        picture("L", form="JPEG")[:-30][:100],
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
    ):
        with pytest.raises(InvalidInputError, match="not a readable PNG or JPEG"):
            upload(file)


def test_damaged_pictures_never_crash() -> None:
    good = picture("RGB", size=(20, 20), color=(1, 2, 3))
    chance = np.random.default_rng(7)
    for _ in range(300):
        raw = bytearray(good)
        for position in chance.integers(0, len(raw), 3):
            raw[position] = int(chance.integers(0, 256))
        try:
            upload(bytes(raw))
        except PlatformError as error:
            assert error.http_status in (400, 413)


@pytest.mark.parametrize(
    ("body", "content_type", "rule"),
    [
        (b"", "multipart/form-data", "boundary"),
        (b"", "multipart/form-data; boundary=xyz", "ends before"),
        (b"hello", "multipart/form-data; boundary=xyz", "not a multipart"),
        (form_of(picture())[0][:60], "multipart/form-data; boundary=xyz", "ends before"),
        (form_of()[0], "multipart/form-data; boundary=xyz", "no file|not a multipart|ends before"),
        (form_of(b"")[0], "multipart/form-data; boundary=xyz", "no file"),
        (form_of(picture())[0], "multipart/form-data; boundary=other", "not a multipart"),
        (form_of(picture())[0], "multipart/form-data; boundary=" + "x" * 5000, "not a multipart"),
    ],
)
def test_a_broken_form_is_told_the_rule(body: bytes, content_type: str, rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        decode_upload(body, content_type, signature=signature_for(GRAY), image=GRAY, max_pixels=100)


def test_too_many_files_are_refused() -> None:
    with pytest.raises(PayloadTooLargeError, match="at most 64 files"):
        upload(*[picture()] * 65)
