"""How a Plan is written down: Kubernetes objects, Envoy's files, a process's argv and environment."""
