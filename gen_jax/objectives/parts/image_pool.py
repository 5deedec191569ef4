"""Earlier images of a generator, for its discriminator.

An image pool is a collection of the discriminator: 'images' [size, H, W, C],
the 'count' of those that are there, and 'output' [B, H, W, C], the images for
its next update. All devices have the same.

References:
  Shrivastava et al., 2017, Learning from Simulated and Unsupervised Images
  through Adversarial Training, section 2.3.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.distributed import collectives

ImagePool = dict[str, Any]


def init(size: int, images: jax.Array) -> ImagePool:
  """Returns an empty pool.

  Args:
    size: how many images it holds; 0 for none.
    images: a batch like those that it gets, [B, H, W, C].
  """
  pool = {'output': jnp.zeros_like(images)}
  if size:
    pool['images'] = jnp.zeros((size, *images.shape[1:]), images.dtype)
    pool['count'] = jnp.int32(0)
  return pool


def exchange(pool: ImagePool, images: jax.Array, key: jax.Array) -> ImagePool:
  """Returns the pool with new images, and with a new output.

  One by one, as in section 2.3 of Shrivastava et al. 2017 with the program of
  Zhu et al. 2017: while the pool is not full an image is stored and put out;
  then it is put out as it is with probability 1/2, and else takes the place of
  a random one, which is put out.

  Args:
    pool: before.
    images: this device's, [B / devices, H, W, C].
    key: of the choices; that of the first device counts.
  """
  images = collectives.gather(images)  # [B, H, W, C]
  if 'images' not in pool:
    return {'output': images}
  size, key_coin, key_place = len(pool['images']), *jax.random.split(key)
  chance = collectives.broadcast_first(
    (
      jax.random.bernoulli(key_coin, shape=(len(images),)),
      jax.random.randint(key_place, (len(images),), 0, size),
    )
  )

  def put(state, inputs):
    stored, count = state
    image, swap, place = inputs
    full = count == size
    place = jnp.where(full, place, count)
    old = stored[place]
    output = jnp.where(full & swap, old, image)
    stored = stored.at[place].set(jnp.where(full & ~swap, old, image))
    return (stored, jnp.minimum(count + 1, size)), output

  state = pool['images'], pool['count']
  (stored, count), output = jax.lax.scan(put, state, (images, *chance))
  return {'images': stored, 'count': count, 'output': output}
