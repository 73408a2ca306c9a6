{{/* The serving pod. */}}
{{- define "triton.pod" -}}
metadata:
  labels:
    {{- include "triton.selector" . | nindent 4 }}
    {{- include "triton.identity" . | nindent 4 }}
    {{- with include "triton.podLabels" . }}
    {{- . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "triton.podAnnotations" (list . "server") | nindent 4 }}
spec:
  {{- include "triton.podBasics" . | nindent 2 }}
  {{- include "triton.spread" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "triton.grace" . }}
  {{- with concat .Values.pod.initContainers (include "triton.initContainers" . | fromYamlArray) }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: server
      image: {{ include "triton.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- include "triton.command" . | nindent 6 }}
      {{- if include "triton.isReal" . }}
      workingDir: /tmp
      {{- end }}
      env:
        {{- include "triton.env" (list . (eq .Values.mode "llmapi")) | nindent 8 }}
      {{- with .Values.server.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: http, containerPort: 8000}
        - {name: grpc, containerPort: 8001}
        - {name: metrics, containerPort: 8002}
      # The server does not listen until all models are loaded; until then only this probe runs.
      startupProbe:
        httpGet: {path: /v2/health/ready, port: http}
        periodSeconds: {{ .Values.server.probes.startup.periodSeconds }}
        failureThreshold: {{ divf .Values.server.loadBudgetSeconds .Values.server.probes.startup.periodSeconds | ceil | int }}
      readinessProbe:
        httpGet: {path: /v2/health/ready, port: http}
        {{- toYaml .Values.server.probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet: {path: /v2/health/live, port: http}
        {{- toYaml .Values.server.probes.liveness | nindent 8 }}
      {{- with include "triton.lifecycle" . }}
      lifecycle:
        {{- . | nindent 8 }}
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

{{- define "triton.lifecycle" -}}
{{- $lifecycle := deepCopy .Values.server.lifecycle -}}
{{- if .Values.server.preStopSeconds -}}
{{- $_ := set $lifecycle "preStop" (dict "sleep" (dict "seconds" (int .Values.server.preStopSeconds))) -}}
{{- end -}}
{{- with $lifecycle -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{- define "triton.podLabels" -}}
{{- $group := .Values.multiNode.enabled | ternary (include "triton.groupSelector" . | fromYaml) dict -}}
{{- with merge $group .Values.pod.labels (.Values.commonLabels | default dict) -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* Arguments: root, and the container that kubectl shows by default. */}}
{{- define "triton.podAnnotations" -}}
{{- $own := dict "kubectl.kubernetes.io/default-container" (index . 1) "checksum/config" (include "triton.configChecksum" (index . 0)) -}}
{{- with index . 0 -}}
{{- merge dict .Values.pod.annotations (.Values.commonAnnotations | default dict) $own | toYaml -}}
{{- end -}}
{{- end -}}

{{/* Scheduling and security context, the same for serving and building pods. */}}
{{- define "triton.podBasics" -}}
serviceAccountName: {{ include "triton.serviceAccount" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .Values.pod.securityContext | nindent 2 }}
{{- with .Values.pod.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.pod.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with include "triton.resourceClaims" . }}
resourceClaims:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.pod.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .Values.pod.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.pod.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "triton.tolerations" . }}
tolerations:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "triton.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* GPU nodes have the taint nvidia.com/gpu, even if pods request another resource such as a MIG slice. */}}
{{- define "triton.tolerations" -}}
{{- $tolerations := list -}}
{{- if include "triton.gpus" . | int -}}
{{- range list "nvidia.com/gpu" .Values.gpu.resource | uniq | compact -}}
{{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoSchedule") -}}
{{- end -}}
{{- end -}}
{{- with concat $tolerations .Values.pod.tolerations -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{- define "triton.spread" -}}
topologySpreadConstraints:
  {{- if kindIs "invalid" .Values.pod.topologySpreadConstraints }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "triton.selector" . | nindent 8 }}
  {{- else }}
  {{- toYaml .Values.pod.topologySpreadConstraints | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The user's affinity with the GPU product added to each node selector term, since a node must match only one term. */}}
{{- define "triton.affinity" -}}
{{- $affinity := deepCopy .Values.pod.affinity -}}
{{- if .Values.gpu.products -}}
{{- $product := dict "key" .Values.gpu.productLabel "operator" "In" "values" .Values.gpu.products -}}
{{- $node := $affinity.nodeAffinity | default dict -}}
{{- $required := $node.requiredDuringSchedulingIgnoredDuringExecution | default dict -}}
{{- $terms := list -}}
{{- range $required.nodeSelectorTerms | default (list dict) -}}
{{- $terms = append $terms (merge (dict "matchExpressions" (append (.matchExpressions | default list) $product)) .) -}}
{{- end -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- $_ := set $affinity "nodeAffinity" $node -}}
{{- end -}}
{{- with $affinity -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{- define "triton.resources" -}}
{{- $gpus := include "triton.gpus" . | int -}}
{{- $requests := dict "cpu" (toString (mul 4 (max 1 $gpus))) "memory" (printf "%dGi" (mul 32 (max 1 $gpus))) "ephemeral-storage" "256Mi" -}}
{{- $disk := include "triton.hasVolume" . | empty | ternary (mul 256 (include "triton.worldSize" .)) 64 -}}
{{- $limits := dict "memory" (printf "%dGi" (mul 256 (max 1 $gpus))) "ephemeral-storage" (printf "%dGi" $disk) -}}
{{- $default := dict "requests" $requests "limits" $limits -}}
{{- if eq .Values.mode "emulated" -}}
{{- $processes := int .Values.emulated.profile.blsInstances -}}
{{- $memory := printf "%dMi" (add 2048 (mul 128 $processes)) -}}
{{- $default = dict "requests" (dict "cpu" "250m" "memory" "1Gi" "ephemeral-storage" "256Mi") "limits" (dict "memory" $memory "ephemeral-storage" "2Gi") -}}
{{- end -}}
{{- include "triton.withGpus" (list . (kindIs "invalid" .Values.server.resources | ternary $default .Values.server.resources)) -}}
{{- end -}}

{{/* Labels of pods that run to completion: no sidecar that would keep them running. */}}
{{- define "triton.finiteLabels" -}}
{{- with merge dict (.Values.sidecarOptOut.labels | default dict) (.Values.commonLabels | default dict) -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* Arguments: root, and whether the container loads or builds a model with TensorRT-LLM. */}}
{{- define "triton.containerSecurity" -}}
{{- $readOnly := dict "readOnlyRootFilesystem" (not (index . 1)) -}}
{{- $set := dict -}}
{{- range $field, $value := (index . 0).Values.pod.containerSecurityContext -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $set $field $value -}}{{- end -}}
{{- end -}}
{{- mergeOverwrite $readOnly $set | toYaml -}}
{{- end -}}

{{/* Whether the containers of this release that serve or build a model use TensorRT-LLM; empty if not. */}}
{{- define "triton.isReal" -}}
{{- if ne .Values.mode "emulated" -}}true{{- end -}}
{{- end -}}

{{/* The second argument tells whether the container downloads a model; only then it gets the token. */}}
{{- define "triton.env" -}}
{{- $downloads := index . 1 -}}
{{- with index . 0 -}}
{{- $env := printf "%s\n%s" (include "triton.chartEnv" (list . $downloads)) (include "triton.gpuEnv" .) -}}
{{- include "triton.named" (list "name" $env .Values.server.env) -}}
{{- end -}}
{{- end -}}

{{- define "triton.chartEnv" -}}
{{- $downloads := index . 1 -}}
{{- with index . 0 -}}
- {name: HOME, value: /tmp}
{{- if ne .Values.mode "engine" }}
# The chart's own models answer with it.
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- end }}
{{- if include "triton.hasVolume" . }}
- {name: HF_HOME, value: /model-volume/huggingface}
{{- end }}
{{- with .Values.model.tokenSecret }}
{{- if and $downloads .name }}
- name: HF_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Flags of tritonserver, one per line. */}}
{{- define "triton.flags" -}}
- --http-port=8000
- --grpc-port=8001
- --metrics-port=8002
{{- if and (include "triton.hasTtft" .) (eq (include "triton.signal" .) "engine") }}
- --metrics-config=histogram_latencies=true
{{- end }}
- --exit-timeout-secs={{ .Values.server.longestGenerationSeconds }}
- --log-verbose={{ .Values.server.logVerbose }}
{{- if .Values.server.grpcMaxConnectionAgeSeconds }}
- --grpc-max-connection-age={{ mul 1000 (int .Values.server.grpcMaxConnectionAgeSeconds) }}
- --grpc-max-connection-age-grace={{ mul 1000 (int .Values.server.longestGenerationSeconds) }}
{{- end }}
{{- range .Values.server.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}
