{{/* Rejects values that contradict each other, which a schema cannot check. Each message says what to change. */}}
{{- define "triton.guards" -}}
{{- include "triton.fileGuard" . -}}
{{- $v := .Values -}}
{{- $tag := include "triton.tag" . -}}
{{- $release := include "triton.release" . | int -}}
{{- $trtllm := contains "trtllm" $tag -}}

{{- if and $v.image.digest (contains "@" $tag) -}}
{{- fail "image.digest is set and image.tag has a digest of its own: keep one" -}}
{{- end -}}
{{- include "triton.labelGuard" . -}}

{{- if $v.image.checkTag -}}
{{- if and (ne $v.mode "emulated") (not $trtllm) -}}
{{- fail (printf "mode %s needs an image with TensorRT-LLM, and tag %s does not contain it: use 26.07-trtllm-python-py3, or set image.checkTag=false for your own image" $v.mode $tag) -}}
{{- end -}}
{{- if not $release -}}
{{- fail (printf "tag %s does not begin with a release such as 26.07-: pin a release, or set image.checkTag=false for your own image" $tag) -}}
{{- end -}}
{{- if and (eq $v.mode "engine") (gt $release 2607) -}}
{{- fail (printf "mode engine needs release 26.07 or earlier, and the tag is %s: later releases have no backend for TensorRT engines; pin 26.07, or use mode llmapi" $tag) -}}
{{- end -}}
{{- if and (eq $v.mode "llmapi") (ge $release 2611) -}}
{{- fail (printf "Triton images do not include TensorRT-LLM from 26.11 on, and the tag is %s: pin 26.07-trtllm-python-py3, or set image.checkTag=false for your own image" $tag) -}}
{{- end -}}
{{- if and (eq $v.mode "emulated") (or (contains "sdk" $tag) (contains "min" $tag)) -}}
{{- fail (printf "mode emulated needs a server with the Python backend, and the tag is %s: use a tag such as 26.07-py3" $tag) -}}
{{- end -}}
{{- end -}}

{{- include "triton.sourceGuards" . -}}

{{- $volumes := 0 -}}
{{- if $v.modelVolume.claimName -}}{{- $volumes = add1 $volumes -}}{{- end -}}
{{- if $v.modelVolume.create.enabled -}}{{- $volumes = add1 $volumes -}}{{- end -}}
{{- if $v.modelVolume.hostPath -}}{{- $volumes = add1 $volumes -}}{{- end -}}
{{- if gt (int $volumes) 1 -}}
{{- fail "modelVolume sets more than one of claimName, create and hostPath: keep one" -}}
{{- end -}}
{{- if and (eq $v.mode "engine") (not $volumes) -}}
{{- fail "mode engine needs a volume for its engines, or each pod would build its own: set modelVolume.claimName, modelVolume.create.enabled or modelVolume.hostPath" -}}
{{- end -}}
{{- if and (eq $v.mode "engine") $v.modelVolume.hostPath $v.engine.build.enabled (eq $v.engine.build.by "job") -}}
{{- fail "modelVolume.hostPath is a separate disk on each node, and a Job fills only the disk of its own node: set engine.build.by=pod" -}}
{{- end -}}
{{- if and $v.model.path (not $volumes) -}}
{{- fail "model.path is a folder on the model volume, and no volume is set: set modelVolume" -}}
{{- end -}}
{{- if and (eq $v.mode "engine") (ne (len $v.gpu.products) 1) -}}
{{- fail (printf "an engine is built for one GPU product, and gpu.products has %d: set exactly one (kubectl get nodes -L %s)" (len $v.gpu.products) $v.gpu.productLabel) -}}
{{- end -}}

{{- if and (eq $v.mode "llmapi") (ne $v.model.quantization "none") -}}
{{- fail "mode llmapi reads the quantization from the checkpoint: set model.repository to a quantized model such as nvidia/Llama-3.1-8B-Instruct-FP8 and model.quantization=none, or use mode engine" -}}
{{- end -}}

{{- include "triton.gpuGuards" . -}}
{{- $world := include "triton.worldSize" . | int -}}
{{- $nodes := include "triton.nodes" . | int -}}
{{- if gt (include "triton.gpus" . | int) (int $v.gpu.perNode) -}}
{{- fail (printf "a pod would need %s GPUs, and a node has %d: lower parallelism, raise gpu.perNode if your nodes have more GPUs, or set multiNode.enabled=true to use several nodes" (include "triton.gpus" .) (int $v.gpu.perNode)) -}}
{{- end -}}
{{- if and $v.multiNode.enabled (lt $nodes 2) -}}
{{- fail (printf "multiNode is enabled, but the %d GPUs of tensor × pipeline fit on one node with gpu.perNode %d: set multiNode.enabled=false" $world (int $v.gpu.perNode)) -}}
{{- end -}}
{{- if mod $world $nodes -}}
{{- fail (printf "%d GPUs cannot be divided evenly among %d nodes with gpu.perNode %d: change parallelism or gpu.perNode" $world $nodes (int $v.gpu.perNode)) -}}
{{- end -}}
{{- if and $v.multiNode.enabled (ne $v.mode "emulated") (ne (mul $nodes (include "triton.gpus" .) | int) $world) -}}
{{- fail (printf "gpu.perPod %s on %d nodes does not give the %d GPUs of tensor × pipeline: leave gpu.perPod null" (include "triton.gpus" .) $nodes $world) -}}
{{- end -}}
{{- if and (not $v.multiNode.enabled) (ne $v.mode "emulated") (ne (include "triton.gpus" . | int) $world) -}}
{{- fail (printf "gpu.perPod %s differs from the %d GPUs of tensor × pipeline: each rank needs exactly one GPU; leave gpu.perPod null" (include "triton.gpus" .) $world) -}}
{{- end -}}
{{- if and $v.multiNode.enabled (eq $v.mode "engine") $v.modelVolume.hostPath -}}
{{- fail "the pods of a group share one engine, and modelVolume.hostPath is a separate disk on each node: set modelVolume.claimName or modelVolume.create.enabled" -}}
{{- end -}}
{{- if and $v.multiNode.enabled $v.modelVolume.create.enabled (not (or (has "ReadWriteMany" $v.modelVolume.create.accessModes) (has "ReadOnlyMany" $v.modelVolume.create.accessModes))) -}}
{{- fail "the pods of a group run on several nodes, and modelVolume.create.accessModes allows only one node to mount the volume: use ReadWriteMany" -}}
{{- end -}}

{{- include "triton.scalingGuards" . -}}
{{- $m := $v.autoscaling.metrics -}}
{{- if and $m.ttft.enabled (eq (include "triton.signal" .) "engine") $v.image.checkTag (lt $release 2411) -}}
{{- fail (printf "autoscaling.metrics.ttft needs Triton's first-response histogram, which exists since 24.11, and the tag is %s: use a later release, or another metric" $tag) -}}
{{- end -}}
{{- if eq $v.rules.ratio.record $v.rules.reference.record -}}
{{- fail "rules.ratio.record and rules.reference.record have the same name: use different names" -}}
{{- end -}}
{{- if lt (include "triton.seconds" $v.rules.window | float64) (mulf 4.0 (include "triton.seconds" $v.metrics.scrapeInterval | float64)) -}}
{{- fail (printf "rules.window %s holds fewer than four scrapes at %s, so rate() would have gaps: use a longer window" $v.rules.window $v.metrics.scrapeInterval) -}}
{{- end -}}

{{- $least := add (int $v.server.preStopSeconds) (int $v.server.longestGenerationSeconds) -}}
{{- if lt (include "triton.grace" . | int) (int $least) -}}
{{- fail (printf "server.terminationGracePeriodSeconds %s is shorter than preStopSeconds + longestGenerationSeconds = %d, so a scale-down would cut off responses: raise it, or leave it null" (include "triton.grace" .) $least) -}}
{{- end -}}

{{- if and $v.server.lifecycle.preStop $v.server.preStopSeconds -}}
{{- fail (printf "server.lifecycle.preStop is set, and preStopSeconds %d makes a preStop hook of its own: set server.preStopSeconds=0, and let your hook wait for the endpoints" (int $v.server.preStopSeconds)) -}}
{{- end -}}
{{- $containers := list "server" "worker" -}}
{{- range include "triton.initContainers" . | fromYamlArray -}}{{- $containers = append $containers .name -}}{{- end -}}
{{- range concat $v.pod.initContainers $v.pod.sidecars -}}
{{- if has .name $containers -}}
{{- fail (printf "two containers of the serving pod have the name %s: give yours in pod.initContainers or pod.sidecars another" .name) -}}
{{- end -}}
{{- $containers = append $containers .name -}}
{{- end -}}
{{- if not (kindIs "invalid" $v.podDisruptionBudget.minAvailable) -}}
{{- $replicas := $v.autoscaling.enabled | ternary $v.autoscaling.minReplicas (kindIs "invalid" $v.server.replicas | ternary 1 $v.server.replicas) | int -}}
{{- $pods := mul (max $replicas 1) $nodes | int -}}
{{- $needed := toString $v.podDisruptionBudget.minAvailable -}}
{{- if or (eq $needed "100%") (and (not (hasSuffix "%" $needed)) (ge (int $needed) $pods) (ne $needed "0")) -}}
{{- $which := $v.multiNode.enabled | ternary (printf "the %d pods of %d groups" $pods (max $replicas 1)) (printf "%d replicas" $replicas) -}}
{{- fail (printf "podDisruptionBudget.minAvailable %s of %s leaves no pod that can be evicted, so a node could never be drained: lower it, or raise the replicas" $needed $which) -}}
{{- end -}}
{{- end -}}

{{- if and $v.multiNode.enabled $v.strategy.minReadySeconds -}}
{{- fail (printf "strategy.minReadySeconds is %d, and a LeaderWorkerSet has no such field: set it to 0, or multiNode.enabled=false" (int $v.strategy.minReadySeconds)) -}}
{{- end -}}
{{- if and (eq (toString $v.strategy.maxSurge) "0") (eq (toString $v.strategy.maxUnavailable) "0") -}}
{{- fail "strategy.maxSurge and maxUnavailable are both 0, so an update could never start: raise one" -}}
{{- end -}}
{{- if not (kindIs "invalid" $v.networkPolicy.egress) -}}
{{- if not $v.networkPolicy.enabled -}}
{{- fail "networkPolicy.egress is set and networkPolicy.enabled is false, so it would limit nothing: set networkPolicy.enabled=true, or leave egress null" -}}
{{- end -}}
{{- if and (not $v.networkPolicy.egress) (or (and (eq $v.mode "llmapi") (not $volumes)) (and (eq $v.mode "engine") $v.engine.build.enabled $v.model.repository)) -}}
{{- fail "networkPolicy.egress has no rule, and the weights must be downloaded: add one for Hugging Face, such as {ports: [{port: 443}]}, or leave egress null" -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.service.type "LoadBalancer") (not $v.service.loadBalancerSourceRanges) -}}
{{- fail "a Service of type LoadBalancer without service.loadBalancerSourceRanges is open to everyone: set the allowed addresses (0.0.0.0/0 to allow all)" -}}
{{- end -}}
{{- include "triton.ingressGuards" . -}}
{{- end -}}

{{/* Rejects the user's labels that the chart sets itself: selectors, Services and the load test rely on them. */}}
{{- define "triton.labelGuard" -}}
{{- $own := include "triton.chartLabels" . | fromYaml | keys -}}
{{- $own = append $own "app.kubernetes.io/component" -}}
{{- if .Values.multiNode.enabled -}}{{- $own = append $own "app.kubernetes.io/part-of" -}}{{- end -}}
{{- $user := dict "commonLabels" .Values.commonLabels "pod.labels" .Values.pod.labels "metrics.labels" .Values.metrics.labels "dashboard.labels" .Values.dashboard.labels "sidecarOptOut.labels" .Values.sidecarOptOut.labels "modelVolume.create.labels" .Values.modelVolume.create.labels -}}
{{- range $value, $labels := $user -}}
{{- range $label, $_ := $labels -}}
{{- if has $label $own -}}
{{- fail (printf "%s contains %s, which the chart sets itself: leave it out, or use a label of your own" $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Seconds of a Prometheus duration with one unit, such as 500ms, 5s or 1m. */}}
{{- define "triton.seconds" -}}
{{- if hasSuffix "ms" . -}}{{- divf (trimSuffix "ms" . | float64) 1000 -}}
{{- else if hasSuffix "m" . -}}{{- mulf (trimSuffix "m" . | float64) 60 -}}
{{- else -}}{{- trimSuffix "s" . | float64 -}}
{{- end -}}
{{- end -}}
