{{/* Name of the objects of a release */}}
{{- define "demo-redis.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "demo-redis.selectorLabels" -}}
app: {{ .Chart.Name }}
release: {{ .Release.Name }}
{{- end }}

{{- define "demo-redis.labels" -}}
chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
heritage: {{ .Release.Service }}
{{ include "demo-redis.selectorLabels" . }}
{{- end }}

{{- define "demo-redis.secretName" -}}
{{- .Values.auth.existingSecret | default (include "demo-redis.fullname" .) }}
{{- end }}
