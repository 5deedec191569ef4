"""The forms of a computation that has its own for the CPU."""

import contextlib

from gen_jax.models.layers import platforms

# Contexts of tracing: the form for the platform of the tests, and the other.
FORMS = {
  'this platform': contextlib.nullcontext,
  'others': platforms.plain_only,
}
