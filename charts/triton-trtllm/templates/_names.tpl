{{/* A name of at most so many characters; a longer one ends with its hash, so that two long names stay different.
     Arguments: name, limit. */}}
{{- define "triton.cut" -}}
{{- $name := index . 0 -}}
{{- $limit := index . 1 -}}
{{- if gt (len $name) $limit -}}
{{- printf "%s-%s" ($name | trunc (sub $limit 9 | int) | trimSuffix "-") ($name | sha256sum | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "triton.name" -}}
{{- include "triton.cut" (list (default .Chart.Name .Values.nameOverride) 50) -}}
{{- end -}}

{{- define "triton.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = contains (include "triton.name" .) .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name (include "triton.name" .)) -}}
{{- end -}}
{{- include "triton.cut" (list $name 50) -}}
{{- end -}}

{{/* Selector of the serving pods; in a multi-node group, only the leader. Immutable over the life of a release. */}}
{{- define "triton.selector" -}}
{{ include "triton.instance" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "triton.instance" -}}
app.kubernetes.io/name: {{ include "triton.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "triton.labels" -}}
{{- include "triton.labelsWith" (list . dict) -}}
{{- end -}}

{{/* The same with the user's labels for one kind of object, which win over the common ones. */}}
{{- define "triton.labelsWith" -}}
{{- $labels := index . 1 | default dict -}}
{{- with index . 0 -}}
{{ include "triton.chartLabels" . }}
{{- with merge dict $labels (.Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "triton.chartLabels" -}}
{{ include "triton.instance" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ include "triton.version" . | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- include "triton.identity" . | nindent 0 }}
{{- end -}}

{{/* What the object belongs to, whatever alias or nameOverride the chart has. */}}
{{- define "triton.identity" -}}
triton-loadgen/chart: triton-trtllm
triton-loadgen/mode: {{ .Values.mode }}
{{- end -}}

{{/* The annotations of an object with the common ones, which the user's own for this kind of object win over. */}}
{{- define "triton.annotations" -}}
{{- with merge dict (index . 1 | default dict) ((index . 0).Values.commonAnnotations | default dict) -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* A list of named entries, in which the user's entry wins over the chart's. Arguments: the field that has the name, the
     chart's list as text, the user's list. */}}
{{- define "triton.named" -}}
{{- $field := index . 0 -}}
{{- $names := dict -}}
{{- $entries := list -}}
{{- range concat (index . 1 | fromYamlArray) (index . 2 | default list) | reverse -}}
{{- $name := get . $field | toString -}}
{{- if not (hasKey $names $name) -}}
{{- $entries = prepend $entries . -}}
{{- $_ := set $names $name true -}}
{{- end -}}
{{- end -}}
{{- toYaml $entries -}}
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

{{/* The tag as the value of a label: without a digest, and with nothing that a label does not allow. */}}
{{- define "triton.version" -}}
{{- regexReplaceAll `[^A-Za-z0-9._-]` (include "triton.tag" . | splitList "@" | first) "-" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{- define "triton.image" -}}
{{- $image := include "triton.fromRegistry" (list . (printf "%s:%s" .Values.image.repository (include "triton.tag" .))) -}}
{{- .Values.image.digest | empty | ternary $image (printf "%s@%s" $image .Values.image.digest) -}}
{{- end -}}

{{/* An image in the registry that an umbrella chart sets for all, instead of in its own. */}}
{{- define "triton.fromRegistry" -}}
{{- $image := index . 1 -}}
{{- with ((index . 0).Values.global | default dict).imageRegistry -}}
{{- $parts := splitList "/" $image -}}
{{- if and (gt (len $parts) 1) (regexMatch `[.:]|^localhost$` (first $parts)) -}}
{{- $image = rest $parts | join "/" -}}
{{- end -}}
{{- $image = printf "%s/%s" (trimSuffix "/" .) $image -}}
{{- end -}}
{{- $image -}}
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
name: {{ include "triton.group" . | quote }}
{{- else -}}
apiVersion: apps/v1
kind: Deployment
name: {{ include "triton.fullname" . | quote }}
{{- end -}}
{{- end -}}

{{- define "triton.modelVolume" -}}
{{- $volume := .Values.modelVolume -}}
{{- if $volume.claimName -}}
persistentVolumeClaim: {claimName: {{ $volume.claimName | quote }}}
{{- else if $volume.create.enabled -}}
persistentVolumeClaim: {claimName: {{ include "triton.fullname" . }}-models}
{{- else if $volume.hostPath -}}
hostPath: {path: {{ $volume.hostPath | quote }}, type: DirectoryOrCreate}
{{- else -}}
emptyDir: {}
{{- end -}}
{{- end -}}

{{- define "triton.hasVolume" -}}
{{- with .Values.modelVolume -}}{{- if or .claimName .create.enabled .hostPath -}}true{{- end -}}{{- end -}}
{{- end -}}
