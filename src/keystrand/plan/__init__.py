"""Stage 3: the approach of every segment and the ordered, dated measures."""
