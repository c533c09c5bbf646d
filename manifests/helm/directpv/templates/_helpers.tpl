{{- define "directpv.nats" -}}
{{- if and .Values.nats.url .Values.nats.leafUrl }}leaf
{{- else if .Values.nats.url }}external
{{- else if eq (int .Values.nats.replicas) 1 }}single
{{- else }}cluster
{{- end }}
{{- end }}

{{- define "directpv.home" -}}
{{ .Values.registry | default "quay.io" }}/{{ .Values.org | default "minio" }}
{{- end }}

{{- define "directpv.image" -}}
{{ include "directpv.home" . }}/{{ .Values.image | default "directpv:v0.1.0" }}
{{- end }}

{{- define "directpv.tag" -}}
{{- $name := include "directpv.image" . | splitList "@" | first | splitList "/" | last -}}
{{- if contains ":" $name }}{{ splitList ":" $name | last }}{{ else }}dev{{ end }}
{{- end }}

{{- define "directpv.sidecar" -}}
{{- $top := index . 0 }}{{ $name := index . 1 -}}
{{- $official := dict "csi-provisioner" "v6.3.0" "csi-resizer" "v2.3.0" "csi-node-driver-registrar" "v2.16.0" "livenessprobe" "v2.18.0" -}}
{{- $openshift := dict "csi-provisioner" "registry.redhat.io/openshift4/ose-csi-external-provisioner-rhel8:v4.15" "csi-resizer" "registry.redhat.io/openshift4/ose-csi-external-resizer-rhel8:v4.15" "csi-node-driver-registrar" "registry.redhat.io/openshift4/ose-csi-node-driver-registrar-rhel8:v4.15" "livenessprobe" "registry.redhat.io/openshift4/ose-csi-livenessprobe-rhel8:v4.15" -}}
{{- $own := $top.Values.sidecarImages | default dict -}}
{{- if hasKey $own $name }}{{ get $own $name }}
{{- else if $top.Values.openshift }}{{ get $openshift $name }}
{{- else if or $top.Values.registry $top.Values.org }}
{{- include "directpv.home" $top }}/{{ $name }}:{{ get $official $name }}
{{- else }}registry.k8s.io/sig-storage/{{ $name }}:{{ get $official $name }}
{{- end }}
{{- end }}
