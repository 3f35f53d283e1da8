"""Regressions on tables larger than memory: rows are read in passes, summed up, and let go."""
