"""What a text claims and what the evidence proves: the parts of the grounding check."""
