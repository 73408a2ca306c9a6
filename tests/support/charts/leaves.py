"""Another value for each leaf of values.yaml, and the values beside which it shows in what is rendered."""

from collections.abc import Iterator, Mapping
from typing import Any

Values = Mapping[str, Any]

LLMAPI: Values = {"mode": "llmapi", "model": {"repository": "meta-llama/Llama-3.1-8B-Instruct"}}
ENGINE: Values = {
    **LLMAPI,
    "mode": "engine",
    "gpu": {"products": ["NVIDIA-H100-80GB-HBM3"]},
    "modelVolume": {"claimName": "models"},
}
EMULATED: Values = {"mode": "emulated"}
STATIC: Values = {**EMULATED, "autoscaling": {"enabled": False}}
CLAIM: Values = {**LLMAPI, "modelVolume": {"create": {"enabled": True}}}
GROUP: Values = {**LLMAPI, "parallelism": {"tensor": 16}, "multiNode": {"enabled": True}}
TTFT: Values = {**EMULATED, "autoscaling": {"metrics": {"ttft": {"enabled": True}}}}
WAITING: Values = {**EMULATED, "autoscaling": {"metrics": {"waiting": {"enabled": True}}}}
KEDA: Values = {**EMULATED, "autoscaling": {"kind": "keda", "keda": {"prometheusUrl": "http://prometheus:9090"}}}
AUTHENTICATED: Values = {
    **EMULATED,
    "autoscaling": {
        "kind": "keda",
        "keda": {"prometheusUrl": "https://prometheus.example.com", "authentication": {"name": "prometheus"}},
    },
}
ACTIVATED: Values = {
    **EMULATED,
    "autoscaling": {"minReplicas": 0, "activation": {"query": "sum(rate(requests[1m]))"}},
}
FALLBACK: Values = {
    **EMULATED,
    "autoscaling": {"kind": "keda", "keda": {"prometheusUrl": "http://prometheus:9090", "fallback": {"replicas": 2}}},
}
REFERENCE: Values = {**EMULATED, "rules": {"reference": {"enabled": True}}}
TRAEFIK: Values = {**EMULATED, "ingress": {"kind": "traefik", "host": "*"}}
NGINX: Values = {**EMULATED, "ingress": {"kind": "nginx", "host": "llm.example.com", "tlsSecret": "tls"}}
GATEWAY: Values = {**EMULATED, "ingress": {"kind": "gateway", "host": "llm.example.com", "gateway": {"name": "public"}}}
POLICY: Values = {**EMULATED, "networkPolicy": {"enabled": True}}
BALANCER: Values = {**EMULATED, "service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}}
S3: Values = {"mode": "llmapi", "model": {"uri": "s3://models/llama"}}
S3_KEYS: Values = {
    **S3,
    "model": {**S3["model"], "s3": {"credentialsSecret": {"name": "s3"}, "ca": {"configMap": "ca"}}},
}
NGC: Values = {
    "mode": "llmapi",
    "model": {
        "uri": "ngc://nvidia/team/llama:1",
        "ngc": {"apiKeySecret": {"name": "ngc"}},
        "download": {"image": "registry.example.com/ngc:4"},
    },
}
DRA: Values = {**LLMAPI, "gpu": {"dra": {"enabled": True}}}
TOKEN: Values = {**LLMAPI, "model": {**LLMAPI["model"], "tokenSecret": {"name": "token"}}}

# A change that needs others with it, to be taken, is a whole tree of values.
CHANGES: dict[str, tuple[Values, Any]] = {
    "mode": (EMULATED, {"mode": "llmapi", **LLMAPI}),
    "nameOverride": (EMULATED, "llm"),
    "fullnameOverride": (EMULATED, "llm"),
    "commonLabels": (EMULATED, {"team": "serving"}),
    "commonAnnotations": (EMULATED, {"example.com/note": "x"}),
    "image.repository": (EMULATED, "registry.example.com/triton"),
    "image.tag": (EMULATED, "25.01-py3"),
    "image.digest": (EMULATED, "sha256:" + 64 * "0"),
    "image.pullPolicy": (EMULATED, "Always"),
    "image.pullSecrets": (EMULATED, ["ngc"]),
    "model.repository": (LLMAPI, "meta-llama/Llama-3.1-70B-Instruct"),
    "model.path": (CLAIM, {"model": {"repository": "", "path": "llama"}}),
    "model.revision": (LLMAPI, "0123abc"),
    "model.dataType": (LLMAPI, "float16"),
    "model.quantization": (ENGINE, "fp8"),
    "model.tokenSecret.name": (LLMAPI, "token"),
    "model.tokenSecret.key": (TOKEN, "password"),
    "model.uri": (S3, "s3://models/qwen"),
    "model.s3.endpoint": (S3, "https://minio:9000"),
    "model.s3.region": (S3, "eu-central-1"),
    "model.s3.credentialsSecret.name": (S3, "s3"),
    "model.s3.credentialsSecret.accessKeyId": (S3_KEYS, "accesskey"),
    "model.s3.credentialsSecret.secretAccessKey": (S3_KEYS, "secretkey"),
    "model.s3.credentialsSecret.sessionToken": (S3_KEYS, "token"),
    "model.s3.ca.configMap": (S3, "ca"),
    "model.s3.ca.secret": (S3, "ca"),
    "model.s3.ca.key": (S3_KEYS, "bundle.pem"),
    "model.ngc.apiKeySecret.name": (NGC, "other"),
    "model.ngc.apiKeySecret.key": (NGC, "key"),
    "model.download.image": (S3, "registry.example.com/aws:2"),
    "model.download.timeoutSeconds": (S3, 60),
    "model.download.resources.requests.cpu": (S3, "1"),
    "model.download.resources.requests.memory": (S3, "1Gi"),
    "model.download.resources.requests.ephemeral-storage": (S3, "1Gi"),
    "model.download.resources.limits.cpu": (S3, "8"),
    "model.download.resources.limits.memory": (S3, "8Gi"),
    "parallelism.tensor": (LLMAPI, 2),
    "parallelism.pipeline": (LLMAPI, 2),
    "gpu.products": (LLMAPI, ["NVIDIA-L40S"]),
    "gpu.productLabel": (ENGINE, "cloud.google.com/gke-accelerator"),
    "gpu.resource": (LLMAPI, "nvidia.com/mig-3g.40gb"),
    "gpu.visibleDevices": ({**LLMAPI, "gpu": {"resource": ""}}, "0"),
    "gpu.dra.enabled": (LLMAPI, True),
    "gpu.dra.deviceClass": (DRA, "mig.nvidia.com"),
    "gpu.dra.selectors": (DRA, ['device.attributes["gpu.nvidia.com"].productName == "NVIDIA L40S"']),
    "gpu.dra.claimTemplate": (DRA, "shared-gpus"),
    "gpu.perPod": (EMULATED, 1),
    "gpu.perNode": (GROUP, 4),
    "multiNode.enabled": (LLMAPI, {"multiNode": {"enabled": True}, "parallelism": {"tensor": 16}}),
    "multiNode.exclusiveTopology": (GROUP, "topology.kubernetes.io/rack"),
    "modelVolume.claimName": (LLMAPI, "models"),
    "modelVolume.create.enabled": (LLMAPI, True),
    "modelVolume.create.size": (CLAIM, "1Ti"),
    "modelVolume.create.storageClassName": (CLAIM, "fast"),
    "modelVolume.create.accessModes": (CLAIM, ["ReadWriteOnce"]),
    "modelVolume.create.labels": (CLAIM, {"team": "serving"}),
    "modelVolume.create.annotations": (CLAIM, {"example.com/note": "x"}),
    "modelVolume.create.selector": (CLAIM, {"matchLabels": {"disk": "fast"}}),
    "modelVolume.hostPath": (LLMAPI, "/data"),
    "engine.build.enabled": (ENGINE, False),
    "engine.build.by": (ENGINE, "pod"),
    "engine.build.backoffLimit": (ENGINE, 5),
    "engine.build.deadlineSeconds": (ENGINE, 600),
    "engine.build.minFreeGiB": (ENGINE, 5),
    "engine.build.resources": (ENGINE, {"requests": {"cpu": "1"}}),
    "engine.build.extraArgs": (ENGINE, ["--workers=2"]),
    "engine.build.convertExtraArgs": (ENGINE, ["--workers=2"]),
    "engine.convertScript": (ENGINE, "/app/convert.py"),
    "engine.maxBatchSize": (ENGINE, 8),
    "engine.maxInputLength": (ENGINE, 512),
    "engine.maxSequenceLength": (ENGINE, 1024),
    "engine.maxTokens": (ENGINE, 2048),
    "engine.kvCacheFreeGpuMemoryFraction": (ENGINE, 0.5),
    "engine.blsInstances": (ENGINE, 7),
    "engine.preprocessingInstances": (ENGINE, 1),
    "engine.postprocessingInstances": (ENGINE, 1),
    "engine.waitSeconds": (ENGINE, 60),
    "llmapi.maxBatchSize": (LLMAPI, 8),
    "llmapi.kvCacheFreeGpuMemoryFraction": (LLMAPI, 0.5),
    "llmapi.extraArgs": (LLMAPI, {"enable_chunked_prefill": True}),
    "emulated.plays": (EMULATED, "llmapi"),
    "emulated.loadSeconds": (EMULATED, 30),
    "emulated.profile.name": (EMULATED, "mine"),
    "emulated.profile.blsInstances": (EMULATED, 2),
    "emulated.profile.engine.step.base_s": (EMULATED, 0.5),
    "emulated.profile.engine.step.per_sequence_s": (EMULATED, 0.5),
    "emulated.profile.engine.step.per_context_token_s": (EMULATED, 0.5),
    "emulated.profile.engine.step.per_prefill_token_s": (EMULATED, 0.5),
    "emulated.profile.engine.max_batch_size": (EMULATED, 3),
    "emulated.profile.engine.max_num_tokens": (EMULATED, 128),
    "emulated.profile.engine.kv_blocks": (EMULATED, 100),
    "emulated.profile.engine.tokens_per_block": (EMULATED, 16),
    "emulated.profile.engine.max_seq_len": (EMULATED, 1024),
    "server.replicas": (STATIC, 3),
    "server.loadBudgetSeconds": (EMULATED, 60),
    "server.longestGenerationSeconds": (EMULATED, 30),
    "server.preStopSeconds": (EMULATED, 9),
    "server.terminationGracePeriodSeconds": (EMULATED, 500),
    "server.grpcMaxConnectionAgeSeconds": (EMULATED, 60),
    "server.logVerbose": (EMULATED, 1),
    "server.extraArgs": (EMULATED, ["--http-thread-count=16"]),
    "server.env": (EMULATED, [{"name": "TZ", "value": "UTC"}]),
    "server.envFrom": (EMULATED, [{"secretRef": {"name": "keys"}}]),
    "server.lifecycle": (EMULATED, {"postStart": {"exec": {"command": ["true"]}}}),
    "server.resources": (EMULATED, {"requests": {"cpu": "2"}}),
    "server.sharedMemory": (EMULATED, "1Gi"),
    "server.probes.startup.periodSeconds": (EMULATED, 1),
    "server.probes.readiness.periodSeconds": (EMULATED, 7),
    "server.probes.readiness.timeoutSeconds": (EMULATED, 7),
    "server.probes.readiness.failureThreshold": (EMULATED, 7),
    "server.probes.liveness.periodSeconds": (EMULATED, 7),
    "server.probes.liveness.timeoutSeconds": (EMULATED, 7),
    "server.probes.liveness.failureThreshold": (EMULATED, 7),
    "init.resources.requests.cpu": (EMULATED, "10m"),
    "init.resources.requests.memory": (EMULATED, "32Mi"),
    "init.resources.requests.ephemeral-storage": (EMULATED, "32Mi"),
    "init.resources.limits.cpu": (EMULATED, "2"),
    "init.resources.limits.memory": (EMULATED, "1Gi"),
    "init.resources.limits.ephemeral-storage": (EMULATED, "2Gi"),
    "pod.labels": (EMULATED, {"team": "serving"}),
    "pod.annotations": (EMULATED, {"example.com/note": "x"}),
    "pod.nodeSelector": (EMULATED, {"pool": "gpu"}),
    "pod.tolerations": (EMULATED, [{"key": "dedicated", "operator": "Exists"}]),
    "pod.affinity": (EMULATED, {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}),
    "pod.initContainers": (EMULATED, [{"name": "fetch", "image": "fetch:1"}]),
    "pod.sidecars": (EMULATED, [{"name": "logs", "image": "logs:1"}]),
    "pod.dnsPolicy": (EMULATED, "Default"),
    "pod.dnsConfig": (EMULATED, {"options": [{"name": "ndots", "value": "2"}]}),
    "pod.hostAliases": (EMULATED, [{"ip": "10.0.0.1", "hostnames": ["models"]}]),
    "pod.extraVolumes": (EMULATED, [{"name": "ca", "configMap": {"name": "ca"}}]),
    "pod.extraVolumeMounts": (EMULATED, [{"name": "ca", "mountPath": "/ca"}]),
    "pod.topologySpreadConstraints": (EMULATED, []),
    "pod.priorityClassName": (EMULATED, "serving"),
    "pod.runtimeClassName": (EMULATED, "nvidia"),
    "pod.resourceClaims": (EMULATED, [{"name": "rdma", "resourceClaimTemplateName": "rdma"}]),
    "pod.schedulerName": (EMULATED, "volcano"),
    "pod.securityContext.runAsNonRoot": (EMULATED, False),
    "pod.securityContext.runAsUser": (EMULATED, 2000),
    "pod.securityContext.runAsGroup": (EMULATED, 2000),
    "pod.securityContext.fsGroup": (EMULATED, 2000),
    "pod.securityContext.seccompProfile.type": (EMULATED, "Unconfined"),
    "pod.containerSecurityContext.allowPrivilegeEscalation": (EMULATED, True),
    "pod.containerSecurityContext.capabilities.drop": (EMULATED, ["NET_RAW"]),
    "pod.containerSecurityContext.readOnlyRootFilesystem": (LLMAPI, True),
    "serviceAccount.create": (EMULATED, False),
    "serviceAccount.name": (EMULATED, "llm"),
    "serviceAccount.annotations": (EMULATED, {"example.com/role": "reader"}),
    "strategy.maxSurge": (EMULATED, 2),
    "strategy.maxUnavailable": (EMULATED, 1),
    "strategy.minReadySeconds": (EMULATED, 10),
    "strategy.revisionHistoryLimit": (EMULATED, 3),
    "podDisruptionBudget.minAvailable": (EMULATED, {"podDisruptionBudget": {"minAvailable": "50%"}}),
    "podDisruptionBudget.enabled": (EMULATED, False),
    "podDisruptionBudget.maxUnavailable": (EMULATED, 2),
    "service.type": (EMULATED, "NodePort"),
    "service.annotations": (EMULATED, {"example.com/note": "x"}),
    "service.httpPort": (EMULATED, 80),
    "service.grpcPort": (EMULATED, 81),
    "service.loadBalancerSourceRanges": (BALANCER, ["192.168.0.0/16"]),
    "service.headless": (EMULATED, False),
    "ingress.kind": ({**EMULATED, "ingress": {"host": "llm.example.com"}}, "traefik"),
    "ingress.host": (TRAEFIK, "llm.example.com"),
    "ingress.hosts": (NGINX, [{"host": "*.example.org", "tlsSecret": "org"}]),
    "ingress.annotations": (TRAEFIK, {"example.com/note": "x"}),
    "ingress.tlsSecret": (TRAEFIK, "tls"),
    "ingress.traefik.entryPoints": (TRAEFIK, ["websecure"]),
    "ingress.nginx.className": (NGINX, "internal"),
    "ingress.gateway.name": (GATEWAY, "internal"),
    "ingress.gateway.namespace": (GATEWAY, "gateways"),
    "ingress.gateway.sectionName": (GATEWAY, "https"),
    "ingress.gateway.sectionNames": (GATEWAY, ["https", "https-wildcard"]),
    "ingress.gateway.httpHost": (GATEWAY, "http.llm.example.com"),
    "ingress.gateway.httpHosts": (GATEWAY, ["http.llm.example.com"]),
    "networkPolicy.enabled": (EMULATED, True),
    "networkPolicy.clients": (POLICY, [{"podSelector": {}}]),
    "networkPolicy.prometheus": (POLICY, [{"podSelector": {}}]),
    "networkPolicy.egress": (POLICY, []),
    "metrics.monitor": (EMULATED, "ServiceMonitor"),
    "metrics.scrapeInterval": (EMULATED, "1s"),
    "metrics.honorLabels": (EMULATED, True),
    "metrics.relabelings": (EMULATED, [{"targetLabel": "cluster", "replacement": "one"}]),
    "metrics.metricRelabelings": (EMULATED, [{"action": "drop", "regex": "nv_gpu_.*", "sourceLabels": ["__name__"]}]),
    "metrics.labels": (EMULATED, {"release": "kube-prometheus-stack"}),
    "rules.enabled": (STATIC, False),
    "rules.interval": (EMULATED, "1s"),
    "rules.window": (EMULATED, "1m"),
    "rules.ratio.record": (EMULATED, "mine:ratio"),
    "rules.ratio.idleRatio": (EMULATED, 0.5),
    "rules.reference.enabled": (EMULATED, True),
    "rules.reference.record": (REFERENCE, "mine:reference"),
    "autoscaling.enabled": (EMULATED, False),
    "autoscaling.kind": (EMULATED, {"autoscaling": {"kind": "keda", "keda": {"prometheusUrl": "http://p:9090"}}}),
    "autoscaling.minReplicas": (EMULATED, 2),
    "autoscaling.maxReplicas": (EMULATED, 9),
    "autoscaling.metrics.ratio.enabled": (EMULATED, False),
    "autoscaling.metrics.ratio.target": (EMULATED, "500m"),
    "autoscaling.metrics.busy.enabled": (EMULATED, False),
    "autoscaling.metrics.busy.target": (EMULATED, "0.5"),
    "autoscaling.metrics.waiting.enabled": (EMULATED, True),
    "autoscaling.metrics.waiting.target": (WAITING, "9"),
    "autoscaling.metrics.ttft.enabled": (EMULATED, True),
    "autoscaling.metrics.ttft.target": (TTFT, "9"),
    "autoscaling.metrics.ttft.quantile": (TTFT, 0.5),
    "autoscaling.behavior.scaleUp.stabilizationWindowSeconds": (EMULATED, 30),
    "autoscaling.behavior.scaleUp.selectPolicy": (EMULATED, "Min"),
    "autoscaling.behavior.scaleUp.policies": (EMULATED, [{"type": "Pods", "value": 1, "periodSeconds": 15}]),
    "autoscaling.behavior.scaleDown.stabilizationWindowSeconds": (EMULATED, 30),
    "autoscaling.behavior.scaleDown.selectPolicy": (EMULATED, "Disabled"),
    "autoscaling.behavior.scaleDown.policies": (EMULATED, [{"type": "Pods", "value": 2, "periodSeconds": 15}]),
    "autoscaling.activation.query": (ACTIVATED, "sum(rate(others[1m]))"),
    "autoscaling.activation.threshold": (ACTIVATED, 9),
    "autoscaling.keda.prometheusUrl": (KEDA, "http://other:9090"),
    "autoscaling.keda.authentication.name": (KEDA, "prometheus"),
    "autoscaling.keda.authentication.kind": (AUTHENTICATED, "ClusterTriggerAuthentication"),
    "autoscaling.keda.authentication.modes": (AUTHENTICATED, ["basic"]),
    "autoscaling.keda.headers": (KEDA, {"X-Scope-OrgID": "team-a"}),
    "autoscaling.keda.pollingSeconds": (KEDA, 5),
    "autoscaling.keda.cooldownSeconds": (KEDA, 60),
    "autoscaling.keda.idleReplicaCount": (
        KEDA,
        {"autoscaling": {"activation": {"query": "sum(rate(requests[1m]))"}, "keda": {"idleReplicaCount": 0}}},
    ),
    "autoscaling.keda.fallback.replicas": (KEDA, 2),
    "autoscaling.keda.fallback.failureThreshold": (FALLBACK, 5),
    "autoscaling.keda.fallback.behavior": (FALLBACK, "currentReplicas"),
    "autoscaling.keda.triggers": (KEDA, [{"type": "cron", "metadata": {"desiredReplicas": "3"}}]),
    "adapter.configMap": (EMULATED, False),
    "dashboard.enabled": (EMULATED, False),
    "dashboard.labels.grafana_dashboard": (EMULATED, "yes"),
    "test.prompt": (EMULATED, "Hello?"),
    "test.maxTokens": (EMULATED, 3),
    "test.image": (EMULATED, "registry.example.com/python:3"),
    "test.withinSeconds": (EMULATED, 60),
    "test.resources.requests.cpu": (EMULATED, "10m"),
    "test.resources.requests.memory": (EMULATED, "32Mi"),
    "test.resources.requests.ephemeral-storage": (EMULATED, "32Mi"),
    "test.resources.limits.cpu": (EMULATED, "2"),
    "test.resources.limits.memory": (EMULATED, "1Gi"),
    "test.resources.limits.ephemeral-storage": (EMULATED, "2Gi"),
    "sidecarOptOut.labels.sidecar.istio.io/inject": (
        EMULATED,
        {"sidecarOptOut": {"labels": {"sidecar.istio.io/inject": "true"}}},
    ),
    "sidecarOptOut.annotations.sidecar.istio.io/inject": (
        EMULATED,
        {"sidecarOptOut": {"annotations": {"sidecar.istio.io/inject": "true"}}},
    ),
    "sidecarOptOut.annotations.linkerd.io/inject": (
        EMULATED,
        {"sidecarOptOut": {"annotations": {"linkerd.io/inject": "enabled"}}},
    ),
}


def leaves(tree: Values, path: str = "") -> Iterator[str]:
    """Dotted names of what has nothing below it."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def merged(one: Values, other: Values) -> dict[str, Any]:
    """The second tree over the first, as helm lays values over each other."""
    both = dict(one)
    for key, value in other.items():
        below = both.get(key)
        both[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return both


def changed(name: str) -> tuple[Values, dict[str, Any]]:
    """The values of a leaf's case without its change, and with it."""
    context, value = CHANGES[name]
    top = name.partition(".")[0]
    if not (isinstance(value, Mapping) and top in value):
        for key in reversed(name.split(".")):
            value = {key: value}
    return context, merged(context, value)
