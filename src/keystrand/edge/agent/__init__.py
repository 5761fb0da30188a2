"""The agent that runs beside the consumers of one site: it takes keys, agrees on them with its peer, and ends them."""
