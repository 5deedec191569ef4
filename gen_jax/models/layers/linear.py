"""Dense layers, whose products and biases are summed in float32.

The gradient of a bias is a sum over all examples and pixels. XLA:CPU computes
it in the type of the addition, and a sum in bfloat16 stops growing once it is
256 times as large as its terms. Every layer therefore adds its bias in float32
and casts the result back.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from gen_jax.registry.fields import Dtype, Size


def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
  """Returns x + bias in the type of x, computed in float32 or wider.

  Args:
    x: [..., C].
    bias: of a shape that broadcasts to that of x, in the type of its
      parameter. If it were cast to the type of x first, its gradient would be
      summed in that type.
  """
  wide = _wide(x)
  return (x.astype(wide) + bias.astype(wide)).astype(x.dtype)


def scale_and_shift(
  x: jax.Array, scale: jax.Array, shift: jax.Array
) -> jax.Array:
  """Returns scale * x + shift in the type of x, as `add_bias` does."""
  wide = _wide(x)
  x_wide, scale, shift = (y.astype(wide) for y in (x, scale, shift))
  return (x_wide * scale + shift).astype(x.dtype)


def product(x: jax.Array, w: jax.Array) -> jax.Array:
  """Returns x @ w in the type of x, summed in float32 or wider.

  XLA:CPU multiplies bfloat16 with the instructions that processors have for it
  (AMX, AVX512-BF16) where the sum is to be float32, and not otherwise. The
  gradients of any order are such products too.

  Args:
    x: [..., C].
    w: [C, K], of the same type.
  """
  return _product(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _product(x, w):
  wide = _wide(x)
  return jnp.matmul(x, w, preferred_element_type=wide).astype(x.dtype)


_product.defvjp(
  lambda x, w: (_product(x, w), (x, w)),
  lambda xw, dy: (_product(dy, xw[1].T), _product(xw[0].T, dy)),
)


def _wide(x):
  return jnp.promote_types(x.dtype, jnp.float32)


class Dense(nn.Module):
  """Drop-in for `nn.Dense`, [..., C] -> [..., features]; see `add_bias`."""

  features: Size
  use_bias: bool = True
  dtype: Dtype = None
  param_dtype: Any = jnp.float32
  kernel_init: Callable[..., jax.Array] = nn.initializers.lecun_normal()
  bias_init: Callable[..., jax.Array] = nn.initializers.zeros_init()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns outputs, [..., features]."""
    shape = x.shape[-1], self.features
    w = self.param('kernel', self.kernel_init, shape, self.param_dtype)
    x, w = promote_dtype(x, w, dtype=self.dtype)
    y = product(x, w)
    if not self.use_bias:
      return y
    b = self.param('bias', self.bias_init, shape[1:], self.param_dtype)
    return add_bias(y, b)
