{{- define "tasktrail.name" -}}
{{- if contains "tasktrail" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-tasktrail" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tasktrail.selector" -}}
app.kubernetes.io/name: tasktrail
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tasktrail.labels" -}}
{{ include "tasktrail.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "tasktrail.secretName" -}}
{{- if .Values.existingSecret }}{{ .Values.existingSecret }}{{ else }}{{ include "tasktrail.name" . }}{{ end }}
{{- end }}

{{- define "tasktrail.image" -}}
image: {{ printf "%s:%s" .Values.image.repository .Values.image.tag | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* What a pod of ours is allowed. Service links would put variables named
TASKTRAIL_… into it, and the program refuses those it does not know. */}}
{{- define "tasktrail.pod" -}}
serviceAccountName: {{ include "tasktrail.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tasktrail.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - secretRef: {name: {{ include "tasktrail.secretName" . }}}
{{- end }}

{{/* Variables: a map, sorted, so that nothing restarts for their order. */}}
{{- define "tasktrail.env" -}}
{{- range $name := keys . | sortAlpha }}
- name: {{ $name }}
  value: {{ index $ $name | quote }}
{{- end }}
{{- end }}
