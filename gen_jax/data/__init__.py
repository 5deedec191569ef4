"""Data sets, and the batches that are made of them."""
