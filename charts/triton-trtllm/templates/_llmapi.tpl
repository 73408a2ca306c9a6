{{- define "triton.llmapi.command" -}}
{{- if .Values.multiNode.enabled -}}
{{- include "triton.launch" . -}}
{{- else -}}
command: [tritonserver]
args:
  - --model-repository=/models
  - --disable-auto-complete-config
  {{- include "triton.flags" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "triton.llmapi.init" -}}
{{- include "triton.source.init" . -}}
{{- end -}}

{{/* Triton treats every folder of its repository as a model, also those that the kubelet adds to a mounted ConfigMap.
     The ConfigMap is therefore mounted as the folder of one model, in which Triton looks only for version numbers, and the
     repository is the parent folder, which the mount creates. */}}
{{- define "triton.llmapi.mounts" -}}
- {name: model, mountPath: /models/tensorrt_llm, readOnly: true}
{{- include "triton.source.mounts" . }}
{{- if .Values.multiNode.enabled }}
- {name: chart, mountPath: /opt/chart, readOnly: true}
{{- end -}}
{{- end -}}

{{- define "triton.llmapi.volumes" -}}
- name: model
  configMap:
    name: {{ include "triton.fullname" . }}-llmapi
    items:
      - {key: model.yaml, path: 1/model.yaml}
      {{- range $path, $_ := .Files.Glob "files/llmapi/*" }}
      {{- $name := base $path }}
      - {key: llmapi.{{ $name }}, path: {{ eq $name "config.pbtxt" | ternary "" "1/" }}{{ $name }}}
      {{- end }}
{{- if .Values.multiNode.enabled }}
- name: chart
  configMap:
    name: {{ include "triton.fullname" . }}-llmapi
    items:
      {{- range $path, $_ := .Files.Glob (include "triton.groupFiles" .) }}
      - {key: engine.{{ base $path }}, path: {{ base $path }}}
      {{- end }}
{{- end }}
{{- include "triton.source.volumes" . }}
{{- end -}}

{{- define "triton.llmapi.data" -}}
model.yaml: {{ include "triton.llmapi.arguments" . | quote }}
{{- include "triton.filesData" (list . "files/llmapi/*") }}
{{- if .Values.multiNode.enabled }}
{{- include "triton.filesData" (list . (include "triton.groupFiles" .)) }}
{{- end }}
{{- end -}}

{{/* Arguments of LLM(), as JSON, which is valid YAML. */}}
{{- define "triton.llmapi.arguments" -}}
{{- $v := .Values -}}
{{- $folder := $v.model.path | empty | ternary (include "triton.modelPath" .) (printf "/model-volume/%s" $v.model.path) -}}
{{- $arguments := dict
  "model" (default $v.model.repository $folder)
  "backend" "pytorch"
  "dtype" $v.model.dataType
  "tensor_parallel_size" (int $v.parallelism.tensor)
  "pipeline_parallel_size" (int $v.parallelism.pipeline)
  "max_batch_size" (int $v.llmapi.maxBatchSize)
  "kv_cache_config" (dict "free_gpu_memory_fraction" $v.llmapi.kvCacheFreeGpuMemoryFraction)
-}}
{{- if $v.model.repository -}}{{- $_ := set $arguments "revision" $v.model.revision -}}{{- end -}}
{{- mergeOverwrite $arguments (deepCopy $v.llmapi.extraArgs) | toJson -}}
{{- end -}}
