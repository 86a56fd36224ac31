"""What a recommender is."""
