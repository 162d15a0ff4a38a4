{{/* Name of the objects of a release */}}
{{- define "demo-postgres.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "demo-postgres.selectorLabels" -}}
app: {{ .Chart.Name }}
release: {{ .Release.Name }}
{{- end }}

{{- define "demo-postgres.labels" -}}
chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
heritage: {{ .Release.Service }}
{{ include "demo-postgres.selectorLabels" . }}
{{- end }}

{{- define "demo-postgres.secretName" -}}
{{- .Values.auth.existingSecret | default (include "demo-postgres.fullname" .) }}
{{- end }}
