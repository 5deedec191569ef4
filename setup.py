"""Puts the folder `configs` into the package; all else is in setup.cfg."""

from setuptools import find_packages, setup

found = find_packages(include=['gen_jax', 'gen_jax.*'])
setup(
  packages=[*found, 'gen_jax.configs'],
  package_dir={'gen_jax.configs': 'configs'},
)
