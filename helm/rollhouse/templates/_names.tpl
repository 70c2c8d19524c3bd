{{/* Names, labels and the image. */}}

{{- define "rollhouse.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "rollhouse.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "rollhouse.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "rollhouse.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selects the pods of a component: (dict "root" $ "component" "web"). It never changes in the life of a release. */}}
{{- define "rollhouse.selector" -}}
app.kubernetes.io/name: {{ include "rollhouse.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of an object: (dict "root" $ "component" "web" "more" .Values.labels); what selects pods wins, then more, then those of all. */}}
{{- define "rollhouse.labels" -}}
{{- $own := include "rollhouse.ownLabels" . | fromYaml -}}
{{- toYaml (merge $own (default dict .more) .root.Values.commonLabels) }}
{{- end }}

{{- define "rollhouse.ownLabels" -}}
{{ include "rollhouse.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: rollhouse
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What an object is called and carries: (dict "root" $ "component" "web" "name" "web"). */}}
{{- define "rollhouse.metadata" -}}
name: {{ printf "%s-%s" (include "rollhouse.fullname" .root) (default "" .name) | trimSuffix "-" | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "rollhouse.labels" . | nindent 2 }}
{{- end }}

{{- define "rollhouse.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end }}
{{- end }}

{{- define "rollhouse.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "rollhouse.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}
