"""Stage 1: merge observations into assets with identity, owners and coverage."""
