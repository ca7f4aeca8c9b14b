{{- /* What all objects of the release are called. */ -}}
{{- define "wye.name" -}}
{{- $base := .Values.nameOverride | default .Chart.Name -}}
{{- $name := contains $base .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $base) -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "wye.selector" -}}
app.kubernetes.io/name: wye-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wye.labels" -}}
{{ include "wye.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: wye
{{- /* not `wye`: that word marks what the operator makes, and it lists by it */}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* An image: dict "root" $ "given" "whole reference or nothing" "name" "wye-runtime" */ -}}
{{- define "wye.image" -}}
{{- .given | default (printf "%s/%s:%s" .root.Values.images.registry .name (.root.Values.images.tag | default .root.Chart.AppVersion)) -}}
{{- end }}

{{- define "wye.security" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{- define "wye.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}
