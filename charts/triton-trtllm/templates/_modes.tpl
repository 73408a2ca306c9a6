{{/* Parts that differ by mode: command, init containers, volumes and the checksum of their contents. */}}
{{- define "triton.command" -}}
{{- include (printf "triton.%s.command" .Values.mode) . -}}
{{- end -}}

{{- define "triton.initContainers" -}}
{{- include (printf "triton.%s.init" .Values.mode) . -}}
{{- end -}}

{{- define "triton.mounts" -}}
{{- include "triton.named" (list "mountPath" (include "triton.chartMounts" .) .Values.pod.extraVolumeMounts) -}}
{{- end -}}

{{- define "triton.chartMounts" -}}
{{- include (printf "triton.%s.mounts" .Values.mode) . }}
- {name: tmp, mountPath: /tmp}
{{- if include "triton.hasVolume" . }}
- {name: model-volume, mountPath: /model-volume{{ eq .Values.mode "engine" | ternary ", readOnly: true" "" }}}
{{- end }}
- {name: shm, mountPath: /dev/shm}
{{- end -}}

{{- define "triton.volumes" -}}
{{- include "triton.named" (list "name" (include "triton.chartVolumes" .) .Values.pod.extraVolumes) -}}
{{- end -}}

{{- define "triton.chartVolumes" -}}
- {name: tmp, emptyDir: {}}
{{- if include "triton.hasVolume" . }}
- name: model-volume
  {{- include "triton.modelVolume" . | nindent 2 }}
{{- end }}
{{ include (printf "triton.%s.volumes" .Values.mode) . }}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.server.sharedMemory | quote }}}
{{- end -}}

{{/* Buckets of Triton's histogram of first responses, in ms, equal to those in files/llmapi; Triton's defaults end at 5 s.
     Empty for releases without the histogram, which do not support the setting. */}}
{{- define "triton.ttftBuckets" -}}
{{- if include "triton.hasTtft" . -}}
10,25,50,100,250,500,1000,2500,5000,10000,30000,60000
{{- end -}}
{{- end -}}

{{/* Pods are replaced when their mounted files change. */}}
{{- define "triton.configChecksum" -}}
{{- include (printf "triton.%s.data" .Values.mode) . | sha256sum -}}
{{- end -}}
