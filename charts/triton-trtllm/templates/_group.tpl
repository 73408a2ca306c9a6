{{/* A multi-node model: one replica is a group of pods. The leader serves, and the workers contribute their GPUs. */}}
{{- define "triton.nodes" -}}
{{- if .Values.multiNode.enabled -}}
{{- divf (include "triton.worldSize" .) .Values.gpu.perNode | ceil | int -}}
{{- else -}}
1
{{- end -}}
{{- end -}}

{{/* Name of the LeaderWorkerSet, short enough for names derived from it: a StatefulSet per group, and a label with its
     revision. It differs from the Service's name, as the group's headless Service must have the LeaderWorkerSet's name. */}}
{{- define "triton.group" -}}
{{- printf "%s-group" (include "triton.cut" (list (include "triton.fullname" .) 42)) -}}
{{- end -}}

{{/* Label of the leaders and workers of a release, and of nothing else. */}}
{{- define "triton.groupSelector" -}}
app.kubernetes.io/part-of: {{ include "triton.group" . }}
{{- end -}}

{{- define "triton.groupFiles" -}}files/engine/{launch,group,agent,worker,errors}.py{{- end -}}

{{/* tritonserver under mpirun: one rank for each GPU of this pod and its workers. */}}
{{- define "triton.launch" -}}
command: [python3, /opt/chart/launch.py]
args:
  - --world-size={{ include "triton.worldSize" . }}
  - --model-repository=/models
  - --drain-s={{ .Values.server.longestGenerationSeconds }}
  {{- if .Values.multiNode.enabled }}
  - --nodes={{ include "triton.nodes" . }}
  - --wait-s={{ .Values.server.loadBudgetSeconds }}
  {{- end }}
  {{- if eq .Values.mode "llmapi" }}
  - --through=trtllm-llmapi-launch
  {{- end }}
  - --
  {{- include "triton.flags" . | nindent 2 }}
{{- end -}}

{{/* A worker of an emulated group does no work: it is only scheduled, counted and terminated. */}}
{{- define "triton.workerCommand" -}}
{{- if eq .Values.mode "emulated" -}}
command: [/bin/sh, -c, "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
{{- else -}}
command: [python3, /opt/chart/worker.py]
args: [--wait-s={{ .Values.server.loadBudgetSeconds }}]
{{- end -}}
{{- end -}}

{{- define "triton.worker" -}}
metadata:
  labels:
    {{- include "triton.instance" . | nindent 4 }}
    app.kubernetes.io/component: worker
    {{- include "triton.identity" . | nindent 4 }}
    {{- with include "triton.podLabels" . }}
    {{- . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "triton.podAnnotations" (list . "worker") | nindent 4 }}
spec:
  {{- include "triton.podBasics" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "triton.grace" . }}
  {{- $own := eq .Values.mode "emulated" | ternary list (include "triton.initContainers" . | fromYamlArray) }}
  {{- with concat .Values.pod.initContainers $own }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: worker
      image: {{ include "triton.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- include "triton.workerCommand" . | nindent 6 }}
      {{- if include "triton.isReal" . }}
      workingDir: /tmp
      {{- end }}
      env:
        {{- include "triton.env" (list . (eq .Values.mode "llmapi")) | nindent 8 }}
      {{- with .Values.server.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- include "triton.resources" . | nindent 8 }}
      securityContext:
        {{- include "triton.containerSecurity" (list . (include "triton.isReal" .)) | nindent 8 }}
      volumeMounts:
        {{- include "triton.mounts" . | nindent 8 }}
    {{- with .Values.pod.sidecars }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "triton.volumes" . | nindent 4 }}
{{- end -}}
