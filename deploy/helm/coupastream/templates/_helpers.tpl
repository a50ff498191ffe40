{{- /* The name of everything in a release: the release's, which is the group's of its workers too. */}}
{{- define "coupastream.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "coupastream.selector" -}}
app.kubernetes.io/name: coupastream
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "coupastream.labels" -}}
{{ include "coupastream.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* Those of the pod that applies connectors. */}}
{{- define "coupastream.applySelector" -}}
app.kubernetes.io/name: coupastream-apply
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "coupastream.applyLabels" -}}
{{ include "coupastream.applySelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "coupastream.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "coupastream.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "coupastream.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* Flat keys as lines of YAML. Numbers reach a template as floating point, so whole ones are written as such. */}}
{{- define "coupastream.keys" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ if kindIs "slice" $value }}{{ join "," $value | quote }}{{ else if and (kindIs "float64" $value) (eq $value (floor $value)) }}{{ int64 $value }}{{ else if kindIs "string" $value }}{{ $value | quote }}{{ else }}{{ $value }}{{ end }}
{{- end }}
{{- end -}}

{{- /* The worker file: what the chart adds, under what is given. A pod's name is its own, and comes back with it: that is what static membership needs. */}}
{{- define "coupastream.worker" -}}
{{- if eq (toString (get .Values.worker "listeners.https.ssl.client.auth")) "required" -}}
{{- fail "worker: listeners.https.ssl.client.auth = required shuts the kubelet's probes out, which show no certificate; write requested, and rest.auth.file for who may do what" -}}
{{- end -}}
{{- $worker := dict
  "group.id" (include "coupastream.fullname" .)
  "group.instance.id" "${env:POD_NAME}"
  "session.timeout.ms" 60000
  "heartbeat.interval.ms" 3000
  "state.dir" "/var/lib/coupastream"
  "rest.advertised.host.name" (printf "${env:POD_NAME}.%s-workers.${env:POD_NAMESPACE}.svc" (include "coupastream.fullname" .))
  "listeners" (printf "%s://0.0.0.0:%d" (lower .Values.api.scheme) (int .Values.api.port))
-}}
{{- range $key, $value := .Values.worker -}}
{{- if or (eq $value nil) (eq (toString $value) "") -}}
{{- $_ := unset $worker $key -}}
{{- else -}}
{{- $_ := set $worker $key $value -}}
{{- end -}}
{{- end -}}
{{- include "coupastream.keys" $worker -}}
{{- end -}}

{{- /* A connector file from its keys and name. */}}
{{- define "coupastream.connector" -}}
{{- include "coupastream.keys" (merge (dict) .keys (dict "name" .name)) -}}
{{- end -}}
