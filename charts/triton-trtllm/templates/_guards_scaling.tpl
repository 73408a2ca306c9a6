{{/* Rejects values of the autoscaler that contradict each other. */}}
{{- define "triton.scalingGuards" -}}
{{- $v := .Values -}}
{{- $auto := $v.autoscaling -}}
{{- $least := int $auto.minReplicas -}}
{{- $m := $auto.metrics -}}
{{- $own := or $m.ratio.enabled $m.busy.enabled $m.waiting.enabled $m.ttft.enabled -}}
{{- $keda := and $auto.enabled (eq $auto.kind "keda") -}}
{{- $triggers := $keda | ternary $auto.keda.triggers list -}}
{{- $fromZero := include "triton.fromZero" . -}}

{{- if and $auto.enabled (not (kindIs "invalid" $v.server.replicas)) -}}
{{- fail "server.replicas is set and autoscaling is enabled: each upgrade would reset the autoscaler's decision; leave server.replicas null, or set autoscaling.enabled=false" -}}
{{- end -}}
{{- if gt $least (int $auto.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas %d is above maxReplicas %d: lower minReplicas or raise maxReplicas" $least (int $auto.maxReplicas)) -}}
{{- end -}}
{{- if and $auto.enabled (not $own) (not $triggers) -}}
{{- fail "autoscaling has no metric: enable at least one of autoscaling.metrics, or set autoscaling.enabled=false (with kind keda, autoscaling.keda.triggers can replace them)" -}}
{{- end -}}
{{- if and $auto.enabled $own (not $v.rules.enabled) -}}
{{- fail "the autoscaler needs the recording rules, and rules.enabled is false: set rules.enabled=true, or autoscaling.enabled=false" -}}
{{- end -}}
{{- if and $auto.enabled $own (eq $v.metrics.monitor "none") -}}
{{- fail "the autoscaler needs metrics, and metrics.monitor is none: use PodMonitor or ServiceMonitor, or set autoscaling.enabled=false" -}}
{{- end -}}

{{- $observer := false -}}
{{- range $triggers -}}
{{- if not (has .type (list "cpu" "memory")) -}}{{- $observer = true -}}{{- end -}}
{{- end -}}
{{- if and $fromZero (not $auto.activation.query) (not $observer) -}}
{{- $value := eq $least 0 | ternary "autoscaling.minReplicas 0" "autoscaling.keda.idleReplicaCount 0" -}}
{{- $or := eq $least 0 | ternary "minReplicas 1" "leave idleReplicaCount null" -}}
{{- fail (printf "with %s and no pods there are no metrics to scale up on: set autoscaling.activation.query, or %s" $value $or) -}}
{{- end -}}
{{- if and $auto.activation.query (gt $least 0) (not $fromZero) -}}
{{- fail (printf "autoscaling.activation.query is for scaling from zero, and minReplicas is %d: set minReplicas 0%s, or leave activation.query empty" $least ($keda | ternary " or keda.idleReplicaCount 0" "")) -}}
{{- end -}}
{{- if and $fromZero $m.ratio.enabled (gt (float64 $v.rules.ratio.idleRatio) 0.0) -}}
{{- fail (printf "rules.ratio.idleRatio %v makes an idle pod look busy, so the autoscaler would never scale to zero: set idleRatio 0, or do not scale to zero" $v.rules.ratio.idleRatio) -}}
{{- end -}}
{{- if and $auto.enabled (eq $auto.kind "hpa") (eq $least 0) (semverCompare "<1.37.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "an HPA scales to zero from Kubernetes 1.37 on, and this cluster is %s: use autoscaling.kind=keda, or minReplicas 1" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and $auto.enabled (eq $auto.kind "hpa") -}}
{{- $hpa := lookup "autoscaling/v2" "HorizontalPodAutoscaler" .Release.Namespace (include "triton.hpa" .) -}}
{{- range dig "metadata" "ownerReferences" list $hpa -}}
{{- if eq .kind "ScaledObject" -}}
{{- fail (printf "the HPA %s belongs to KEDA, which deletes it with its ScaledObject: upgrade once with autoscaling.kind=keda, so that KEDA renames it, and then with kind=hpa" (include "triton.hpa" $)) -}}
{{- end -}}
{{- end -}}
{{- $unused := list -}}
{{- if $auto.keda.triggers -}}{{- $unused = append $unused "triggers" -}}{{- end -}}
{{- if include "triton.keda.fallback" . -}}{{- $unused = append $unused "fallback.replicas" -}}{{- end -}}
{{- if not (kindIs "invalid" $auto.keda.idleReplicaCount) -}}{{- $unused = append $unused "idleReplicaCount" -}}{{- end -}}
{{- with $unused -}}
{{- fail (printf "autoscaling.keda.%s is set, and autoscaling.kind hpa has no such setting: use kind keda, or leave it out" (first .)) -}}
{{- end -}}
{{- end -}}
{{- if and $keda (or $own $auto.activation.query) (not $auto.keda.prometheusUrl) -}}
{{- fail "KEDA queries Prometheus directly: set autoscaling.keda.prometheusUrl, for example http://prometheus-operated.monitoring.svc:9090" -}}
{{- end -}}
{{- include "triton.kedaGuards" (list . (or $own $auto.activation.query $observer)) -}}
{{- end -}}

{{/* Rejects what KEDA would refuse or ignore. Arguments: root, and whether a trigger other than cpu and memory exists. */}}
{{- define "triton.kedaGuards" -}}
{{- $fallback := include "triton.keda.fallback" (index . 0) | fromYaml -}}
{{- $observer := index . 1 -}}
{{- with (index . 0).Values.autoscaling -}}
{{- $keda := .keda -}}
{{- $authentication := $keda.authentication -}}
{{- if and (has "bearer" $authentication.modes) (has "basic" $authentication.modes) -}}
{{- fail "autoscaling.keda.authentication.modes contains bearer and basic, and KEDA sends one of them: keep one" -}}
{{- end -}}
{{- if and $authentication.name (hasPrefix "http://" $keda.prometheusUrl) (has "tls" $authentication.modes) -}}
{{- fail "autoscaling.keda.authentication.modes contains tls, and autoscaling.keda.prometheusUrl begins with http://: use https://" -}}
{{- end -}}
{{- range $name, $_ := $keda.headers -}}
{{- if eq (lower $name) "authorization" -}}
{{- fail "autoscaling.keda.headers contains Authorization, which everyone who may read the ScaledObject would see: put the token in a Secret, and set autoscaling.keda.authentication" -}}
{{- end -}}
{{- end -}}
{{- if not (kindIs "invalid" $keda.idleReplicaCount) -}}
{{- if gt (int $keda.idleReplicaCount) 0 -}}
{{- fail (printf "autoscaling.keda.idleReplicaCount is %d, and KEDA supports only 0: set 0, or minReplicas %d without idleReplicaCount" (int $keda.idleReplicaCount) (int $keda.idleReplicaCount)) -}}
{{- end -}}
{{- if eq (int .minReplicas) 0 -}}
{{- fail "autoscaling.keda.idleReplicaCount 0 must be below minReplicas, which is 0 and scales to zero by itself: leave idleReplicaCount null, or raise minReplicas" -}}
{{- end -}}
{{- end -}}
{{- if $fallback -}}
{{- $replicas := int $fallback.replicas -}}
{{- if or (lt $replicas (int .minReplicas)) (gt $replicas (int .maxReplicas)) -}}
{{- fail (printf "autoscaling.keda.fallback.replicas %d is not between minReplicas %d and maxReplicas %d, to which the HPA would change it: use a number between them" $replicas (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and .enabled (eq .kind "keda") (not $observer) -}}
{{- fail "autoscaling.keda.fallback does not apply to triggers of type cpu and memory, and there are no others: enable one of autoscaling.metrics, or leave fallback.replicas null" -}}
{{- end -}}
{{- end -}}
{{- $names := list "ratio" "busy" "waiting" "ttft" "activation" -}}
{{- range $number, $trigger := $keda.triggers -}}
{{- $where := printf "autoscaling.keda.triggers[%d]" $number -}}
{{- with .name -}}
{{- if has . $names -}}
{{- fail (printf "%s has the name %s, which another trigger or one of the chart's own uses: give it another name" $where .) -}}
{{- end -}}
{{- $names = append $names . -}}
{{- end -}}
{{- $resource := has .type (list "cpu" "memory") -}}
{{- if and $resource (not (has .metricType (list "Utilization" "AverageValue"))) -}}
{{- fail (printf "%s is of type %s, for which KEDA needs a metricType: set Utilization or AverageValue" $where .type) -}}
{{- end -}}
{{- if and (not $resource) (eq (default "" .metricType) "Utilization") -}}
{{- fail (printf "%s is of type %s, and metricType Utilization is only for cpu and memory: use AverageValue or Value" $where .type) -}}
{{- end -}}
{{- if and .useCachedMetrics (has .type (list "cpu" "memory" "cron")) -}}
{{- fail (printf "%s is of type %s, for which KEDA has no useCachedMetrics: leave it out" $where .type) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
