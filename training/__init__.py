"""Features → trained models."""
