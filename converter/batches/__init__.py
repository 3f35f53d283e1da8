"""Many models in one run, recorded in a ledger that survives whatever stops the run."""
