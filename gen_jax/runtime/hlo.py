"""What the text of an optimized program says of its collective operations."""

import math
import re
from typing import NamedTuple

KINDS = (
  'all-reduce',
  'all-gather',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
)

# `%name = RESULT all-reduce(...)`; a pair of `-start` and `-done` is one. The
# parts of one that the compiler overlaps with other operations have the same
# channel.
_COLLECTIVE = re.compile(
  rf'^\s*(?:ROOT )?%?[\w.-]+ = (.*?) ({"|".join(KINDS)})(-start)?\('
  r'(?:.*channel_id=(\d+))?',
  re.M,
)
# Between slices the network's own library adds what it is sent.
_SEND = re.compile(r' = \((.*?\]).*\) send\(.*="xla_megascale_runtime"')
BETWEEN_SLICES = 'send'
_ARRAY = re.compile(r'\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]')


class Collectives(NamedTuple):
  """The operations of one kind in a program.

  Attributes:
    count: how many there are; each may have many operands.
    size: bytes of their results on one device.
  """

  count: int
  size: int


def collectives(text: str) -> dict[str, Collectives]:
  """Returns the collective operations of a program by kind.

  An operation in a loop or a branch counts once. The kind `BETWEEN_SLICES` is
  that of all-reduces between slices, each of the chips having a part.
  """
  found: dict[str, Collectives] = {}

  def add(kind, sizes):
    count, size = found.get(kind, Collectives(0, 0))
    found[kind] = Collectives(count + 1, size + sum(sizes))

  channels = set()
  for result, kind, start, channel in _COLLECTIVE.findall(text):
    if channel and (kind, channel) in channels:
      continue
    channels.add((kind, channel))
    sizes = [_bytes(*x) for x in _ARRAY.findall(result)]
    if start and kind != 'all-reduce':
      # The result holds the operands as well, and comes after them.
      sizes = sizes[len(sizes) // 2 :]
    add(kind, sizes)
  for first in _SEND.findall(text):
    add(BETWEEN_SLICES, [_bytes(*x) for x in _ARRAY.findall(first)])
  return found


def _bytes(dtype: str, shape: str) -> int:
  bits = int((re.search(r'\d+', dtype) or ['8'])[0])
  return math.prod(int(n) for n in shape.split(',') if n) * max(bits // 8, 1)
