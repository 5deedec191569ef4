"""The document on scaling is made from the numbers that are kept."""

from launch import scaling


def test_the_document_is_made_from_the_kept_numbers():
  cache = scaling.json.loads(scaling.CACHE.read_text())
  document = (scaling.HERE / 'SCALING.md').read_text()
  assert scaling.report(cache) == document


def test_a_row_without_a_number_says_why():
  row = scaling.weak('VAE', 16)
  line = '| VAE | 16 | does not fit ||||||||||'
  assert line in scaling.report({row.key: {'error': 'does not fit'}})


def test_rows_of_a_large_model_are_derived_from_those_of_16_chips():
  found = dict(
    batch=1,
    flops=197e9,  # 1 ms
    accessed=0.0,
    traffic=0,
    peak=2**20,
    optimal=0.0,
    unknown=0,
    collectives={'all-reduce': [1, 16 / 15 * 100e6]},  # 1 ms
    parameters=1,
    state=12,
    libtpu='0',
  )
  cache = {scaling.weak('CycleGAN 256', 16).key: found}
  lines = [x.split(' | ') for x in scaling.report(cache).splitlines()]
  alone, few, least, most, many, *_, last = [
    x for x in lines if x[0] == '| CycleGAN 256' and len(x) > 10
  ]
  assert [x[2] for x in (alone, few)] == ['derived', 'compiled']
  assert alone[7:9] == ['0', '0.00']
  assert few[7:11] == ['1', '106.67', '1,000 by compute', '16,000']
  # 2 * 255 / 256 of it by 200 GB/s.
  assert many[9:11] == ['1,062 by links', '240,941']
  # The same again in two slices of 16, or a sixteenth, by 3.125 GB/s.
  assert (least[2], least[9]) == ('derived, least', '2,133 by network')
  assert (most[2], most[9]) == ('derived, most', '34,133 by network')
  assert last[9] == '51,200 by network'


def test_a_step_on_more_chips_keeps_what_it_does_not_exchange():
  alone = dict(
    batch=128,
    flops=197e9,
    accessed=0.0,
    traffic=0,
    peak=2**20,
    optimal=0.0,
    unknown=0,
    collectives={},
    parameters=1,
    state=12,
    libtpu='0',
  )  # one millisecond
  many = {**alone, 'collectives': {'all-reduce': [1, 16 / 15 * 100e6]}}  # too
  cache = {scaling.weak('VAE', n).key: x for n, x in ((1, alone), (16, many))}
  row = next(
    x
    for x in scaling.report(cache).splitlines()
    if x.startswith('| VAE | 16 |')
  )
  assert row.endswith('1,000 by compute | 2,048,000 | 100% | 50% |')
