"""Configs: what they hold, and how they are read and compared."""

from gen_jax.config.comparison import PLACES as PLACES
from gen_jax.config.comparison import difference as difference
from gen_jax.config.comparison import may_change_in_use as may_change_in_use
from gen_jax.config.comparison import places as places
from gen_jax.config.comparison import without_places as without_places
from gen_jax.config.files import load as load
from gen_jax.config.overrides import apply as apply
from gen_jax.config.overrides import override as override
from gen_jax.config.schema import default as default
from gen_jax.config.schema import find as find
from gen_jax.config.serialization import complete as complete
from gen_jax.config.serialization import flatten as flatten
from gen_jax.config.serialization import from_json as from_json
from gen_jax.config.serialization import plain as plain
from gen_jax.config.serialization import to_json as to_json
