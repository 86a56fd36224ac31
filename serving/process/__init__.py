"""The processes of the service: how they start, find each other, and go."""
