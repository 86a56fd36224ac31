"""One module per way in; each yields the same rows."""
