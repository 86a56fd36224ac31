"""A history kept current in memory, part by part."""
