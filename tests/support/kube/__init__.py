"""A real Kubernetes for tests: etcd, the control plane, and nodes with a kubelet and kernels of their own."""
