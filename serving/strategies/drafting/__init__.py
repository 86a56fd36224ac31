"""Drafts of the model: asked for within a budget and a deadline, proven, kept, or done without."""
