"""What changed of the market, from the one who computes it to all who serve it."""
