{{/* Names follow the release, as in every chart that `helm create` makes. */}}
{{- define "replicated-memcached.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "replicated-memcached.serviceAccount" -}}
{{- default (include "replicated-memcached.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* Not the name that pods of pairs have: a Service of a pair must never lead to the operator. */}}
{{- define "replicated-memcached.selector" -}}
app.kubernetes.io/name: replicated-memcached-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "replicated-memcached.labels" -}}
{{ include "replicated-memcached.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "replicated-memcached.image" -}}
{{- with .Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What the operator may do in a namespace that it looks after. */}}
{{- define "replicated-memcached.rules" -}}
- apiGroups: [replicated-memcached.io]
  resources: [replicatedmemcacheds]
  verbs: [get, list, watch]
- apiGroups: [replicated-memcached.io]
  resources: [replicatedmemcacheds/status]
  verbs: [patch]
# to be named as the owner of what is made
- apiGroups: [replicated-memcached.io]
  resources: [replicatedmemcacheds/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors, prometheusrules]
  verbs: [get, create, patch, delete]
{{- end -}}
