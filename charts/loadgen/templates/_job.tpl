{{/* The Job spec of one run. */}}
{{- define "loadgen.jobSpec" -}}
{{- $workers := int .Values.workers.count -}}
# A failed run is not retried: the first pod that fails ends the Job, and the Job's condition has the exit code.
backoffLimit: 0
podFailurePolicy:
  rules:
    - {action: FailJob, onExitCodes: {containerName: locust, operator: NotIn, values: [0]}}
activeDeadlineSeconds: {{ .Values.job.activeDeadlineSeconds }}
{{- if not (kindIs "invalid" .Values.job.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ .Values.job.ttlSecondsAfterFinished }}
{{- end }}
{{- if $workers }}
completionMode: Indexed
completions: {{ add1 $workers }}
parallelism: {{ add1 $workers }}
# The master gives the verdict; its workers end with it.
successPolicy: {rules: [{succeededIndexes: "0"}]}
{{- end }}
template:
  {{- $pod := dict "root" . "component" "run" "command" (ternary "indexed" "lone" (gt $workers 0)) -}}
  {{- include "loadgen.pod" $pod | nindent 2 }}
{{- end -}}
