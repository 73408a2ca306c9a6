{{- define "loadgen.file" -}}
{{- if .Values.locustfile.content -}}
/locustfile/locustfile.py
{{- else if .Values.locustfile.configMap.name -}}
/locustfile/{{ .Values.locustfile.configMap.key }}
{{- else -}}
{{- .Values.locustfile.path -}}
{{- end -}}
{{- end -}}

{{/* The locust command with its file, as a JSON list. */}}
{{- define "loadgen.locust" -}}
{{- list "locust" (printf "--locustfile=%s" (include "loadgen.file" .)) | toJson -}}
{{- end -}}

{{/* The same command, followed by the copy to runs.keepUrl. The exit code is that of the load test. */}}
{{- define "loadgen.kept" -}}
{{- $keep := list -}}
{{- with .Values.runs.keepUrl -}}
{{- $keep = list "loadgen" "keep" "/runs" . "--after" -}}
{{- end -}}
{{- include "loadgen.locust" . | fromJsonArray | concat $keep | toJson -}}
{{- end -}}

{{- define "loadgen.base.processes" -}}
{{- gt (int .Values.processes) 1 | ternary (list (printf "--processes=%d" (int .Values.processes))) list | toJson -}}
{{- end -}}

{{/* The same for a master, whose workers are in its own pod. */}}
{{- define "loadgen.base.forked" -}}
{{- $bind := gt (int .Values.processes) 1 | ternary (list "--master-bind-host=127.0.0.1") list -}}
{{- concat (include "loadgen.base.processes" . | fromJsonArray) $bind | toJson -}}
{{- end -}}

{{/* A master whose workers are in other pods; the NetworkPolicy bounds who may connect. */}}
{{- define "loadgen.base.master" -}}
{{- list "--master" "--master-bind-host=*" | toJson -}}
{{- end -}}

{{/* Everything in one pod. */}}
{{- define "loadgen.command.lone" -}}
command: {{ include "loadgen.kept" . }}
args: {{ concat (list "--headless") (include "loadgen.base.forked" . | fromJsonArray) .Values.extraArgs | toJson }}
{{- end -}}

{{/* Pod 0 is the master, the other pods are its workers. */}}
{{- define "loadgen.command.indexed" -}}
{{- $expected := printf "--expect-workers=%d" (mul (int .Values.workers.count) (int .Values.processes)) -}}
{{- $master := concat (include "loadgen.kept" . | fromJsonArray) (list "--headless") (include "loadgen.base.master" . | fromJsonArray) (list $expected) .Values.extraArgs -}}
{{- $processes := include "loadgen.base.processes" . | fromJsonArray | join " " -}}
command:
  - /bin/sh
  - -ec
  - |
    if [ "$JOB_COMPLETION_INDEX" = 0 ]; then exec "$@"; fi
    exec {{ include "loadgen.locust" . | fromJsonArray | join " " }} --worker --master-host="$JOB_NAME-0.{{ include "loadgen.fullname" . }}"{{ with $processes }} {{ . }}{{ end }}
# the first is $0
args: {{ prepend $master "sh" | toJson }}
{{- end -}}

{{/* Locust with its web UI. */}}
{{- define "loadgen.command.web" -}}
{{- $mode := gt (int .Values.workers.count) 0 | ternary (include "loadgen.base.master" . | fromJsonArray) (include "loadgen.base.forked" . | fromJsonArray) -}}
command: {{ include "loadgen.locust" . }}
args: {{ concat (list "--web-port=8089" "--web-host=*") $mode .Values.extraArgs | toJson }}
{{- end -}}

{{- define "loadgen.command.worker" -}}
command: {{ include "loadgen.locust" . }}
args: {{ concat (list "--worker" (printf "--master-host=%s" (include "loadgen.fullname" .))) (include "loadgen.base.processes" . | fromJsonArray) | toJson }}
{{- end -}}
