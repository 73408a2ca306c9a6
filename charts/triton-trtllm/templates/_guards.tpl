{{/* Contradictions that a schema cannot see: each ends the rendering with what to do. */}}
{{- define "triton.guards" -}}
{{- $v := .Values -}}
{{- $tag := include "triton.tag" . -}}
{{- $release := include "triton.release" . | int -}}
{{- $trtllm := contains "trtllm" $tag -}}

{{- if $v.image.checkTag -}}
{{- if and (ne $v.mode "emulated") (not $trtllm) -}}
{{- fail (printf "mode %s needs an image with TensorRT-LLM, and the tag %s has none: take 26.07-trtllm-python-py3, or set image.checkTag=false for an image of your own" $v.mode $tag) -}}
{{- end -}}
{{- if not $release -}}
{{- fail (printf "the tag %s does not begin with a release such as 26.07-: pin one, or set image.checkTag=false for an image of your own" $tag) -}}
{{- end -}}
{{- if and (eq $v.mode "engine") (gt $release 2607) -}}
{{- fail (printf "mode engine needs an image up to 26.07, and the tag is %s: later ones have no backend for TensorRT engines; pin 26.07, or use mode llmapi" $tag) -}}
{{- end -}}
{{- if and (eq $v.mode "llmapi") (ge $release 2611) -}}
{{- fail (printf "Triton ships no TensorRT-LLM from 26.11 on, and the tag is %s: pin 26.07-trtllm-python-py3, or bring an image of your own and set image.checkTag=false" $tag) -}}
{{- end -}}
{{- if and (eq $v.mode "emulated") (or (contains "sdk" $tag) (contains "min" $tag)) -}}
{{- fail (printf "mode emulated needs a server with the Python backend, and the tag is %s: take one such as 26.07-py3" $tag) -}}
{{- end -}}
{{- end -}}

{{- if and (ne $v.mode "emulated") (not $v.model.repository) (not $v.model.path) -}}
{{- fail "no model: set model.repository to a Hugging Face repository, or model.path to a folder on the model volume (or mode=emulated, which needs none)" -}}
{{- end -}}
{{- if and $v.model.repository $v.model.path -}}
{{- fail "model.repository and model.path are both set: keep the one that the model comes from" -}}
{{- end -}}

{{- $volumes := 0 -}}
{{- if $v.modelVolume.claimName -}}{{- $volumes = add1 $volumes -}}{{- end -}}
{{- if $v.modelVolume.create.enabled -}}{{- $volumes = add1 $volumes -}}{{- end -}}
{{- if $v.modelVolume.hostPath -}}{{- $volumes = add1 $volumes -}}{{- end -}}
{{- if gt (int $volumes) 1 -}}
{{- fail "modelVolume names more than one of claimName, create and hostPath: keep one" -}}
{{- end -}}
{{- if and (eq $v.mode "engine") (not $volumes) -}}
{{- fail "mode engine needs a volume for its engines, or every pod would build its own: set modelVolume.claimName, modelVolume.create.enabled or modelVolume.hostPath" -}}
{{- end -}}
{{- if and (eq $v.mode "engine") $v.modelVolume.hostPath $v.engine.build.enabled (eq $v.engine.build.by "job") -}}
{{- fail "a Job fills only the disk of the node that it runs on, and modelVolume.hostPath is each node's own: set engine.build.by=pod" -}}
{{- end -}}
{{- if and $v.model.path (not $volumes) -}}
{{- fail "model.path is a folder on the model volume, and there is none: set modelVolume" -}}
{{- end -}}
{{- if and (eq $v.mode "engine") (ne (len $v.gpu.products) 1) -}}
{{- fail (printf "an engine is built for one GPU product, and gpu.products names %d: name the one (kubectl get nodes -L %s)" (len $v.gpu.products) $v.gpu.productLabel) -}}
{{- end -}}

{{- if and (eq $v.mode "llmapi") (ne $v.model.quantization "none") -}}
{{- fail "mode llmapi takes the quantisation from the checkpoint: name a quantised one as model.repository, such as nvidia/Llama-3.1-8B-Instruct-FP8, and leave model.quantization none, or use mode engine" -}}
{{- end -}}

{{- $world := include "triton.worldSize" . | int -}}
{{- $nodes := include "triton.nodes" . | int -}}
{{- if gt (include "triton.gpus" . | int) (int $v.gpu.perNode) -}}
{{- fail (printf "a pod would need %s GPUs and a node has %d: lower parallelism, raise gpu.perNode if your nodes have more, or spread the model over nodes with multiNode.enabled=true" (include "triton.gpus" .) (int $v.gpu.perNode)) -}}
{{- end -}}
{{- if and $v.multiNode.enabled (lt $nodes 2) -}}
{{- fail (printf "multiNode is enabled, and the %d GPUs of tensor × pipeline are on one node of gpu.perNode %d: set multiNode.enabled=false" $world (int $v.gpu.perNode)) -}}
{{- end -}}
{{- if mod $world $nodes -}}
{{- fail (printf "%d GPUs cannot be shared evenly by %d nodes of gpu.perNode %d: change parallelism or gpu.perNode" $world $nodes (int $v.gpu.perNode)) -}}
{{- end -}}
{{- if and $v.multiNode.enabled (ne $v.mode "emulated") (ne (mul $nodes (include "triton.gpus" .) | int) $world) -}}
{{- fail (printf "gpu.perPod %s on %d nodes are not the %d GPUs of tensor × pipeline: leave gpu.perPod null" (include "triton.gpus" .) $nodes $world) -}}
{{- end -}}
{{- if and (not $v.multiNode.enabled) (ne $v.mode "emulated") (ne (include "triton.gpus" . | int) $world) -}}
{{- fail (printf "gpu.perPod %s is not the %d GPUs of tensor × pipeline: each has one rank, a rank without a GPU cannot start, and a GPU without a rank lies idle: leave gpu.perPod null" (include "triton.gpus" .) $world) -}}
{{- end -}}
{{- if and $v.multiNode.enabled (eq $v.mode "engine") $v.modelVolume.hostPath -}}
{{- fail "the pods of a group read one engine, and modelVolume.hostPath is each node's own: set modelVolume.claimName or modelVolume.create.enabled" -}}
{{- end -}}
{{- if and $v.multiNode.enabled $v.modelVolume.create.enabled (not (or (has "ReadWriteMany" $v.modelVolume.create.accessModes) (has "ReadOnlyMany" $v.modelVolume.create.accessModes))) -}}
{{- fail "the pods of a group are on several nodes, and modelVolume.create.accessModes lets one node mount the volume: take ReadWriteMany" -}}
{{- end -}}

{{- if and $v.autoscaling.enabled (not (kindIs "invalid" $v.server.replicas)) -}}
{{- fail "server.replicas is set and the autoscaler is on: every upgrade would reset what it decided; leave replicas null, or set autoscaling.enabled=false" -}}
{{- end -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas %d is above maxReplicas %d: swap them" (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- $m := $v.autoscaling.metrics -}}
{{- if and $v.autoscaling.enabled (not (or $m.ratio.enabled $m.busy.enabled $m.waiting.enabled $m.ttft.enabled)) -}}
{{- fail "autoscaling has no metric: enable one of autoscaling.metrics, or set autoscaling.enabled=false" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not $v.rules.enabled) -}}
{{- fail "the autoscaler reads what rules record, and rules.enabled is false: set it, or autoscaling.enabled=false" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.metrics.monitor "none") -}}
{{- fail "the autoscaler needs metrics, and metrics.monitor is none: take PodMonitor or ServiceMonitor, or set autoscaling.enabled=false" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq (int $v.autoscaling.minReplicas) 0) (not $v.autoscaling.activation.query) -}}
{{- fail "with minReplicas 0 nothing would ever start a pod again, as pods that are not there have no metrics: set autoscaling.activation.query, or minReplicas 1" -}}
{{- end -}}
{{- if and $v.autoscaling.activation.query (gt (int $v.autoscaling.minReplicas) 0) -}}
{{- fail (printf "autoscaling.activation starts the first pod of none, and minReplicas is %d: set minReplicas 0, or leave activation.query empty" (int $v.autoscaling.minReplicas)) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.autoscaling.kind "hpa") (eq (int $v.autoscaling.minReplicas) 0) (semverCompare "<1.37.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "an HPA scales to zero from Kubernetes 1.37 on, and this is %s: use autoscaling.kind=keda, or minReplicas 1" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.autoscaling.kind "keda") (not $v.autoscaling.keda.prometheusUrl) -}}
{{- fail "KEDA asks Prometheus itself: set autoscaling.keda.prometheusUrl, such as http://prometheus-operated.monitoring.svc:9090" -}}
{{- end -}}
{{- if and $m.ttft.enabled (eq (include "triton.signal" .) "engine") $v.image.checkTag (lt $release 2411) -}}
{{- fail (printf "autoscaling.metrics.ttft needs Triton's first-response histogram, which came with 24.11, and the tag is %s: take a later one, or another metric" $tag) -}}
{{- end -}}
{{- if eq $v.rules.ratio.record $v.rules.reference.record -}}
{{- fail "rules.ratio.record and rules.reference.record are one name for two formulas: give them two" -}}
{{- end -}}
{{- if lt (include "triton.seconds" $v.rules.window | float64) (mulf 4.0 (include "triton.seconds" $v.metrics.scrapeInterval | float64)) -}}
{{- fail (printf "rules.window %s holds fewer than four scrapes of %s: rate() would have gaps; lengthen it" $v.rules.window $v.metrics.scrapeInterval) -}}
{{- end -}}

{{- $least := add (int $v.server.preStopSeconds) (int $v.server.longestGenerationSeconds) -}}
{{- if lt (include "triton.grace" . | int) (int $least) -}}
{{- fail (printf "terminationGracePeriodSeconds %s is shorter than preStopSeconds + longestGenerationSeconds = %d: a scale-down would cut answers; raise it, or leave it null" (include "triton.grace" .) $least) -}}
{{- end -}}

{{- if and (eq (toString $v.strategy.maxSurge) "0") (eq (toString $v.strategy.maxUnavailable) "0") -}}
{{- fail "strategy.maxSurge and maxUnavailable are both 0: no update could ever begin; raise one" -}}
{{- end -}}
{{- if and (eq $v.service.type "LoadBalancer") (not $v.service.loadBalancerSourceRanges) -}}
{{- fail "a LoadBalancer without service.loadBalancerSourceRanges opens the model to everybody: name who may reach it (0.0.0.0/0 if you mean it)" -}}
{{- end -}}
{{- if and (ne $v.ingress.kind "none") (not $v.ingress.host) -}}
{{- fail (printf "ingress.kind %s needs ingress.host: the name by which clients ask, or with traefik \"*\" for any, which leaves no room for a second release" $v.ingress.kind) -}}
{{- end -}}
{{- if and (eq $v.ingress.host "*") (ne $v.ingress.kind "traefik") -}}
{{- fail (printf "ingress.host \"*\" is for ingress.kind traefik alone, and this is %s: name the host" $v.ingress.kind) -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "gateway") (eq $v.ingress.gateway.httpHost $v.ingress.host) -}}
{{- fail (printf "ingress.gateway.httpHost is ingress.host, %s: a gateway takes one of a GRPCRoute and an HTTPRoute of the same name; give HTTP another name, or leave it empty" $v.ingress.host) -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "gateway") (not $v.ingress.gateway.name) -}}
{{- fail "ingress.kind gateway needs ingress.gateway.name: the Gateway that the routes hang on" -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "nginx") (not $v.ingress.tlsSecret) -}}
{{- fail "NGINX takes gRPC only over TLS: set ingress.tlsSecret, or use ingress.kind traefik or gateway" -}}
{{- end -}}
{{- end -}}

{{/* Seconds of a Prometheus duration with one unit, such as 500ms, 5s or 1m. */}}
{{- define "triton.seconds" -}}
{{- if hasSuffix "ms" . -}}{{- divf (trimSuffix "ms" . | float64) 1000 -}}
{{- else if hasSuffix "m" . -}}{{- mulf (trimSuffix "m" . | float64) 60 -}}
{{- else -}}{{- trimSuffix "s" . | float64 -}}
{{- end -}}
{{- end -}}
