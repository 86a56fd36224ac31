"""Request → slate → strategy."""
