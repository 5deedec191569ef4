"""Bounds of a step by a data sheet, against numbers worked out by hand."""

import jax
import pytest

from gen_jax.runtime.hlo import Collectives
from gen_jax.runtime.tpu import Topology
from gen_jax.training import roofline
from gen_jax.training.cost import DeviceCost


def cost(batch=1, peak=0, **collectives):
  found = {k.replace('_', '-'): Collectives(*v) for k, v in collectives.items()}
  return DeviceCost(batch, 197e9, 9e9, int(819e6), peak, found, 0.0, 0)


def test_a_step_is_bound_by_the_slowest_of_four_limits():
  # One millisecond of operations, and one of memory.
  one = Topology('v5e', 1, (None,))
  found = cost(all_reduce=(2, 400e6), all_gather=(1, 80e6))
  assert roofline.bound(found, one) == pytest.approx((1e-3, 1e-3, 0, 0))
  four = roofline.bound(found, Topology('v5e', 1, (None,) * 4))
  sent = 2 * 3 / 4 * 400e6 + 3 / 4 * 80e6
  assert four == pytest.approx((1e-3, 1e-3, sent / 200e9, 0))
  assert (four.name, four.seconds) == ('links', four.links)


def test_slices_exchange_over_the_network():
  found = cost(all_reduce=(2, 100e6), send=(1, 25e6))
  bound = roofline.bound(found, Topology('v5e', 2, (None,) * 8))
  sent = 2 * 3 / 4 * 100e6
  assert bound.links == pytest.approx(sent / 200e9)  # within four chips
  assert bound.network == pytest.approx(25e6 / 3.125e9)
  assert bound.name == 'network'


@pytest.mark.parametrize('most', [8, 9, 250, 256, 5000])
def test_the_largest_batch_fits_and_its_double_does_not(most):
  tried = []

  def compile_for(batch):
    tried.append(batch)
    if batch > most:
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')
    return cost(batch, peak=1000 + batch)

  found = roofline.largest_batch(cost(8, peak=1008), 1000 + most, compile_for)
  fits, refused = found
  assert fits <= most < refused == 2 * fits
  assert len(tried) == len(set(tried)) < 11
