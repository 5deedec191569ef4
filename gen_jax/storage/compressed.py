"""Quantized latents of images in one small file.

The file has, after eight bytes that name the format:

  4 bytes     the length of the header
  header      JSON, deflated: the model, the numbers and the names
  range       the first interval of each dimension: its start and its width,
              float32; or of all dimensions alike
  levels      of one dimension after the other, as whole bits, or coded by
              DEFLATE or LZMA, whichever is the shortest
  4 bytes     the CRC-32 of all before

Reading it runs no code, and allocates no more than the model asks for.
"""

import dataclasses
import json
import lzma
import pathlib
import struct
import zlib
from typing import Annotated, Any, Literal

import annotated_types as at
import numpy as np
import pydantic

from gen_jax.data import inputs

SUFFIX = '.gjc'
MOST_BITS = 12
_MAGIC = b'gen_jaxD'
_MOST_HEADER = 2**26  # bytes, of a million long names
_LZMA = ({'id': lzma.FILTER_LZMA2, 'preset': 9, 'dict_size': 2**24},)


class Header(pydantic.BaseModel, extra='forbid', strict=True):
  """What a file says of itself.

  Attributes:
    model: the digest of the parameters that decode it.
    size: the number of latents of an image, Z.
    bits: of a level.
    ranges: 1, or Z with a range for each dimension.
    coding: of the levels.
    names: of the images, relative.
  """

  model: str
  size: Annotated[int, at.Ge(1)]
  bits: Annotated[int, at.Interval(ge=1, le=MOST_BITS)]
  ranges: Annotated[int, at.Ge(1)]
  coding: Literal['bits', 'deflate', 'lzma'] = 'bits'
  names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Compressed:
  """Quantized latents.

  Attributes:
    header: the numbers and the names.
    low: the start of the first interval, float32 [Z] or [1].
    width: of all intervals, float32 [Z] or [1].
    levels: of each image, int [N, Z].
  """

  header: Header
  low: np.ndarray
  width: np.ndarray
  levels: np.ndarray


def encode(content: Compressed) -> bytes:
  """Returns the content of a file."""
  header, levels = content.header, content.levels.T.ravel()
  coded = {
    'bits': _pack(levels, header.bits),
    'deflate': zlib.compress(_planes(levels, header.bits), 9),
    'lzma': lzma.compress(
      _planes(levels, header.bits), lzma.FORMAT_RAW, filters=_LZMA
    ),
  }
  coding = min(coded, key=lambda name: len(coded[name]))
  fields = header.model_copy(update={'coding': coding}).model_dump()
  text = zlib.compress(json.dumps(fields, separators=(',', ':')).encode(), 9)
  ranges = np.stack([content.low, content.width]).astype('<f4').tobytes()
  whole = b''.join(
    [_MAGIC, struct.pack('<I', len(text)), text, ranges, coded[coding]]
  )
  return whole + struct.pack('<I', zlib.crc32(whole))


def read_header(path: pathlib.Path) -> tuple[Header, bytes]:
  """Returns the header of a file and what follows it.

  Raises:
    InputError: it is no such file.
  """
  with inputs.reading(path, '--input'):
    content = inputs.read_bytes(path)
    if content[: len(_MAGIC)] != _MAGIC:
      raise ValueError('gen_jax compress of this version did not write it')
    content, check = content[:-4], content[-4:]
    if check != struct.pack('<I', zlib.crc32(content)):
      raise ValueError('it is damaged or cut off')
    start = len(_MAGIC) + 4
    (length,) = struct.unpack('<I', content[start - 4 : start])
    text = _inflate(content[start : start + length], _MOST_HEADER)
    try:
      # Python's reader takes names of files that are no Unicode.
      header = Header.model_validate(_tuples(inputs.parse_json(text.decode())))
    except pydantic.ValidationError as error:
      raise ValueError(f'its header has {inputs.invalid(error)}') from error
    if not header.names:
      raise ValueError('it has no images')
    if header.ranges not in (1, header.size):
      raise ValueError(f'its header has ranges: {header.ranges}')
    return header, content[start + length :]


def decode(path: pathlib.Path, header: Header, content: bytes) -> Compressed:
  """Returns the latents of a file whose header is read.

  Args:
    path: of the file, for messages.
    header: whose `size` is that of the model.
    content: what follows the header.

  Raises:
    InputError: it is damaged.
  """
  count = len(header.names) * header.size
  with inputs.reading(path, '--input'):
    end = 2 * header.ranges * 4
    if len(content) < end:
      raise ValueError('it is cut off')
    low, width = np.frombuffer(content[:end], '<f4').reshape(2, -1)
    if not (np.isfinite(low).all() and np.isfinite(width).all()):
      raise ValueError('a range is not finite')
    levels = _levels(content[end:], header, count)
    levels = levels.reshape(header.size, -1).T
    return Compressed(header, low, width, levels)


def _levels(coded: bytes, header: Header, count: int) -> np.ndarray:
  """Returns the levels, int [count]."""
  if header.coding == 'bits':
    return _unpack(coded, header.bits, count)
  planes = 2 if header.bits > 8 else 1
  if header.coding == 'deflate':
    whole = _inflate(coded, planes * count)
  else:
    reader = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA)
    whole = reader.decompress(coded, planes * count)
  if len(whole) != planes * count:
    raise ValueError('it is cut off')
  bytes_ = np.frombuffer(whole, np.uint8).reshape(planes, count)
  levels = bytes_[0].astype(np.int64)
  if planes == 2:
    levels += bytes_[1].astype(np.int64) << 8
  if levels.max() >= 2**header.bits:
    raise ValueError('a level is out of its range')
  return levels


def _planes(levels: np.ndarray, bits: int) -> bytes:
  """Returns the low bytes of all levels and, if there are any, the high."""
  low = (levels & 255).astype(np.uint8).tobytes()
  return low + (levels >> 8).astype(np.uint8).tobytes() if bits > 8 else low


def _pack(levels: np.ndarray, bits: int) -> bytes:
  places = np.arange(bits - 1, -1, -1)
  flags = (levels[:, None] >> places & 1).astype(np.uint8)
  return np.packbits(flags).tobytes()


def _unpack(coded: bytes, bits: int, count: int) -> np.ndarray:
  if len(coded) != -(-count * bits // 8):
    raise ValueError('it is cut off')
  flags = np.unpackbits(np.frombuffer(coded, np.uint8), count=count * bits)
  places = np.arange(bits - 1, -1, -1)
  return (flags.reshape(count, bits).astype(np.int64) << places).sum(axis=1)


def _inflate(coded: bytes, most: int) -> bytes:
  reader = zlib.decompressobj()
  whole = reader.decompress(coded, most)
  if not reader.eof and reader.decompress(reader.unconsumed_tail, 1):
    raise ValueError('it unpacks to more than its header says')
  return whole


def _tuples(value: dict[str, Any]) -> dict[str, Any]:
  """Returns fields with tuples for lists, as JSON has no tuples."""
  return {k: tuple(x) if isinstance(x, list) else x for k, x in value.items()}
