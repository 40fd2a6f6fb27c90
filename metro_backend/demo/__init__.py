"""A stand-in GitHub and Jenkins, for demonstrations and tests."""
