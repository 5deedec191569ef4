"""What objectives are composed of: value objects and functions."""
