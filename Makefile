# What people and CI run. `make help` lists it.
PY := .venv/bin/python
SUITES := exec env PYTHONPATH=tests $(PY) -m suites
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
test: install ## What CI runs: all suites, without the tests marked `long`
	@$(SUITES)

.PHONY: test-all
test-all: install ## All suites with all tests
	@$(SUITES) --all

.PHONY: check
check: install ## Formatting, lint, types, architecture
	@$(SUITES) check

.PHONY: unit
unit: install ## Tests without I/O
	@$(SUITES) unit --more="$(ARGS)"

.PHONY: integration
integration: install ## Tests with real NATS, SQLite, loop devices and processes (root)
	@$(SUITES) integration --more="$(ARGS)"

.PHONY: sanity
sanity: install ## csi-sanity against a running stack (root)
	@$(SUITES) sanity --more="$(ARGS)"

.PHONY: crash
crash: install ## The whole stack: the plugin, kill -9, frozen leaders, lost registry and JetStream (root)
	@$(SUITES) crash --more="$(ARGS)"

.PHONY: console
console: install ## The web console in Debian's chromium, before a running stack (root)
	@$(SUITES) console --more="$(ARGS)"

.PHONY: test-vm
test-vm: install ## The node in guests with kernels of their own: quota, hot-plug, faults, reboot, SMART (root)
	@$(SUITES) test-vm --more="$(ARGS)"

.PHONY: kubernetes
kubernetes: install ## Registry, election and installer against a real API server, and the Helm chart (root)
	@$(SUITES) kubernetes --more="$(ARGS)"

.PHONY: e2e
e2e: install ## Kubernetes on three nodes in guests, with the official sidecars; or on KUBECONFIG's cluster (root)
	@$(SUITES) e2e --more="$(ARGS)"

.PHONY: guests
guests: install
	@scripts/setup-system guests
	@scripts/fetch-guest-kernel >/dev/null

.PHONY: chaos
chaos: guests ## Random faults on several guests; SEED=7 replays a run, MINUTES=5 (root)
	PYTHONPATH=tests $(PY) -m chaos $(if $(SEED),--seed $(SEED)) --minutes $(or $(MINUTES),5)

.PHONY: cluster
cluster: images guests ## The same cluster with DirectPV in it, to play with, until Ctrl-C; NODES=3 DRIVES=4 (root, Go)
	scripts/build-kubernetes >/dev/null
	PYTHONPATH=tests $(PY) -m support.kube

.PHONY: images
images: install ## Container images of all services, as OCI archives in .cache/images (root)
	@scripts/setup-system cluster
	scripts/build-images

.PHONY: docs
docs: install ## The documents as a site in build/site; a link that leads nowhere is an error
	.venv/bin/properdocs build --strict

.PHONY: bench-k8s
bench-k8s: install ## CreateVolume against a real API server with 10,000 drives, beside a bare create (root, Go)
	scripts/build-kubernetes etcd kube-apiserver kubectl >/dev/null
	PYTHONPATH=tests $(PY) -m bench kubernetes

.PHONY: bench-scale
bench-scale: install ## 10,000 claims end to end on 100 simulated nodes, and the capacity of 2,000 (root, Go)
	scripts/build-kubernetes etcd kube-apiserver kubectl kube-controller-manager kube-scheduler >/dev/null
	scripts/build-sidecars >/dev/null
	PYTHONPATH=tests $(PY) -m bench scale

.PHONY: manifests
manifests: install ## Generate manifests/ again
	scripts/manifests

.PHONY: bench
bench: install ## Figures beside their floors and, with BASE=<commit>, beside that build, in one run (root)
	BASE=$(BASE) PYTHONPATH=tests $(PY) -m bench

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
