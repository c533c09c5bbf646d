# What people and CI run. `make help` lists it.
PY := .venv/bin/python
.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: ## Install what is missing: Debian packages, virtual environment, workspace
	@scripts/setup-system
	@scripts/setup

.PHONY: demo
demo: install ## The main job from end to end, on drives that it creates and removes itself
	@.venv/bin/directpv demo

.PHONY: test
test: export KUBECONFIG :=
test: install check unit integration sanity crash test-vm kubernetes e2e ## What CI runs: all tests

.PHONY: check
check: install ## Formatting, lint, types, architecture
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.PHONY: unit
unit: install ## Tests without I/O
	$(PY) -m pytest -q tests/unit

.PHONY: integration
integration: install ## Tests with real NATS, SQLite, loop devices and processes (root)
	$(PY) -m pytest -q tests/integration --ignore-glob='*/kubernetes_*'

.PHONY: sanity
sanity: install ## csi-sanity against a running stack (root, Go)
	scripts/build-csi-sanity
	$(PY) -m pytest -q -s tests/sanity

.PHONY: crash
crash: install ## The whole stack: the plugin, kill -9, frozen leaders, lost registry and JetStream (root)
	$(PY) -m pytest -q tests/stack tests/crash

.PHONY: guests
guests: install
	@scripts/setup-system guests
	@scripts/fetch-guest-kernel >/dev/null

.PHONY: test-vm
test-vm: guests ## The node in guests with kernels of their own: quota, hot-plug, faults, reboot, SMART (root)
	$(PY) -m pytest -q -n 2 --dist worksteal --timeout=300 tests/vm

.PHONY: chaos
chaos: guests ## Random faults on several guests; SEED=7 replays a run, MINUTES=5 (root)
	PYTHONPATH=tests $(PY) -m chaos $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),5)

.PHONY: kubernetes
kubernetes: install ## Registry, election and installer against a real API server, and the Helm chart (root, Go)
	scripts/build-kubernetes etcd kube-apiserver kubectl kube-controller-manager >/dev/null
	scripts/build-tool helm >/dev/null
	scripts/build-tool krew >/dev/null
	$(PY) -m pytest -q --timeout=300 tests/integration/kubernetes_registry tests/integration/kubernetes_install tests/helm

.PHONY: e2e
e2e: images guests ## Kubernetes on three nodes in guests, with the official sidecars; or on KUBECONFIG's cluster (root, Go)
	scripts/build-kubernetes >/dev/null
	$(PY) -m pytest -q -s --timeout=1200 tests/e2e

.PHONY: cluster
cluster: images guests ## The same cluster with DirectPV in it, to play with, until Ctrl-C; NODES=3 DRIVES=4 (root, Go)
	scripts/build-kubernetes >/dev/null
	PYTHONPATH=tests $(PY) -m support.kube

.PHONY: images
images: install ## Container images of all services, as OCI archives in .cache/images (root)
	@scripts/setup-system cluster
	scripts/build-images

.PHONY: bench-k8s
bench-k8s: install ## CreateVolume against a real API server with 10,000 drives, beside a bare create (root, Go)
	scripts/build-kubernetes etcd kube-apiserver kubectl >/dev/null
	PYTHONPATH=tests $(PY) -m bench kubernetes

.PHONY: manifests
manifests: install ## Generate manifests/ again
	scripts/manifests

.PHONY: bench
bench: install ## Figures, each beside its floor measured in the same run (root)
	PYTHONPATH=tests $(PY) -m bench

.PHONY: proto
proto: install ## Generate the gRPC code again from csi.proto
	scripts/proto

.PHONY: lock
lock: ## Renew the pins in requirements/ (needs uv)
	scripts/lock --upgrade

.PHONY: format
format: install ## Format the code
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
