"""The document on scaling is made from the numbers that are kept."""

from launch import scaling


def test_the_document_is_made_from_the_kept_numbers():
  cache = scaling.json.loads(scaling.CACHE.read_text())
  document = (scaling.HERE / 'SCALING.md').read_text()
  assert scaling.report(cache) == document


def test_a_row_without_a_number_says_why():
  row = scaling.weak('VAE', 16)
  line = '| VAE | 16 | does not fit ||||||||'
  assert line in scaling.report({row.key: {'error': 'does not fit'}})


def test_a_step_on_more_chips_keeps_what_it_does_not_exchange():
  alone = dict(
    batch=128,
    flops=197e9,
    accessed=0.0,
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
