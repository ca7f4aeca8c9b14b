{{- /* What the operator may do where its Endpoints are; nothing is here that it does not do. A write is a server-side apply: create and patch. */ -}}
{{- define "wye.rules" -}}
# what users write: read only, the operator never edits a spec
- apiGroups: [wye.dev]
  resources: [mlendpoints, mldeployments]
  verbs: [get, list, watch]
# what it reports
- apiGroups: [wye.dev]
  resources: [mlendpoints/status, mldeployments/status]
  verbs: [patch]
# the pods of routers and models
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# their state; an annotation makes a router read its files at once; a router that takes none is replaced
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# why a router refuses a file: it stands in its log and nowhere else
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# addresses, the routers' files and the models' settings, accounts that nothing is granted to
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# keys and the routers' rendered auth, by name: there is no list of all Secrets{{ if .Values.secrets.watch }}, but for secrets.watch{{ end }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, {{ if .Values.secrets.watch }}list, watch, {{ end }}create, patch]
# the addresses of pods
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# who may reach the pods
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# what leads to Endpoints from outside the cluster, where they ask for it (`expose`)
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
# one pod at a time, where there are several
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# events on Endpoints and Deployments
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "wye.leaseRules" -}}
# who leads
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [wye-operator{{ with .Values.namespace }}-{{ . }}{{ end }}]
  verbs: [get, update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end }}
