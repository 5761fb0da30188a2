"""Key sources against real KMEs."""
