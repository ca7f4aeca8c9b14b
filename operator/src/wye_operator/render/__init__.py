"""How a Plan is written down: Envoy's files, a process's argv and environment."""
