"""A kind of consumer that this project does not ship, as a user may write one."""
