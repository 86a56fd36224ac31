"""Events between whoever tells them and whoever applies them: appended once and durably, read in order."""
