"""A PNG or JPEG in a form upload becomes the image tensor that the manifest describes.

    curl -F image=@seven.png .../v1/models/mnist:predict

Each file is one row. Sizes are checked before a pixel is decoded.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from aiplatform.artifacts import ImageInput
from aiplatform.errors import InvalidInputError, PayloadTooLargeError
from aiplatform.tensors import Signature
from inference.protocols.messages import Array, Form, InferRequest

MULTIPART = "multipart/form-data"
MAX_FILES = 64
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def decode_upload(
    body: bytes, content_type: str, *, signature: Signature, image: ImageInput | None, max_pixels: int
) -> InferRequest:
    """Return the request in an upload, answered in the row form.

    Raises: InvalidInputError if the model takes no images, or a file is not a readable PNG or
    JPEG; PayloadTooLargeError beyond `max_pixels` or MAX_FILES.
    """
    if image is None or len(signature.inputs) != 1:
        raise InvalidInputError("this model does not take image uploads; send JSON")
    files = read_files(body, content_type)
    if not files:
        raise InvalidInputError("the upload has no file; at least one PNG or JPEG is needed")
    dtype = signature.inputs[0].dtype.numpy
    pixels = np.stack([image_array(file, image, max_pixels=max_pixels) for file in files])
    return InferRequest(inputs={signature.inputs[0].name: pixels.astype(dtype)}, form=Form.ROWS)


def read_files(body: bytes, content_type: str) -> list[bytes]:
    """Return the contents of a form's parts that have any.

    Raises: InvalidInputError if it is not a whole form; PayloadTooLargeError beyond MAX_FILES.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise InvalidInputError(f"a {MULTIPART} upload must name its boundary in Content-Type")
    reader = _Parts()
    try:
        parser = MultipartParser(
            boundary,
            {"on_part_begin": reader.begin, "on_part_data": reader.add, "on_end": reader.end},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidInputError(f"the upload is not a {MULTIPART} body: {error}") from error
    if not reader.is_whole:
        raise InvalidInputError(f"the upload ends before its last boundary '{boundary.decode('latin-1'):.80}'")
    return [file for file in map(b"".join, reader.parts) if file]


class _Parts:
    def __init__(self) -> None:
        self.parts: list[list[bytes]] = []
        self.is_whole = False

    def begin(self) -> None:
        if len(self.parts) == MAX_FILES:
            raise PayloadTooLargeError(
                f"an upload holds at most {MAX_FILES} files", limit="files in an upload", value=MAX_FILES
            )
        self.parts.append([])

    def add(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].append(data[start:end])

    def end(self) -> None:
        self.is_whole = True


def image_array(file: bytes, image: ImageInput, *, max_pixels: int) -> Array:
    """Return an image file as the model wants it.

    Shapes: (height, width, channels), float32, black is `image.low`, white `image.high`.
    Raises: InvalidInputError if it cannot be read; PayloadTooLargeError beyond `max_pixels`.
    """
    try:
        with Image.open(io.BytesIO(file), formats=("PNG", "JPEG")) as opened:
            _check_size(opened.size, max_pixels)
            picture = ImageOps.exif_transpose(opened)
            picture = _in_mode(picture, image.channels).resize((image.width, image.height), Image.Resampling.BILINEAR)
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels) from error
    except Image.DecompressionBombWarning as error:  # where warnings are errors
        raise _too_large(max_pixels) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InvalidInputError(f"the file is not a readable PNG or JPEG: {error}") from error
    pixels = np.asarray(picture, dtype=np.float32).reshape(image.height, image.width, image.channels)
    return image.low + pixels / 255.0 * (image.high - image.low)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise _too_large(max_pixels, size)


def _too_large(max_pixels: int, size: tuple[int, int] | None = None) -> PayloadTooLargeError:
    shown = f"has {size[0]} x {size[1]} pixels" if size else "is too large to open"
    return PayloadTooLargeError(
        f"the image {shown}; the limit is {max_pixels} pixels (MAX_IMAGE_PIXELS)",
        limit="image pixels",
        value=max_pixels,
        setting="MAX_IMAGE_PIXELS",
    )


def _in_mode(picture: Image.Image, channels: int) -> Image.Image:
    if channels not in _MODES:
        raise InvalidInputError(f"images of {channels} channels cannot be uploaded; send JSON")
    if picture.mode.startswith("I"):  # 16 bits a pixel; Pillow would cut off, not scale
        picture = Image.fromarray((np.asarray(picture, dtype=np.float32) / 257.0).astype(np.uint8))
    return picture.convert(_MODES[channels])
