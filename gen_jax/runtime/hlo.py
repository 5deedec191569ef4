"""What the text of an optimized program says of communication and memory."""

import math
import re
from collections.abc import Iterator, Sequence
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
_ARRAY = re.compile(r'\b(pred|[a-z]+\d+\w*)\[([\d,]*)\](\{[^}]*\})?')

_COMPUTATION = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\{$')
# `%name = RESULT operation(%operand, ...), attribute=...`
_OPERATION = re.compile(r'^\s+(ROOT )?%?([\w.-]+) = (.*?) ([\w-]+)\((.*)$')
# Computations that an operation runs, other than fused ones.
_RUNS = re.compile(
  r'(?:body|condition|to_apply|true_computation|false_computation)='
  r'%?([\w.-]+)|branch_computations=\{([^}]*)\}'
)
# Operations that move nothing; those that end in `-done` end what has begun.
_FREE = {
  'parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'while',
  'conditional', 'call', 'after-all', 'partition-id', 'replica-id',
}  # fmt: skip
_FREE_CALLS = ('"ConcatBitcast"', '"AllocateBuffer"')
_SLICES = {'slice', 'dynamic-slice', 'gather'}


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
    sizes = [_bytes(*x[:2]) for x in _ARRAY.findall(result)]
    if start and kind != 'all-reduce':
      # The result holds the operands as well, and comes after them.
      sizes = sizes[len(sizes) // 2 :]
    add(kind, sizes)
  for first in _SEND.findall(text):
    add(BETWEEN_SLICES, [_bytes(*x[:2]) for x in _ARRAY.findall(first)])
  return found


class _Operation(NamedTuple):
  """A line of a program."""

  name: str
  result: str
  kind: str
  operands: list[str]
  line: str


def memory_traffic(text: str) -> int:
  """Returns the bytes between a chip and its memory, in a program for TPUs.

  Each operation reads its operands and writes its results, of which a part may
  be in the memory on the chip, `S(1)` in the layout of an array. That part does
  not count. Of an array that is only sliced, or updated in place, the slice
  counts. A loop counts once, and each branch.
  """
  computations, entry = _parse(text)
  results = {x.name: x.result for ops in computations.values() for x in ops}
  total, waiting, seen = 0, [entry], set()
  while waiting:
    name = waiting.pop()
    if name in seen or name not in computations:
      continue
    seen.add(name)
    for operation in computations[name]:
      total += _traffic(operation, results, computations)
      if operation.kind in ('while', 'conditional', 'call'):
        for one, several in _RUNS.findall(operation.line):
          waiting += [one] if one else re.findall(r'[\w.-]+', several)
  return total


def _parse(text: str) -> tuple[dict[str, list[_Operation]], str]:
  """Returns the operations of each computation, and which one is the entry."""
  computations: dict[str, list[_Operation]] = {}
  entry, current = '', ''
  for line in text.splitlines():
    if found := _COMPUTATION.match(line):
      current = found[2]
      computations[current] = []
      entry = current if found[1] else entry
    elif found := _OPERATION.match(line):
      _, name, result, kind, rest = found.groups()
      operands = re.findall(r'%([\w.-]+)', rest.split(')')[0])
      computations[current].append(
        _Operation(name, result, kind, operands, line)
      )
  return computations, entry


def _traffic(operation, results, computations) -> int:
  """Returns the bytes that one operation moves from and to the memory."""
  kind = operation.kind
  if kind in _FREE or kind.endswith(('-done', '-update')):
    return 0
  if kind == 'custom-call' and any(x in operation.line for x in _FREE_CALLS):
    return 0
  written = list(_arrays(operation.result))
  if kind in ('copy-start', 'slice-start'):
    # The result lists both arrays; as much is read as is written.
    moved = min(size for size, _ in written[:2])
    return sum(moved for _, outside in written[:2] if outside)
  read = [list(_arrays(results.get(x, ''))) for x in operation.operands]
  if kind in _SLICES:
    read[:1] = [[(sum(size for size, _ in written), x[1]) for x in read[0]]]
  elif kind == 'dynamic-update-slice':
    read, written = [read[1]], [(read[1][0][0], written[0][1])]
  elif kind == 'fusion':
    called = re.search(r'calls=%?([\w.-]+)', operation.line)
    inner = computations[called[1]] if called else []
    sizes_read, sizes_written = _inside(inner)
    read = [
      [(sizes_read.get(i, x[0]), x[1]) for x in arrays]
      for i, arrays in enumerate(read)
    ]
    written = [
      (sizes_written.get(i, size), outside)
      for i, (size, outside) in enumerate(written)
    ]
  return sum(
    size for arrays in (*read, written) for size, outside in arrays if outside
  )


def _inside(
  operations: Sequence[_Operation],
) -> tuple[dict[int, int], dict[int, int]]:
  """Returns the bytes that a fusion reads and writes where it uses a part.

  Returns:
    By the index of an operand, and by the index of a result.
  """
  by_name = {x.name: x for x in operations}

  def origin(name):
    while by_name[name].kind == 'bitcast':
      (name,) = by_name[name].operands
    return by_name[name]

  # Operands that are updated in place are not read.
  roots = [x for x in operations if x.line.lstrip().startswith('ROOT')]
  if roots and roots[0].kind == 'tuple':
    roots = [origin(name) for name in roots[0].operands]
  else:
    roots = [origin(x.name) for x in roots]
  written, updated = {}, set()
  for index, root in enumerate(roots):
    if root.kind == 'dynamic-update-slice':
      (size, _), *_ = _arrays(by_name[root.operands[1]].result)
      written[index] = size
      updated.add((root.name, origin(root.operands[0]).name))
  read: dict[int, int] = {}
  for parameter in operations:
    if parameter.kind != 'parameter':
      continue
    index = int(re.findall(r'parameter\((\d+)\)', parameter.line)[0])
    uses = [
      x
      for x in operations
      if x.kind != 'bitcast'
      and any(origin(y).name == parameter.name for y in x.operands)
    ]
    parts = 0
    for use in uses:
      if (use.name, parameter.name) in updated:
        continue
      if use.kind not in _SLICES or origin(use.operands[0]) != parameter:
        break
      parts += sum(size for size, _ in _arrays(use.result))
    else:
      read[index] = parts
  return read, written


def _arrays(result: str) -> Iterator[tuple[int, bool]]:
  """Yields the bytes of each array, and whether it is outside of the chip."""
  for dtype, shape, layout in _ARRAY.findall(result):
    yield _bytes(dtype, shape), not re.search(r'S\(\d\)', layout)


def _bytes(dtype: str, shape: str) -> int:
  bits = int((re.search(r'\d+', dtype) or ['8'])[0])
  return math.prod(int(n) for n in shape.split(',') if n) * max(bits // 8, 1)
