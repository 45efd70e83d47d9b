{{- define "plenum.labels" -}}
app.kubernetes.io/name: plenum
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "plenum.operator" -}}
{{ .Release.Name }}-operator
{{- end }}

{{- define "plenum.operatorImage" -}}
{{ .Values.operator.image.repository }}:{{ .Values.operator.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "plenum.apiKeysSecret" -}}
{{ .Values.apiKeys.existingSecret | default (printf "%s-api-keys" .Release.Name) }}
{{- end }}

{{- define "plenum.clusterSecret" -}}
{{ .Values.clusterSecret.existingSecret | default (printf "%s-cluster" .Release.Name) }}
{{- end }}

{{- define "plenum.publicUrl" -}}
{{- if .Values.pool.network.publicUrl -}}
{{ .Values.pool.network.publicUrl }}
{{- else if and .Values.ingress.enabled .Values.ingress.host -}}
{{ if .Values.ingress.tlsSecret }}wss{{ else }}ws{{ end }}://{{ .Values.ingress.host }}
{{- end -}}
{{- end }}

{{- /* Containers of ours: no user of note, nothing to write to, no capability. */ -}}
{{- define "plenum.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "plenum.operatorEnvironment" -}}
- {name: LOG_LEVEL, value: {{ .Values.operator.logLevel | quote }}}
- {name: PLENUM_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: PLENUM_INSTALL, value: {{ .Release.Name | quote }}}
- {name: PLENUM_LEASE_NAME, value: {{ include "plenum.operator" . }}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- end }}
