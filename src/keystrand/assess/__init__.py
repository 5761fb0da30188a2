"""Stage 2: verdicts, exposure, policies, priority with reasons."""
