{{/* A name of at most so many characters; a longer one ends with its hash, so that two long names stay different.
     Arguments: name, limit. */}}
{{- define "loadgen.cut" -}}
{{- $name := index . 0 -}}
{{- $limit := index . 1 -}}
{{- if gt (len $name) $limit -}}
{{- printf "%s-%s" ($name | trunc (sub $limit 9 | int) | trimSuffix "-") ($name | sha256sum | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "loadgen.name" -}}
{{- include "loadgen.cut" (list (default .Chart.Name .Values.nameOverride) 40) -}}
{{- end -}}

{{/* At most 40 characters: the name is part of a host name, to which a CronJob adds 11 characters and an indexed pod its index. */}}
{{- define "loadgen.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = contains (include "loadgen.name" .) .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name (include "loadgen.name" .)) -}}
{{- end -}}
{{- include "loadgen.cut" (list $name 40) -}}
{{- end -}}

{{/* Pod selector; immutable over the life of a release. */}}
{{- define "loadgen.selector" -}}
app.kubernetes.io/name: {{ include "loadgen.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "loadgen.labels" -}}
{{ include "loadgen.chartLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "loadgen.chartLabels" -}}
{{ include "loadgen.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ include "loadgen.version" . | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The annotations of an object with the common ones, which the object's own win over. */}}
{{- define "loadgen.annotations" -}}
{{- with merge dict (index . 1 | default dict) ((index . 0).Values.commonAnnotations | default dict) -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* A list of named entries, in which the user's entry wins over the chart's. Arguments: the field that has the name, the
     chart's list as text, the user's list. */}}
{{- define "loadgen.named" -}}
{{- $field := index . 0 -}}
{{- $names := dict -}}
{{- $entries := list -}}
{{- range concat (index . 1 | fromYamlArray) (index . 2 | default list) | reverse -}}
{{- $name := get . $field | toString -}}
{{- if not (hasKey $names $name) -}}
{{- $entries = prepend $entries . -}}
{{- $_ := set $names $name true -}}
{{- end -}}
{{- end -}}
{{- toYaml $entries -}}
{{- end -}}

{{- define "loadgen.tag" -}}
{{- default .Chart.AppVersion .Values.image.tag -}}
{{- end -}}

{{/* The tag as the value of a label: without a digest, and with nothing that a label does not allow. */}}
{{- define "loadgen.version" -}}
{{- regexReplaceAll `[^A-Za-z0-9._-]` (include "loadgen.tag" . | splitList "@" | first) "-" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{/* The image, in the registry that an umbrella chart sets for all if there is one. */}}
{{- define "loadgen.image" -}}
{{- $image := printf "%s:%s" .Values.image.repository (include "loadgen.tag" .) -}}
{{- with (.Values.global | default dict).imageRegistry -}}
{{- $parts := splitList "/" $image -}}
{{- if and (gt (len $parts) 1) (regexMatch `[.:]|^localhost$` (first $parts)) -}}
{{- $image = rest $parts | join "/" -}}
{{- end -}}
{{- $image = printf "%s/%s" (trimSuffix "/" .) $image -}}
{{- end -}}
{{- .Values.image.digest | empty | ternary $image (printf "%s@%s" $image .Values.image.digest) -}}
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

{{/* Namespace of target.prometheus; empty if it is a URL. */}}
{{- define "loadgen.prometheusNamespace" -}}
{{- $prometheus := .Values.target.prometheus -}}
{{- if not (contains "://" $prometheus) -}}{{- splitList "/" $prometheus | first -}}{{- end -}}
{{- end -}}

{{/* Name of the Secret that master and workers share. */}}
{{- define "loadgen.workerSecret" -}}
{{- default (printf "%s-workers" (include "loadgen.fullname" .)) .Values.workers.secret.name -}}
{{- end -}}
