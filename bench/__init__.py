"""Training speed beside PyTorch: `python -m bench`, or `make bench`."""
