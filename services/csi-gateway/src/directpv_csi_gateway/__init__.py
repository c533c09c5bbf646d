"""The CSI gateway: translates each gRPC call to one request on the bus; keeps no state."""
