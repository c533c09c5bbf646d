"""What the Helm chart has beside objects and values: words in capitals stand for what the code knows."""

from typing import Final

HELPERS: Final = """\
{{- define "directpv.nats" -}}
{{- if and .Values.nats.url .Values.nats.leafUrl }}leaf
{{- else if .Values.nats.url }}external
{{- else if eq (int .Values.nats.replicas) 1 }}single
{{- else }}cluster
{{- end }}
{{- end }}

{{- define "directpv.home" -}}
{{ .Values.registry | default "REGISTRY" }}/{{ .Values.org | default "ORG" }}
{{- end }}

{{- define "directpv.image" -}}
{{ include "directpv.home" . }}/{{ .Values.image | default "IMAGE" }}
{{- end }}

{{- define "directpv.tag" -}}
{{- $name := include "directpv.image" . | splitList "@" | first | splitList "/" | last -}}
{{- if contains ":" $name }}{{ splitList ":" $name | last }}{{ else }}dev{{ end }}
{{- end }}

{{- define "directpv.sidecar" -}}
{{- $top := index . 0 }}{{ $name := index . 1 -}}
{{- $official := dict OFFICIAL -}}
{{- $openshift := dict OPENSHIFT -}}
{{- $own := $top.Values.sidecarImages | default dict -}}
{{- if hasKey $own $name }}{{ get $own $name }}
{{- else if $top.Values.openshift }}{{ get $openshift $name }}
{{- else if or $top.Values.registry $top.Values.org }}
{{- include "directpv.home" $top }}/{{ $name }}:{{ get $official $name }}
{{- else }}HOME/{{ $name }}:{{ get $official $name }}
{{- end }}
{{- end }}
"""
"""Templates by name."""

CHECKS: Final = """\
{{- if and .Values.apparmorProfile (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail "apparmorProfile: needs Kubernetes 1.30; use kubectl directpv install for older ones" }}
{{- end }}
{{- if and .Values.nats.leafUrl (not .Values.nats.url) }}
{{- fail "nats.leafUrl: belongs to a NATS of your own; give its nats.url, too" }}
{{- end }}
"""
"""Values that no schema can refuse."""

BUS_HEAD: Final = """\
{{- if and .Values.nats.createSecret (has (include "directpv.nats" .) (list "cluster" "single")) }}
{{- $found := lookup "v1" "Secret" "NAMESPACE" "SECRET" }}
{{- $secret := randAlphaNum 64 | b64enc }}
{{- if $found }}{{ $secret = index $found.data "secret" }}{{ end }}
"""
"""What stands before the secret of the bus."""

NOTES: Final = """\
{{- if and .Release.IsInstall (eq .Release.Namespace "NAMESPACE") }}
Pods of nodes mount folders of the host. Where Pod Security admission is strict by default, let it admit them:

    kubectl label namespace NAMESPACE SECURITY=privileged

{{ end -}}
Next: kubectl directpv discover

Helm never upgrades definitions; before an upgrade: kubectl apply --server-side -f crds/
"""

README: Final = """\
# DirectPV

CSI driver and volume manager for direct-attached drives. `values.yaml` says what can be chosen. All objects are in the
namespace `NAMESPACE`, wherever the release is:

    helm install directpv . --namespace NAMESPACE --create-namespace
    kubectl label namespace NAMESPACE SECURITY=privileged

Pods of nodes mount folders of the host: the label lets Pod Security admission pass them, where it is strict by default.
A release in another namespace makes `NAMESPACE` itself, with the label, and takes it away when it is uninstalled; with
`createNamespace: false` it does neither.

Helm installs the definitions of the custom resources, and neither upgrades nor removes them. Before `helm upgrade`:

    kubectl apply --server-side -f crds/

`helm uninstall` leaves drives, volumes and their records; a later installation, by Helm or `kubectl directpv install`,
finds them.

NATS asks everybody who he is. All keys are made of the Secret `directpv-bus`, which the first installation makes up and
later ones keep. Where charts are rendered without a cluster (`helm template`, Argo CD), make it yourself, once, and set
`nats.createSecret=false`:

    kubectl -n NAMESPACE create secret generic directpv-bus --from-literal=secret=$(openssl rand -hex 32)

Pods read the Secret when they start. Put another one there, and replace them, servers and controllers at once:
`kubectl -n NAMESPACE rollout restart statefulset/nats deployment/controller`. Until both are through, and nodes have
joined again, within minutes, volumes cannot be made or deleted; mounts go on.

All connections are TLS; certificates are made of the Secret, and controllers publish by whom they are issued in the
ConfigMap `directpv-bus-ca`. Nodes of a first installation wait for it. After `helm rollback` to a version without TLS,
delete that ConfigMap, by which `kubectl directpv` goes.

From a version whose NATS asked nobody: Helm replaces the controllers, which answer NATS, beside the servers, which ask
them. Nodes that connect meanwhile are let in when the first new controller is ready. Before `helm rollback` to such a
version: `kubectl -n NAMESPACE scale statefulset/nats --replicas 0`, so that no server asks controllers that cannot
answer.

Who may use `kubectl directpv` is bound to the Role `directpv-administrator`; who may look on, to `directpv-observer`.
"""
