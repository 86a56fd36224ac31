"""Written content strategies: from a slate and its evidence to a plan in which every number can be checked."""
