"""What the deterministic writer is made of."""
