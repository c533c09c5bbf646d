"""Thin connections of the core to gRPC and the bus."""
