{{- define "triton.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "triton.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "triton.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "triton.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Selector of the serving pods; in a multi-node group, only the leader. Immutable over the life of a release. */}}
{{- define "triton.selector" -}}
{{ include "triton.instance" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "triton.instance" -}}
app.kubernetes.io/name: {{ include "triton.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "triton.labels" -}}
app.kubernetes.io/name: {{ include "triton.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ include "triton.tag" . | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "triton.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "triton.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "triton.tag" -}}
{{- default (eq .Values.mode "emulated" | ternary "26.07-py3" "26.07-trtllm-python-py3") .Values.image.tag -}}
{{- end -}}

{{- define "triton.image" -}}
{{- printf "%s:%s" .Values.image.repository (include "triton.tag" .) -}}
{{- end -}}

{{/* The release as a number such as 2607; 0 if the tag has none. */}}
{{- define "triton.release" -}}
{{- $tag := include "triton.tag" . -}}
{{- if regexMatch `^\d\d\.\d\d-` $tag -}}
{{- $tag | trunc 5 | replace "." "" | int -}}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{/* Mode whose counters measure queue and compute time: engine or llmapi. */}}
{{- define "triton.signal" -}}
{{- eq .Values.mode "emulated" | ternary .Values.emulated.plays .Values.mode -}}
{{- end -}}

{{/* The model that clients call. */}}
{{- define "triton.front" -}}
{{- eq (include "triton.signal" .) "engine" | ternary "tensorrt_llm_bls" "tensorrt_llm" -}}
{{- end -}}

{{/* Slots of a pod: requests that it processes at once. */}}
{{- define "triton.places" -}}
{{- if eq .Values.mode "emulated" -}}
{{- $profile := .Values.emulated.profile -}}
{{- eq .Values.emulated.plays "engine" | ternary $profile.blsInstances $profile.engine.max_batch_size | int -}}
{{- else if eq .Values.mode "engine" -}}
{{- .Values.engine.blsInstances | default .Values.engine.maxBatchSize | int -}}
{{- else -}}
{{- .Values.llmapi.maxBatchSize | int -}}
{{- end -}}
{{- end -}}

{{- define "triton.worldSize" -}}
{{- mul (int .Values.parallelism.tensor) (int .Values.parallelism.pipeline) -}}
{{- end -}}

{{- define "triton.gpus" -}}
{{- if not (kindIs "invalid" .Values.gpu.perPod) -}}
{{- int .Values.gpu.perPod -}}
{{- else if eq .Values.mode "emulated" -}}
0
{{- else -}}
{{- div (include "triton.worldSize" .) (include "triton.nodes" .) -}}
{{- end -}}
{{- end -}}

{{- define "triton.grace" -}}
{{- $least := add (int .Values.server.preStopSeconds) (int .Values.server.longestGenerationSeconds) -}}
{{- kindIs "invalid" .Values.server.terminationGracePeriodSeconds | ternary (add $least 10) .Values.server.terminationGracePeriodSeconds | int -}}
{{- end -}}

{{/* Scale target of the autoscaler. */}}
{{- define "triton.scaleTarget" -}}
{{- if .Values.multiNode.enabled -}}
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
name: {{ include "triton.group" . }}
{{- else -}}
apiVersion: apps/v1
kind: Deployment
name: {{ include "triton.fullname" . }}
{{- end -}}
{{- end -}}

{{- define "triton.modelVolume" -}}
{{- $volume := .Values.modelVolume -}}
{{- if $volume.claimName -}}
persistentVolumeClaim: {claimName: {{ $volume.claimName }}}
{{- else if $volume.create.enabled -}}
persistentVolumeClaim: {claimName: {{ include "triton.fullname" . }}-models}
{{- else if $volume.hostPath -}}
hostPath: {path: {{ $volume.hostPath }}, type: DirectoryOrCreate}
{{- else -}}
emptyDir: {}
{{- end -}}
{{- end -}}

{{- define "triton.hasVolume" -}}
{{- with .Values.modelVolume -}}{{- if or .claimName .create.enabled .hostPath -}}true{{- end -}}{{- end -}}
{{- end -}}
