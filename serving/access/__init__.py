"""Who may, and how often: keys, tokens, limits, and the gate before every route."""
