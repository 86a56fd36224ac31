"""Did it work: strategies as they were given, and what their creators posted then."""
