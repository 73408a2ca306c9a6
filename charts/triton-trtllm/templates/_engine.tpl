{{/* The engine is on the volume; the model repository is written by each pod, so it may change without a build. */}}
{{- define "triton.engine.command" -}}
{{- include "triton.launch" . -}}
{{- end -}}

{{- define "triton.engine.init" -}}
{{- if include "triton.engine.byPod" . }}
{{- with include "triton.source.init" . }}
{{- . | nindent 0 }}
{{- end }}
# The first pod builds, and the others wait for it.
- name: engine
  {{- include "triton.engine.container" (list . true) | nindent 2 }}
  command: [python3, /opt/chart/build.py, --settings=/opt/chart/settings.json, --root=/model-volume]
  resources:
    {{- include "triton.engine.buildResources" . | nindent 4 }}
{{- else }}
- name: engine
  {{- include "triton.engine.container" (list . false) | nindent 2 }}
  command:
    - python3
    - /opt/chart/wait.py
    - --settings=/opt/chart/settings.json
    - --root=/model-volume
    - --job={{ include "triton.engine.job" . }}
    - --timeout-s={{ .Values.engine.waitSeconds }}
    {{- with include "triton.downloadWait" . | int }}
    # Until the Job has downloaded the model there is no builder.
    - --builder-timeout-s={{ add 600 . }}
    {{- end }}
  resources:
    {{- toYaml .Values.init.resources | nindent 4 }}
{{- end }}
- name: models
  {{- include "triton.engine.container" (list . false) | nindent 2 }}
  command: [python3, /opt/chart/repository.py, --settings=/opt/chart/settings.json, --root=/model-volume, --to=/models]
  resources:
    {{- toYaml .Values.init.resources | nindent 4 }}
{{- end -}}

{{/* Common fields of the containers that build or wait for an engine; the second argument tells whether it builds. */}}
{{- define "triton.engine.container" -}}
{{- $builds := index . 1 -}}
{{- with index . 0 -}}
image: {{ include "triton.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# trtllm-build writes its timing cache here
workingDir: /tmp
env:
  {{- $env := printf "%s\n%s" (include "triton.engine.env" .) (include "triton.chartEnv" (list . $builds)) }}
  {{- if $builds }}{{ $env = printf "%s\n%s" $env (include "triton.gpuEnv" .) }}{{ end }}
  {{- include "triton.named" (list "name" $env .Values.server.env) | nindent 2 }}
{{- with .Values.server.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "triton.containerSecurity" (list . $builds) | nindent 2 }}
volumeMounts:
  {{- include "triton.named" (list "mountPath" (include "triton.engine.buildMounts" (list . $builds)) .Values.pod.extraVolumeMounts) | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "triton.engine.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: PYTHONDONTWRITEBYTECODE, value: "1"}
{{- end -}}

{{- define "triton.engine.buildMounts" -}}
- {name: models, mountPath: /models}
- {name: tmp, mountPath: /tmp}
- {name: model-volume, mountPath: /model-volume}
- {name: chart, mountPath: /opt/chart, readOnly: true}
{{- if index . 1 }}
- {name: shm, mountPath: /dev/shm}
{{- include "triton.source.mounts" (index . 0) }}
{{- end -}}
{{- end -}}

{{/* Resources of the build, with the GPUs of the pod that serves the engine; by default those of the server. */}}
{{- define "triton.engine.buildResources" -}}
{{- if .Values.engine.build.resources -}}
{{- include "triton.withGpus" (list . .Values.engine.build.resources) -}}
{{- else -}}
{{- include "triton.resources" . -}}
{{- end -}}
{{- end -}}

{{/* How long a pod may wait for its engine, or build it, before it starts to load. */}}
{{- define "triton.engineWait" -}}
{{- if ne .Values.mode "engine" -}}
0
{{- else if include "triton.engine.byPod" . -}}
{{- add .Values.engine.build.deadlineSeconds (include "triton.downloadWait" .) | int -}}
{{- else -}}
{{- int .Values.engine.waitSeconds -}}
{{- end -}}
{{- end -}}

{{- define "triton.engine.byPod" -}}
{{- with .Values.engine.build -}}{{- if and .enabled (eq .by "pod") -}}true{{- end -}}{{- end -}}
{{- end -}}

{{- define "triton.engine.mounts" -}}
- {name: models, mountPath: /models, readOnly: true}
- {name: chart, mountPath: /opt/chart, readOnly: true}
{{- end -}}

{{- define "triton.engine.volumes" -}}
- {name: models, emptyDir: {}}
- name: chart
  configMap:
    name: {{ include "triton.fullname" . }}-engine
    items:
      - {key: settings.json, path: settings.json}
      {{- range $path, $_ := .Files.Glob "files/engine/*.py" }}
      - {key: engine.{{ base $path }}, path: {{ base $path }}}
      {{- end }}
{{- if include "triton.engine.byPod" . }}
{{- include "triton.source.volumes" . }}
{{- end }}
{{- end -}}

{{- define "triton.engine.data" -}}
settings.json: {{ include "triton.engine.settings" . | quote }}
{{- include "triton.filesData" (list . "files/engine/*.py") }}
{{- end -}}

{{/* Settings of the scripts in files/engine. */}}
{{- define "triton.engine.settings" -}}
{{- $v := .Values -}}
{{- $engine := $v.engine -}}
{{- $source := $v.model.uri | empty | ternary dict (dict "uri" (trimSuffix "/" $v.model.uri) "endpoint" $v.model.s3.endpoint) -}}
{{- dict
  "model" (dict "repository" $v.model.repository "revision" $v.model.revision "path" (include "triton.modelPath" .) | merge $source)
  "data_type" $v.model.dataType
  "quantization" $v.model.quantization
  "tensor_parallelism" (int $v.parallelism.tensor)
  "pipeline_parallelism" (int $v.parallelism.pipeline)
  "gpu_product" $v.gpu.products
  "build" (dict
    "max_batch_size" (int $engine.maxBatchSize)
    "max_input_len" (int $engine.maxInputLength)
    "max_seq_len" (int $engine.maxSequenceLength)
    "max_num_tokens" (int $engine.maxTokens)
    "extra_args" $engine.build.extraArgs)
  "convert" (dict "script" $engine.convertScript "extra_args" $engine.build.convertExtraArgs)
  "min_free_bytes" (mul 1073741824 (int $engine.build.minFreeGiB))
  "serving" (dict
    "bls_instance_count" (include "triton.places" . | int)
    "preprocessing_instance_count" (int $engine.preprocessingInstances)
    "postprocessing_instance_count" (int $engine.postprocessingInstances)
    "kv_cache_free_gpu_mem_fraction" $engine.kvCacheFreeGpuMemoryFraction
    "first_response_buckets_ms" (printf "[%s]" (include "triton.ttftBuckets" .) | fromJsonArray)
    | merge (include "triton.engine.ranks" . | fromJson))
  | toJson -}}
{{- end -}}

{{/* Triton's TensorRT-LLM backend assumes eight GPUs per node; a rank of a group uses one of its own pod's GPUs. */}}
{{- define "triton.engine.ranks" -}}
{{- if .Values.multiNode.enabled -}}
{{- dict "parameters" (dict "gpu_device_ids" (until (include "triton.gpus" . | int) | join ",")) | toJson -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* The immutable part of the Job's spec. */}}
{{- define "triton.engine.jobFixed" -}}
podFailurePolicy:
  rules:
    # Invalid settings would fail again.
    - {action: FailJob, onExitCodes: {containerName: build, operator: In, values: [2]}}
template:
  metadata:
    labels:
      {{- include "triton.instance" . | nindent 6 }}
      app.kubernetes.io/component: engine-build
      {{- include "triton.identity" . | nindent 6 }}
      {{- with include "triton.finiteLabels" . }}
      {{- . | nindent 6 }}
      {{- end }}
    {{- include "triton.annotations" (list . .Values.sidecarOptOut.annotations) | nindent 4 }}
  spec:
    {{- include "triton.podBasics" . | nindent 4 }}
    {{- include "triton.spread" . | nindent 4 }}
    restartPolicy: Never
    terminationGracePeriodSeconds: 30
    {{- with include "triton.source.init" . }}
    initContainers:
      {{- . | nindent 6 }}
    {{- end }}
    containers:
      - name: build
        {{- include "triton.engine.container" (list . true) | nindent 8 }}
        command: [python3, /opt/chart/build.py, --settings=/opt/chart/settings.json, --root=/model-volume]
        resources:
          {{- include "triton.engine.buildResources" . | nindent 10 }}
    volumes:
      {{- $volumes := printf "%s\n%s" (include "triton.chartVolumes" .) (include "triton.source.volumes" .) }}
      {{- include "triton.named" (list "name" $volumes .Values.pod.extraVolumes) | nindent 6 }}
{{- end -}}

{{/* The name changes with the build and with its pod, not with how the engine is served. */}}
{{- define "triton.engine.job" -}}
{{- $fixed := include "triton.engine.jobFixed" . | fromYaml -}}
{{- $build := omit (include "triton.engine.settings" . | fromJson) "serving" -}}
{{- printf "%s-build-%s" (include "triton.cut" (list (include "triton.fullname" .) 48)) (list $fixed $build | toJson | sha256sum | trunc 8) -}}
{{- end -}}
