"""Adversarial losses against closed forms in float64 and against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_expit

from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES

LOGITS = np.array([-30.0, -4.0, -0.3, 0.0, 0.5, 2.0, 30.0])

# (real, fake, gen) of a logit, in terms of D = s(l) or of the output itself.
CLOSED = {
  'minimax': (
    lambda x: -log_expit(x),
    lambda x: -log_expit(-x),
    lambda x: log_expit(-x),
  ),
  'non_saturating': (
    lambda x: -log_expit(x),
    lambda x: -log_expit(-x),
    lambda x: -log_expit(x),
  ),
  'least_squares': (
    lambda x: (x - 1) ** 2 / 2,
    lambda x: x**2 / 2,
    lambda x: (x - 1) ** 2 / 2,
  ),
  'wasserstein': (lambda x: -x, lambda x: x, lambda x: -x),
  # Of differences of logits: D(x) - D(x~) for the discriminator, and the
  # reverse for the generator.
  'relativistic': (
    lambda x: np.log1p(np.exp(-x)),
    np.zeros_like,
    lambda x: np.log1p(np.exp(-x)),
  ),
  'hinge': (
    lambda x: np.maximum(0, 1 - x),
    lambda x: np.maximum(0, 1 + x),
    lambda x: -x,
  ),
}


def terms(name):
  loss = ADVERSARIAL_LOSSES[name]
  return {'real': loss.real, 'fake': loss.fake, 'gen': loss.gen}


def slope(fn, logit):
  return float(jax.grad(fn)(jnp.float32(logit)))


@pytest.mark.parametrize('name', ADVERSARIAL_LOSSES)
def test_each_term_is_its_closed_form_and_keeps_the_batch(name):
  for fn, expected in zip(terms(name).values(), CLOSED[name], strict=True):
    out = fn(jnp.asarray(LOGITS, jnp.float32))
    assert out.shape == LOGITS.shape
    np.testing.assert_allclose(out, expected(LOGITS), rtol=1e-5, atol=1e-30)


def test_cross_entropies_and_gradients_are_those_of_pytorch():
  torch = pytest.importorskip('torch')
  bce = torch.nn.functional.binary_cross_entropy_with_logits
  loss = ADVERSARIAL_LOSSES['non_saturating']
  for label, fn in (
    (1.0, loss.real),
    (0.9, lambda x: loss.real(x, 0.9)),
    (0.0, loss.fake),
    (1.0, loss.gen),
  ):
    x = torch.tensor(LOGITS, requires_grad=True)
    expected = bce(x, torch.full_like(x, label), reduction='none')
    (grad,) = torch.autograd.grad(expected.sum(), x)
    ours = jnp.asarray(LOGITS, jnp.float32)
    np.testing.assert_allclose(
      fn(ours), expected.detach(), rtol=1e-5, atol=1e-12
    )
    np.testing.assert_allclose(
      jax.grad(lambda x, fn=fn: fn(x).sum())(ours), grad, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize('name', ADVERSARIAL_LOSSES)
def test_losses_and_gradients_are_finite_at_any_logit(name):
  far = jnp.array([-1e4, -100.0, 0.0, 100.0, 1e4], jnp.float32)
  for fn in terms(name).values():
    value, vjp = jax.vjp(fn, far)
    assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(vjp(jnp.ones_like(far))[0]))


def test_the_loss_of_a_certain_wrong_discriminator_is_its_logit():
  loss = ADVERSARIAL_LOSSES['minimax']
  assert float(loss.real(jnp.float32(-1e4))) == 1e4
  assert float(loss.fake(jnp.float32(1e4))) == 1e4


def test_only_the_minimax_gradient_vanishes_for_a_certain_discriminator():
  assert abs(slope(ADVERSARIAL_LOSSES['minimax'].gen, -20)) < 1e-8
  assert slope(ADVERSARIAL_LOSSES['non_saturating'].gen, -20) == pytest.approx(
    -1
  )
  for name in ('least_squares', 'wasserstein', 'hinge'):
    assert slope(ADVERSARIAL_LOSSES[name].gen, -20) <= -1


@pytest.mark.parametrize(
  'name,discriminator,optimum',
  [
    ('minimax', lambda p, q: np.log(p / q), 2 * np.log(2)),
    ('non_saturating', lambda p, q: np.log(p / q), 2 * np.log(2)),
    ('least_squares', lambda p, q: p / (p + q), 1 / 4),
  ],
)
def test_the_optimal_discriminator_is_that_of_the_docstring(
  name, discriminator, optimum
):
  loss = ADVERSARIAL_LOSSES[name]
  for p, q in ((0.5, 0.5), (0.2, 0.7)):

    def cost(x, p=p, q=q):
      return p * loss.real(x) + q * loss.fake(x)

    assert slope(cost, discriminator(p, q)) == pytest.approx(0, abs=1e-6)
  at_rest = jnp.float32(discriminator(0.5, 0.5))
  assert float(loss.real(at_rest) + loss.fake(at_rest)) == pytest.approx(
    optimum
  )
  assert float(at_rest) == loss.threshold


def test_label_smoothing_makes_the_optimal_logit_finite():
  real = ADVERSARIAL_LOSSES['minimax'].real
  assert slope(lambda x: real(x, 0.9), np.log(9)) == pytest.approx(0, abs=1e-6)
  real = ADVERSARIAL_LOSSES['least_squares'].real
  assert slope(lambda x: real(x, 0.9), 0.9) == 0
  labeled = {
    name for name, loss in ADVERSARIAL_LOSSES.items() if loss.has_label
  }
  assert labeled == {'minimax', 'non_saturating', 'least_squares'}


def test_the_losses_of_both_players_are_means_over_the_batch():
  real, fake = np.array([1.0, -2.0]), np.array([0.5, 3.0])
  for name, (of_real, of_fake, of_gen) in CLOSED.items():
    disc = of_real(real).mean() + of_fake(fake).mean()
    gen = of_gen(fake).mean()
    if name == 'relativistic':
      disc = np.log1p(np.exp(fake - real)).mean()
      gen = np.log1p(np.exp(real - fake)).mean()
    loss = ADVERSARIAL_LOSSES[name]
    assert float(loss.disc_loss(real, fake)) == pytest.approx(disc, rel=1e-5)
    assert float(loss.gen_loss(fake, real)) == pytest.approx(gen, rel=1e-5)
  smooth = ADVERSARIAL_LOSSES['least_squares'].disc_loss(real, fake, 0.9)
  expected = ((real - 0.9) ** 2 / 2).mean() + (fake**2 / 2).mean()
  assert float(smooth) == pytest.approx(expected, rel=1e-5)


def test_a_relativistic_loss_does_not_depend_on_a_constant():
  loss = ADVERSARIAL_LOSSES['relativistic']
  real, fake = jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])
  moved = loss.disc_loss(real + 7, fake + 7)
  assert float(loss.disc_loss(real, fake)) == pytest.approx(float(moved))
  equal = loss.disc_loss(real, real)
  assert float(equal) == pytest.approx(np.log(2))
