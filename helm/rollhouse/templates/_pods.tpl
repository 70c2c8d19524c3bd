{{/* What all pods have in common: security, environment, secrets as files. */}}

{{- define "rollhouse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "rollhouse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A connection URL without its password: (dict "root" $ "user" "rollhouse_app"). */}}
{{- define "rollhouse.databaseUrl" -}}
{{- $port := int64 .root.Values.database.port -}}
{{- $hosts := list -}}
{{- range splitList "," .root.Values.database.host -}}
{{- $hosts = append $hosts (printf "%s:%v" . $port) -}}
{{- end -}}
postgresql://{{ .user }}@{{ join "," $hosts }}/{{ .root.Values.database.name }}{{ with .root.Values.database.parameters }}?{{ . }}{{ end }}
{{- end }}

{{/* The Secrets by the file that each becomes. */}}
{{- define "rollhouse.secretFiles" -}}
databasePassword: database-password
migratorPassword: migration-database-password
redisPassword: redis-password
peppers: peppers
auditKey: audit-key
oidcClientSecret: oidc-client-secret
smtpUrl: smtp-url
{{- end }}

{{/* Variables that name the files: (dict "root" $ "secrets" (list "peppers")). */}}
{{- define "rollhouse.secretEnv" -}}
{{- $files := include "rollhouse.secretFiles" . | fromYaml -}}
{{- range .secrets }}
{{- if (get $.root.Values.secrets .).name }}
- name: ROLLHOUSE_{{ get $files . | replace "-" "_" | upper }}_FILE
  value: /run/secrets/rollhouse/{{ get $files . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The volumes of a pod: the same argument. */}}
{{- define "rollhouse.volumes" -}}
{{- $files := include "rollhouse.secretFiles" . | fromYaml -}}
{{- $sources := list -}}
{{- range .secrets -}}
{{- $one := get $.root.Values.secrets . -}}
{{- if $one.name -}}
{{- $sources = append $sources (dict "secret" (dict "name" $one.name "items" (list (dict "key" $one.key "path" (get $files .))))) -}}
{{- end -}}
{{- end -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with $sources }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml . | nindent 6 }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where they are mounted: the same argument. */}}
{{- define "rollhouse.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- $named := list -}}
{{- range .secrets -}}
{{- if (get $.root.Values.secrets .).name -}}
{{- $named = append $named . -}}
{{- end -}}
{{- end -}}
{{- if $named }}
- name: secrets
  mountPath: /run/secrets/rollhouse
  readOnly: true
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The environment of web and worker: the same argument. */}}
{{- define "rollhouse.env" -}}
- name: ROLLHOUSE_PUBLIC_URL
  value: {{ .root.Values.publicUrl | quote }}
- name: ROLLHOUSE_DATABASE_URL
  value: {{ include "rollhouse.databaseUrl" (dict "root" .root "user" .root.Values.database.user) | quote }}
- name: ROLLHOUSE_DATABASE_CONNECTIONS
  value: {{ int64 .root.Values.database.connections | quote }}
{{- with .root.Values.redis }}
{{- if .host }}
- name: ROLLHOUSE_REDIS_URL
  value: {{ printf "%s://%s%s:%v/%v" (ternary "rediss" "redis" .tls) (ternary "" (printf "%s@" .user) (empty .user)) .host (int64 .port) (int64 .database) | quote }}
{{- end }}
{{- end }}
{{- include "rollhouse.secretEnv" . }}
{{- range $name, $value := .root.Values.settings }}
- name: ROLLHOUSE_{{ upper $name }}
  value: {{ if kindIs "float64" $value }}{{ int64 $value | quote }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What stands in every pod's specification before its containers: (dict "root" $ "component" "web" "placement" .Values.web). */}}
{{- define "rollhouse.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "rollhouse.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placement.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placement.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placement.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placement.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- if .placement.spread }}
topologySpreadConstraints:
  {{- range .placement.spread }}
  - {{- toYaml . | nindent 4 }}
    labelSelector:
      matchLabels:
        {{- include "rollhouse.selector" (dict "root" $.root "component" $.component) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}

{{/* Labels and annotations of a pod: the same argument. */}}
{{- define "rollhouse.podMetadata" -}}
labels:
  {{- include "rollhouse.labels" (dict "root" .root "component" .component "more" .placement.podLabels) | nindent 2 }}
{{- with .placement.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
