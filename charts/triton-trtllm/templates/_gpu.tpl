{{/* How the pods get their GPUs: an extended resource, a claim (DRA), or the container runtime alone. */}}

{{/* resource, dra or runtime; empty for pods without GPUs. */}}
{{- define "triton.gpuSource" -}}
{{- if include "triton.gpus" . | int -}}
{{- if .Values.gpu.dra.enabled -}}dra{{- else if .Values.gpu.resource -}}resource{{- else -}}runtime{{- end -}}
{{- end -}}
{{- end -}}

{{/* Resources of a container that loads or builds the model, with its GPUs. Arguments: root, resources. */}}
{{- define "triton.withGpus" -}}
{{- $resources := deepCopy (index . 1) -}}
{{- with index . 0 -}}
{{- $source := include "triton.gpuSource" . -}}
{{- if eq $source "resource" -}}
{{- $gpus := dict .Values.gpu.resource (include "triton.gpus" .) -}}
{{- range $side := list "limits" "requests" -}}
{{- $_ := set $resources $side (merge (deepCopy $gpus) (index $resources $side | default dict)) -}}
{{- end -}}
{{- else if eq $source "dra" -}}
{{- $_ := set $resources "claims" (append ($resources.claims | default list) (dict "name" "gpus")) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Claims of a pod: the user's, and with DRA one for its GPUs. */}}
{{- define "triton.resourceClaims" -}}
{{- $claims := .Values.pod.resourceClaims -}}
{{- if eq (include "triton.gpuSource" .) "dra" -}}
{{- $name := .Values.gpu.dra.claimTemplate | default (include "triton.claimTemplate" .) -}}
{{- $claims = append $claims (dict "name" "gpus" "resourceClaimTemplateName" $name) -}}
{{- end -}}
{{- with $claims -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* Variables of a container whose GPUs no resource and no claim chooses. */}}
{{- define "triton.gpuEnv" -}}
{{- if eq (include "triton.gpuSource" .) "runtime" -}}
- {name: NVIDIA_VISIBLE_DEVICES, value: {{ .Values.gpu.visibleDevices | quote }}}
{{- end -}}
{{- end -}}

{{/* A template cannot be changed: its name changes with what it says. */}}
{{- define "triton.claimTemplate" -}}
{{- printf "%s-gpus-%s" (include "triton.cut" (list (include "triton.fullname" .) 48)) (include "triton.claimSpec" . | sha256sum | trunc 8) -}}
{{- end -}}

{{- define "triton.claimSpec" -}}
{{- $request := dict "deviceClassName" .Values.gpu.dra.deviceClass "allocationMode" "ExactCount" "count" (include "triton.gpus" . | int) -}}
{{- $selectors := list -}}
{{- range .Values.gpu.dra.selectors -}}{{- $selectors = append $selectors (dict "cel" (dict "expression" .)) -}}{{- end -}}
{{- with $selectors -}}{{- $_ := set $request "selectors" . -}}{{- end -}}
{{- /* v1beta1 has one way to request devices, and later versions two. */ -}}
{{- $request = eq (include "triton.draVersion" .) "v1" | ternary (dict "exactly" $request) $request -}}
devices:
  requests:
    - name: gpus
      {{- toYaml $request | nindent 6 }}
{{- end -}}

{{/* v1beta1 is served by 1.32 and 1.33, if it is switched on. */}}
{{- define "triton.draVersion" -}}
{{- semverCompare ">=1.34.0-0" .Capabilities.KubeVersion.Version | ternary "v1" "v1beta1" -}}
{{- end -}}

{{- define "triton.gpuGuards" -}}
{{- $gpu := .Values.gpu -}}
{{- $dra := $gpu.dra -}}
{{- $gpus := include "triton.gpus" . | int -}}
{{- if $dra.enabled -}}
{{- if semverCompare "<1.32.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "gpu.dra needs Kubernetes 1.34, or 1.32 with resource.k8s.io/v1beta1 switched on, and this cluster is %s: set gpu.dra.enabled=false, and use gpu.resource" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if not $gpus -}}
{{- fail "gpu.dra is enabled, and the pods have no GPUs: set gpu.perPod, or gpu.dra.enabled=false" -}}
{{- end -}}
{{- if not (has $gpu.resource (list "" "nvidia.com/gpu")) -}}
{{- fail (printf "gpu.dra is enabled, and gpu.resource is %s: choose the devices by gpu.dra.deviceClass and selectors, or set gpu.dra.enabled=false" $gpu.resource) -}}
{{- end -}}
{{- if and $dra.claimTemplate (or $dra.selectors (ne $dra.deviceClass "gpu.nvidia.com")) -}}
{{- fail (printf "gpu.dra.claimTemplate %s is a template of yours, and deviceClass or selectors are for the chart's: put them into yours, or leave claimTemplate empty" $dra.claimTemplate) -}}
{{- end -}}
{{- range .Values.pod.resourceClaims -}}
{{- if eq .name "gpus" -}}
{{- fail "pod.resourceClaims has a claim named gpus, as the chart names that of the GPUs: give yours another name" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $source := include "triton.gpuSource" . -}}
{{- if and (ne $source "runtime") (ne $gpu.visibleDevices "all") -}}
{{- fail (printf "gpu.visibleDevices is %s, and the GPUs are chosen by %s: set gpu.resource to \"\", or leave visibleDevices all" $gpu.visibleDevices (eq $source "dra" | ternary "gpu.dra" "gpu.resource")) -}}
{{- end -}}
{{- if and (eq $source "runtime") (ne $gpu.visibleDevices "all") (ne (splitList "," $gpu.visibleDevices | len) $gpus) -}}
{{- fail (printf "gpu.visibleDevices has %d GPUs, and a pod needs %d: list as many, or use all" (splitList "," $gpu.visibleDevices | len) $gpus) -}}
{{- end -}}
{{- range $value, $resources := dict "server.resources" .Values.server.resources "engine.build.resources" .Values.engine.build.resources -}}
{{- range $side := list "limits" "requests" -}}
{{- range $name, $_ := (index ($resources | default dict) $side) -}}
{{- $isGpu := regexMatch `^nvidia\.com/(gpu|mig-)` $name -}}
{{- if and $source $isGpu (or (ne $source "resource") (ne $name $gpu.resource)) -}}
{{- fail (printf "%s.%s has %s, and the chart gives the pod its GPUs by %s: leave it out" $value $side $name (dict "resource" (printf "gpu.resource %s" $gpu.resource) "dra" "gpu.dra" "runtime" "gpu.visibleDevices" | dig $source "")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
