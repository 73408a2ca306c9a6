{{/* A model over several nodes: a group of pods is one replica. Its leader serves, its workers lend it their GPUs. */}}
{{- define "triton.nodes" -}}
{{- if .Values.multiNode.enabled -}}
{{- divf (include "triton.worldSize" .) .Values.gpu.perNode | ceil | int -}}
{{- else -}}
1
{{- end -}}
{{- end -}}

{{/* Short enough for what is derived from it: a StatefulSet for each group, and a label with its revision. It is not
     the name of the Service, as the group's headless Service must have this one. */}}
{{- define "triton.group" -}}
{{- printf "%s-group" (include "triton.fullname" . | trunc 42 | trimSuffix "-") -}}
{{- end -}}

{{/* What leaders and workers have in common, and nothing else of the release has. */}}
{{- define "triton.groupSelector" -}}
app.kubernetes.io/part-of: {{ include "triton.group" . }}
{{- end -}}

{{- define "triton.groupFiles" -}}files/engine/{launch,group,agent,worker,errors}.py{{- end -}}

{{/* tritonserver under mpirun: a rank for each GPU, of this pod and of its workers. */}}
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

{{/* A worker of an emulated group has nothing to lend: it is there to be placed, counted and ended. */}}
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
    {{- with include "triton.podLabels" . }}
    {{- . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: worker
    {{- include "triton.podAnnotations" . | nindent 4 }}
spec:
  {{- include "triton.podBasics" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "triton.grace" . }}
  {{- if ne .Values.mode "emulated" }}
  {{- with include "triton.initContainers" . }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: worker
      image: {{ include "triton.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- include "triton.workerCommand" . | nindent 6 }}
      env:
        {{- include "triton.env" (list . (eq .Values.mode "llmapi")) | nindent 8 }}
      resources:
        {{- include "triton.resources" . | nindent 8 }}
      securityContext:
        {{- include "triton.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "triton.mounts" . | nindent 8 }}
        - {name: shm, mountPath: /dev/shm}
  volumes:
    {{- include "triton.volumes" . | nindent 4 }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ .Values.server.sharedMemory }}}
{{- end -}}
