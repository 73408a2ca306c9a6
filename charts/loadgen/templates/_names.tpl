{{- define "loadgen.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters: the name is part of a host name, to which a CronJob adds 11 characters and an indexed pod its index. */}}
{{- define "loadgen.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "loadgen.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "loadgen.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Pod selector; immutable over the life of a release. */}}
{{- define "loadgen.selector" -}}
app.kubernetes.io/name: {{ include "loadgen.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "loadgen.labels" -}}
{{ include "loadgen.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ include "loadgen.tag" . | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "loadgen.tag" -}}
{{- default .Chart.AppVersion .Values.image.tag -}}
{{- end -}}

{{- define "loadgen.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "loadgen.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Name of the PersistentVolumeClaim for run folders; empty without one. */}}
{{- define "loadgen.claim" -}}
{{- if .Values.runs.claimName -}}
{{- .Values.runs.claimName -}}
{{- else if .Values.runs.create.enabled -}}
{{- include "loadgen.fullname" . }}-runs
{{- end -}}
{{- end -}}

{{/* Name of the ConfigMap with the Locust file; empty if the file is in the image. */}}
{{- define "loadgen.configMap" -}}
{{- if .Values.locustfile.content -}}
{{- include "loadgen.fullname" . }}-locustfile
{{- else -}}
{{- .Values.locustfile.configMap.name -}}
{{- end -}}
{{- end -}}

{{/* Name of the Secret that master and workers share. */}}
{{- define "loadgen.workerSecret" -}}
{{- default (printf "%s-workers" (include "loadgen.fullname" .)) .Values.workers.secret.name -}}
{{- end -}}
