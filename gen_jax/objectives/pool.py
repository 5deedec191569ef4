"""A memory of what a generator made, for its judge (Shrivastava et al. 2017).

It is a collection of the judge: 'images' [size, H, W, C], the 'count' of those
that are there, and 'shown' [B, H, W, C], what the judge is to look at next. All
devices have the same.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.distributed import parallel

Pool = dict[str, Any]


def empty(size: int, images: jax.Array) -> Pool:
  """A pool for batches like `images`, [B, H, W, C]; of 0 it remembers none."""
  pool = {'shown': jnp.zeros_like(images)}
  if size:
    pool['images'] = jnp.zeros((size, *images.shape[1:]), images.dtype)
    pool['count'] = jnp.int32(0)
  return pool


def exchange(pool: Pool, images: jax.Array, key: jax.Array) -> Pool:
  """Puts new images in, and chooses what is shown.

  One by one, as in section 2.3 of Shrivastava et al. 2017 with the program of
  Zhu et al. 2017: while the pool is not full an image is kept and shown; then
  it is shown as it is with probability 1/2, and else takes the place of a
  random one, which is shown.

  Args:
    pool: of before.
    images: this device's, [B / devices, H, W, C].
    key: of the choices; that of the first device counts.
  """
  images = parallel.gather(images)  # [B, H, W, C]
  if 'images' not in pool:
    return {'shown': images}
  size, key_coin, key_place = len(pool['images']), *jax.random.split(key)
  chance = parallel.of_first(
    (
      jax.random.bernoulli(key_coin, shape=(len(images),)),
      jax.random.randint(key_place, (len(images),), 0, size),
    )
  )

  def put(state, inputs):
    kept, count = state
    image, swap, place = inputs
    full = count == size
    place = jnp.where(full, place, count)
    old = kept[place]
    shown = jnp.where(full & swap, old, image)
    kept = kept.at[place].set(jnp.where(full & ~swap, old, image))
    return (kept, jnp.minimum(count + 1, size)), shown

  state = pool['images'], pool['count']
  (kept, count), shown = jax.lax.scan(put, state, (images, *chance))
  return {'images': kept, 'count': count, 'shown': shown}
