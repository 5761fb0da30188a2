"""The agent, and the two sites that its tests run."""
