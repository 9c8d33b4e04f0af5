"""Tools of the repository itself: building, judging, generating."""
