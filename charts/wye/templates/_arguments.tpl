{{- /* The command line of `wye operator`; tests/chart parses it with the real parser. */ -}}
{{- define "wye.arguments" -}}
- operator
{{- with .Values.namespace }}
- --namespace={{ . }}
{{- end }}
- --runtime-image={{ include "wye.image" (dict "root" . "given" .Values.images.runtime "name" "wye-runtime") }}
{{- with .Values.images.runtimeGpu }}
- --runtime-gpu-image={{ . }}
{{- end }}
- --router-image={{ .Values.images.router }}
{{- if not (kindIs "invalid" .Values.images.routerUser) }}
- --router-user={{ int64 .Values.images.routerUser }}
{{- end }}
- --image-pull-policy={{ .Values.images.pullPolicy }}
{{- range .Values.images.pullSecrets }}
- --image-pull-secret={{ . }}
{{- end }}
- --progress-deadline={{ int64 .Values.deadlines.progressSeconds }}
- --endpoint-grace={{ int64 .Values.deadlines.endpointGraceSeconds }}
- --upgrade-max-concurrent={{ int64 .Values.upgrade.maxConcurrent }}
- --upgrade-policy={{ .Values.upgrade.policy }}
{{- if .Values.secrets.watch }}
- --watch-secrets
{{- end }}
{{- if not .Values.failureLog }}
- --no-failure-log
{{- end }}
{{- if .Values.imageVolumes }}
- --image-volumes
{{- end }}
{{- if not .Values.networkPolicies.enabled }}
- --no-network-policies
{{- end }}
{{- with .Values.networkPolicies.metricsFrom }}
- --metrics-from={{ toJson . }}
{{- end }}
{{- if .Values.log.verbose }}
- --verbose
{{- end }}
{{- end }}
