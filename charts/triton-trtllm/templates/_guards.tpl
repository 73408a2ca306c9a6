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

{{- if and (ne $v.mode "emulated") (not $v.model.repository) (not $v.model.path) -}}
{{- fail "no model is set: set model.repository to a Hugging Face repository, or model.path to a folder on the model volume (or mode=emulated, which needs no model)" -}}
{{- end -}}
{{- if and $v.model.repository $v.model.path -}}
{{- fail "model.repository and model.path are both set: keep one" -}}
{{- end -}}

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

{{- if and $v.autoscaling.enabled (not (kindIs "invalid" $v.server.replicas)) -}}
{{- fail "server.replicas is set and autoscaling is enabled: each upgrade would reset the autoscaler's decision; leave server.replicas null, or set autoscaling.enabled=false" -}}
{{- end -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas %d is above maxReplicas %d: lower minReplicas or raise maxReplicas" (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- $m := $v.autoscaling.metrics -}}
{{- if and $v.autoscaling.enabled (not (or $m.ratio.enabled $m.busy.enabled $m.waiting.enabled $m.ttft.enabled)) -}}
{{- fail "autoscaling has no metric: enable at least one of autoscaling.metrics, or set autoscaling.enabled=false" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not $v.rules.enabled) -}}
{{- fail "the autoscaler needs the recording rules, and rules.enabled is false: set rules.enabled=true, or autoscaling.enabled=false" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.metrics.monitor "none") -}}
{{- fail "the autoscaler needs metrics, and metrics.monitor is none: use PodMonitor or ServiceMonitor, or set autoscaling.enabled=false" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq (int $v.autoscaling.minReplicas) 0) (not $v.autoscaling.activation.query) -}}
{{- fail "with autoscaling.minReplicas 0 and no pods there are no metrics to scale up on: set autoscaling.activation.query, or minReplicas 1" -}}
{{- end -}}
{{- if and $v.autoscaling.activation.query (gt (int $v.autoscaling.minReplicas) 0) -}}
{{- fail (printf "autoscaling.activation.query is for scaling from zero, and minReplicas is %d: set minReplicas 0, or leave activation.query empty" (int $v.autoscaling.minReplicas)) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.autoscaling.kind "hpa") (eq (int $v.autoscaling.minReplicas) 0) (semverCompare "<1.37.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "an HPA scales to zero from Kubernetes 1.37 on, and this cluster is %s: use autoscaling.kind=keda, or minReplicas 1" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.autoscaling.kind "hpa") -}}
{{- $hpa := lookup "autoscaling/v2" "HorizontalPodAutoscaler" .Release.Namespace (include "triton.hpa" .) -}}
{{- range dig "metadata" "ownerReferences" list $hpa -}}
{{- if eq .kind "ScaledObject" -}}
{{- fail (printf "the HPA %s belongs to KEDA, which deletes it with its ScaledObject: upgrade once with autoscaling.kind=keda, so that KEDA renames it, and then with kind=hpa" (include "triton.hpa" $)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.autoscaling.kind "keda") (not $v.autoscaling.keda.prometheusUrl) -}}
{{- fail "KEDA queries Prometheus directly: set autoscaling.keda.prometheusUrl, for example http://prometheus-operated.monitoring.svc:9090" -}}
{{- end -}}
{{- $authentication := $v.autoscaling.keda.authentication -}}
{{- if and (has "bearer" $authentication.modes) (has "basic" $authentication.modes) -}}
{{- fail "autoscaling.keda.authentication.modes contains bearer and basic, and KEDA sends one of them: keep one" -}}
{{- end -}}
{{- if and $authentication.name (hasPrefix "http://" $v.autoscaling.keda.prometheusUrl) (has "tls" $authentication.modes) -}}
{{- fail "autoscaling.keda.authentication.modes contains tls, and autoscaling.keda.prometheusUrl begins with http://: use https://" -}}
{{- end -}}
{{- range $name, $_ := $v.autoscaling.keda.headers -}}
{{- if eq (lower $name) "authorization" -}}
{{- fail "autoscaling.keda.headers contains Authorization, which everyone who may read the ScaledObject would see: put the token in a Secret, and set autoscaling.keda.authentication" -}}
{{- end -}}
{{- end -}}
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
{{- $needed := toString $v.podDisruptionBudget.minAvailable -}}
{{- if or (eq $needed "100%") (and (not (hasSuffix "%" $needed)) (ge (int $needed) (max $replicas 1 | int)) (ne $needed "0")) -}}
{{- fail (printf "podDisruptionBudget.minAvailable %s of %d replicas leaves no pod that can be evicted, so a node could never be drained: lower it, or raise the replicas" $needed $replicas) -}}
{{- end -}}
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
{{- if and (ne $v.ingress.kind "none") (not $v.ingress.host) -}}
{{- fail (printf "ingress.kind %s needs ingress.host: set the host name that clients use, or with kind traefik \"*\" to match any host, for a cluster with one release" $v.ingress.kind) -}}
{{- end -}}
{{- if and (eq $v.ingress.host "*") (ne $v.ingress.kind "traefik") -}}
{{- fail (printf "ingress.host \"*\" is supported only with ingress.kind traefik, and the kind is %s: set a host name" $v.ingress.kind) -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "gateway") (eq $v.ingress.gateway.httpHost $v.ingress.host) -}}
{{- fail (printf "ingress.gateway.httpHost equals ingress.host, %s: a Gateway accepts a GRPCRoute or an HTTPRoute per host name, not both; use another name for HTTP, or leave httpHost empty" $v.ingress.host) -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "gateway") (not $v.ingress.gateway.name) -}}
{{- fail "ingress.kind gateway needs ingress.gateway.name: set the Gateway that the routes attach to" -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "nginx") (not $v.ingress.tlsSecret) -}}
{{- fail "NGINX supports gRPC only over TLS: set ingress.tlsSecret, or use ingress.kind traefik or gateway" -}}
{{- end -}}
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
