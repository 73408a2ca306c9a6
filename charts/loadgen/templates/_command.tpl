{{- define "loadgen.file" -}}
{{- if .Values.locustfile.content -}}
/locustfile/locustfile.py
{{- else if .Values.locustfile.configMap.name -}}
/locustfile/{{ .Values.locustfile.configMap.key }}
{{- else -}}
{{- .Values.locustfile.path -}}
{{- end -}}
{{- end -}}

{{- define "loadgen.processes" -}}
{{- if gt (int .Values.processes) 1 }}
- --processes={{ int .Values.processes }}
{{- end }}
{{- end -}}

{{- define "loadgen.extraArgs" -}}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Runs the load, copies the run where it stays, and exits as the load did. */}}
{{- define "loadgen.kept" -}}
{{- with .Values.runs.keepUrl }}
- loadgen
- keep
- /runs
- {{ . | quote }}
- --after
{{- end }}
- locust
- --locustfile={{ include "loadgen.file" . }}
{{- end -}}

{{/* One pod: everything in it. */}}
{{- define "loadgen.command.lone" -}}
command:
  {{- include "loadgen.kept" . | nindent 2 }}
args:
  - --headless
  {{- include "loadgen.processes" . | indent 2 }}
  {{- include "loadgen.extraArgs" . | indent 2 }}
{{- end -}}

{{/* Pod 0 is the master, the others are its workers. */}}
{{- define "loadgen.command.indexed" -}}
{{- $processes := int .Values.processes -}}
command:
  - /bin/sh
  - -ec
  - |
    if [ "$JOB_COMPLETION_INDEX" = 0 ]; then exec "$@"; fi
    exec locust --locustfile={{ include "loadgen.file" . | squote }} --worker --master-host="$JOB_NAME-0.{{ include "loadgen.fullname" . }}"{{ if gt $processes 1 }} --processes={{ $processes }}{{ end }}
args:
  - locust
  {{- include "loadgen.kept" . | nindent 2 }}
  - --headless
  - --master
  - --expect-workers={{ mul (include "loadgen.workers" . | int) (max 1 $processes) }}
  {{- include "loadgen.extraArgs" . | indent 2 }}
{{- end -}}

{{/* Behind the web UI. */}}
{{- define "loadgen.command.web" -}}
command: [locust, --locustfile={{ include "loadgen.file" . }}]
args:
  - --web-port=8089
  {{- if include "loadgen.workers" . | int }}
  - --master
  {{- else }}
  {{- include "loadgen.processes" . | indent 2 }}
  {{- end }}
  {{- include "loadgen.extraArgs" . | indent 2 }}
{{- end -}}

{{- define "loadgen.command.worker" -}}
command: [locust, --locustfile={{ include "loadgen.file" . }}]
args:
  - --worker
  - --master-host={{ include "loadgen.fullname" . }}
  {{- include "loadgen.processes" . | indent 2 }}
{{- end -}}
