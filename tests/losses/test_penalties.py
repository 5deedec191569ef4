"""Gradient penalties: closed forms, second order, and one example at a time."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import penalties
from gen_jax.losses.penalties import gradient_penalty, zero_centered
from gen_jax.models.layers.conv import Conv

KEY = jax.random.key(0)
SLOPE = np.array([3.0, -4.0], np.float32)  # of norm 5


def arrays(*shape, seed=0):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


def linear(x):
  return x @ SLOPE


def quadratic(x):
  return 0.5 * jnp.sum(x**2, axis=-1)


def test_a_linear_score_has_its_slope_everywhere():
  x = arrays(6, 2)
  np.testing.assert_allclose(gradient_penalty(linear, x), np.full(6, 16.0))
  np.testing.assert_allclose(
    gradient_penalty(linear, x, target=7.0), np.full(6, 4.0)
  )
  np.testing.assert_allclose(zero_centered(linear, x), np.full(6, 12.5))


def test_a_quadratic_score_has_the_norm_of_its_argument():
  x = arrays(6, 2)
  norm = np.linalg.norm(x, axis=-1)
  np.testing.assert_allclose(
    gradient_penalty(quadratic, x), (norm - 1) ** 2, rtol=1e-5
  )
  np.testing.assert_allclose(
    gradient_penalty(quadratic, x, one_sided=True),
    np.maximum(0, norm - 1) ** 2,
    rtol=1e-5,
  )
  np.testing.assert_allclose(
    zero_centered(quadratic, x), norm**2 / 2, rtol=1e-5
  )


@pytest.mark.parametrize('scale', [0.0, 1e-30, 1e4])
def test_gradients_are_finite_where_the_score_is_flat_and_where_it_is_steep(
  scale,
):
  def penalty(w):
    return gradient_penalty(lambda x: x @ w, jnp.ones((3, 2))).sum()

  value, vjp = jax.vjp(penalty, jnp.full(2, scale))
  assert np.isfinite(value)
  assert np.all(np.isfinite(vjp(jnp.float32(1))[0]))


class Dense(nn.Module):
  @nn.compact
  def __call__(self, x):
    x = nn.tanh(nn.Dense(8)(x.reshape(len(x), -1)))
    return nn.Dense(1)(x)[:, 0]


class Convolutional(nn.Module):
  @nn.compact
  def __call__(self, x):
    x = nn.tanh(Conv(4, (3, 3), strides=2)(x))
    x = nn.tanh(Conv(5, (3, 3), strides=2)(x))
    return nn.Dense(1)(x.reshape(len(x), -1))[:, 0]


def in_torch(torch, critic, params, x):
  """The same critic in float64."""
  x = x.permute(0, 3, 1, 2)

  def dense(name, x):
    return x @ params[name]['kernel'] + params[name]['bias']

  if isinstance(critic, Dense):
    x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
    return dense('Dense_1', torch.tanh(dense('Dense_0', x)))[:, 0]
  for name in ('Conv_0', 'Conv_1'):
    # 'SAME' at stride 2 and an even size pads below and right alone.
    x = torch.nn.functional.pad(x, (0, 1, 0, 1))
    kernel = params[name]['kernel'].permute(3, 2, 0, 1)
    x = torch.nn.functional.conv2d(x, kernel, params[name]['bias'], stride=2)
    x = torch.tanh(x)
  x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
  return dense('Dense_0', x)[:, 0]


@pytest.mark.parametrize('critic', [Dense(), Convolutional()], ids=['d', 'c'])
@pytest.mark.parametrize('kind', ['one', 'zero'])
def test_second_order_gradients_are_those_of_pytorch_in_float64(critic, kind):
  torch = pytest.importorskip('torch')
  x = arrays(5, 8, 8, 3)
  params = critic.init(KEY, x)['params']

  def ours(params):
    def score(x):
      return critic.apply({'params': params}, x)

    return (gradient_penalty if kind == 'one' else zero_centered)(score, x)

  weights = arrays(5, seed=3)
  value = jax.jit(ours)(params)
  grads = jax.jit(jax.grad(lambda p: ours(p) @ weights))(params)

  def tensor(a, grad=True):
    return torch.tensor(np.asarray(a, np.float64), requires_grad=grad)

  theirs = jax.tree.map(tensor, params)
  inputs = tensor(x)
  score = in_torch(torch, critic, theirs, inputs).sum()
  (slope,) = torch.autograd.grad(score, inputs, create_graph=True)
  squares = slope.square().flatten(1).sum(1)
  expected = squares / 2 if kind == 'zero' else (squares.sqrt() - 1) ** 2
  (expected @ tensor(weights, False)).backward()
  np.testing.assert_allclose(value, expected.detach(), rtol=1e-4)

  def compare(ours, theirs):
    # A bias of the last layer does not reach the slope.
    theirs = np.zeros(ours.shape) if theirs.grad is None else theirs.grad
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-6)

  jax.tree.map(compare, grads, theirs)


def test_a_penalty_is_of_its_own_example_alone():
  critic, x = Convolutional(), arrays(4, 8, 8, 3)
  params = critic.init(KEY, x)
  whole = gradient_penalty(lambda x: critic.apply(params, x), x)
  changed = gradient_penalty(
    lambda x: critic.apply(params, x), x.at[1:].multiply(-3)
  )
  assert whole.shape == (4,)
  assert float(changed[0]) == pytest.approx(float(whole[0]), rel=1e-5)
  assert np.all(np.abs(changed[1:] - whole[1:]) > 1e-6)


def test_interpolates_lie_on_the_lines_between_pairs_one_point_each():
  real, fake = jnp.ones((500, 2, 3)), jnp.zeros((500, 2, 3))
  mix = np.asarray(penalties.interpolates(KEY, real, fake)).reshape(500, 6)
  assert np.ptp(mix, axis=1).max() == 0
  assert 0 <= mix.min() < 0.02 and 0.98 < mix.max() <= 1
  assert mix[:, 0].mean() == pytest.approx(0.5, abs=0.05)


def test_perturbed_data_keep_their_mean_and_gain_the_variance():
  x = 3 + jnp.zeros((4000, 2))
  out = np.asarray(penalties.perturbed(KEY, x, 0.5))
  assert out.mean() == pytest.approx(3, abs=0.03)
  assert out.std() == pytest.approx(0.5, rel=0.05)
