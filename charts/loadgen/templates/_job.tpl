{{/* One run: a Job's spec. */}}
{{- define "loadgen.jobSpec" -}}
{{- $workers := int .Values.workers.count -}}
# A verdict is never tried again until it passes: the first pod that fails ends the Job, and the condition says its code.
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
# the master has the verdict; its workers end with it
successPolicy: {rules: [{succeededIndexes: "0"}]}
{{- end }}
template:
  {{- $pod := dict "root" . "component" "run" "command" (ternary "indexed" "lone" (gt $workers 0)) -}}
  {{- include "loadgen.pod" $pod | nindent 2 }}
{{- end -}}
