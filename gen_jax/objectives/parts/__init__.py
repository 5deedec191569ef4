"""Value objects and functions that objectives are composed of."""
