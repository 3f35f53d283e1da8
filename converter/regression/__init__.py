"""From an affine model and a table to a regression: estimates, tests, and how far off they are."""
