"""Executing a network once, on values that know only how to stay affine."""
