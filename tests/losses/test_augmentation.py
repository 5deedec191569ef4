"""Augmentations: what moves, by how much, and what gradients pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses.augmentation import (
  AUGMENTATIONS,
  augment,
  color,
  cutout,
  deformation,
  translation,
)

KEY = jax.random.key(0)


def images(num=200, height=16, width=8, depth=3):
  rng = np.random.default_rng(0)
  return rng.uniform(-1, 1, (num, height, width, depth)).astype(np.float32)


def test_without_strength_they_change_nothing():
  x = images(20)

  @jax.jit
  def compute(x):
    names = color, translation, cutout, deformation
    return [*(fn(x, KEY, 0.0) for fn in names), augment(x, (), KEY)]

  of_color, moved, cut, deformed, augmented = compute(x)
  np.testing.assert_allclose(of_color, x, atol=1e-6)
  np.testing.assert_array_equal(moved, x)
  np.testing.assert_array_equal(cut, x)
  np.testing.assert_allclose(deformed, x, atol=1e-6)
  np.testing.assert_array_equal(augmented, x)


def test_a_translation_is_by_whole_pixels_and_bares_zeros():
  x = images()
  out, found = np.asarray(jax.jit(translation)(x, KEY)), set()
  padded = np.pad(x, ((0, 0), (2, 2), (1, 1), (0, 0)))
  for before, after in zip(padded, out, strict=True):
    moves = [
      (dy, dx)
      for dy in range(-2, 3)  # an eighth of 16
      for dx in range(-1, 2)  # an eighth of 8
      if np.array_equal(
        after, before[2 - dy : 18 - dy, 1 - dx : 9 - dx], equal_nan=True
      )
    ]
    assert len(moves) == 1
    found |= set(moves)
  assert len(found) == 5 * 3


def test_a_deformation_continues_the_border_and_goes_with_the_side():
  deform = jax.jit(deformation)
  for size in (14, 28):
    # Far from the border a ramp's value is its place: the shift is uniform
    # within a fourteenth of the side, and the smooth field adds to it.
    ramp = np.arange(size, dtype=np.float32)[:, None, None]
    ramp = np.broadcast_to(ramp, (1000, size, size, 1))
    x = np.concatenate([ramp, np.full_like(ramp, 0.7)], axis=-1)
    out = np.asarray(deform(x, KEY))
    np.testing.assert_allclose(out[..., 1], 0.7, rtol=1e-5)
    moved = (out - x)[:, size // 2, size // 2, 0]
    expected = size / 14 * (1 / 3 + 0.6**2) ** 0.5
    assert moved.std() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize('size,window', [(8, 4), (10, 5)])
def test_a_window_is_cut_out_where_it_fits_or_in_part(size, window):
  x = np.ones((2000, size, size, 2), np.float32)
  cut = np.asarray(jax.jit(cutout)(x, KEY)) == 0
  assert np.array_equal(cut[..., 0], cut[..., 1])
  height, width = (cut[..., 0].any(axis).sum(1) for axis in (2, 1))
  np.testing.assert_array_equal(cut[..., 0].sum((1, 2)), height * width)
  assert (height.min(), height.max()) == (window // 2, window) or (
    height.min(),
    height.max(),
  ) == (window // 2 + 1, window)
  # It is as often cut off at one border as at the other.
  rows = cut[..., 0].any(2)
  places = {(int(r.argmax()), int(size - r[::-1].argmax())) for r in rows}
  assert places == {(size - end, size - start) for start, end in places}
  assert len(places) == size + 1 - window % 2
  columns = cut[..., 0].any(1)
  assert len(set(zip(rows.argmax(1), columns.argmax(1), strict=True))) > size
  middle = cut[:, size // 2, size // 2, 0].mean()
  assert middle > cut[:, 0, 0, 0].mean() > 0


def test_color_changes_by_the_ranges_of_the_paper():
  x = images(4000, 4, 4)
  out = np.asarray(jax.jit(color)(x, KEY))
  shift = out.mean((1, 2, 3)) - x.mean((1, 2, 3))
  assert -0.5 < shift.min() < -0.48 and 0.48 < shift.max() < 0.5
  # Gray stays gray: of it, brightness and contrast are all.
  gray = images(4000, 4, 4, 1)
  out = np.asarray(jax.jit(color)(gray, KEY))
  factor = out.std((1, 2, 3)) / gray.std((1, 2, 3))
  assert 0.5 < factor.min() < 0.52 and 1.48 < factor.max() < 1.5
  assert factor.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize('name', AUGMENTATIONS)
def test_each_image_has_a_draw_of_its_own_and_a_gradient(name):
  x = np.broadcast_to(images(1), (50, 16, 8, 3))

  @jax.jit
  def compute(x):
    out, vjp = jax.vjp(lambda x: augment(x, (name,), KEY), x)
    return out, *vjp(jnp.ones_like(out))

  out, gradient = map(np.asarray, compute(x))
  assert out.shape == x.shape and out.dtype == x.dtype
  assert len({image.tobytes() for image in out}) > 10
  assert np.all(np.any(gradient != 0, axis=(1, 2, 3)))
