"""What the lake says about ways of posting: what they were worth, who burst, and what became of a plan."""
