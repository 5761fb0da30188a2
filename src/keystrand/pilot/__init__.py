"""Stage 4: the digital twin and the scorecard against success criteria."""
