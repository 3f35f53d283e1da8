"""Reports: what was found about a network, on pages that a browser shows and a printer prints."""
