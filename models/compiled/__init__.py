"""The same answers, faster: what the reference classes say, as tables and compiled loops, proven equal to them."""
