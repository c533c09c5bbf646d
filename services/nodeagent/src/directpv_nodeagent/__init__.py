"""The node agent: probes, formats, mounts and watches the drives of one node."""
