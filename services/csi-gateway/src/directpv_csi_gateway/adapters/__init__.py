"""The gRPC side of the gateway, its unix socket, and its metrics."""
