"""Stage 6: evidence and reports for those who run and answer for it."""
