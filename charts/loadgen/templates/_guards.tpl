{{/* Rejects values that contradict each other, which a schema cannot check. Each message says what to change. */}}
{{- define "loadgen.guards" -}}
{{- $v := .Values -}}

{{- $own := append (include "loadgen.chartLabels" . | fromYaml | keys) "app.kubernetes.io/component" -}}
{{- range $value, $labels := dict "commonLabels" $v.commonLabels "pod.labels" $v.pod.labels "sidecarOptOut.labels" $v.sidecarOptOut.labels -}}
{{- range $label, $_ := $labels -}}
{{- if has $label $own -}}
{{- fail (printf "%s contains %s, which the chart sets itself: leave it out, or use a label of your own" $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.image.digest (contains "@" (include "loadgen.tag" .)) -}}
{{- fail "image.digest is set and image.tag has a digest of its own: keep one" -}}
{{- end -}}

{{- if and (not $v.target.url) (not $v.target.namespace) -}}
{{- fail "no target is set: set target.namespace to the namespace of the workload, or target.url to a Triton server such as grpc://triton.serving:8001" -}}
{{- end -}}
{{- if and $v.target.url $v.target.namespace -}}
{{- fail "target.url and target.namespace are both set: keep the namespace to observe pods and autoscaler (target.endpoint accepts a URL), or the URL to only send load" -}}
{{- end -}}
{{- if $v.target.url -}}
{{- range $name := list "workload" "service" "hpa" "prometheus" -}}
{{- if index $v.target $name -}}
{{- fail (printf "target.%s needs a namespace, and the target is a URL: set target.namespace instead of target.url, or leave target.%s empty" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and $v.locustfile.content $v.locustfile.configMap.name -}}
{{- fail "locustfile.content and locustfile.configMap.name are both set: keep one" -}}
{{- end -}}
{{- range $v.extraArgs -}}
{{- $flag := regexFind "^-{1,2}[a-zA-Z-]+" . -}}
{{- $value := get (dict
  "-f" "locustfile" "--locustfile" "locustfile"
  "--target" "target" "-H" "target.url" "--host" "target.url"
  "--kube-namespace" "target.namespace" "--kube-workload" "target.workload" "--kube-service" "target.service"
  "--kube-hpa" "target.hpa" "--kube-endpoint" "target.endpoint" "--kube-prometheus" "target.prometheus"
  "--processes" "processes" "--master" "workers.count" "--worker" "workers.count"
  "--master-host" "workers.count" "--expect-workers" "workers.count"
  "--headless" "kind" "--autostart" "kind" "--web-port" "kind") $flag -}}
{{- if $value -}}
{{- fail (printf "extraArgs contains %s, which the chart sets: use %s" $flag $value) -}}
{{- end -}}
{{- end -}}

{{- if and $v.runs.claimName $v.runs.create.enabled -}}
{{- fail "runs.claimName and runs.create.enabled are both set: keep one" -}}
{{- end -}}
{{- if and .Values.workers.count (not $v.runs.claimName) -}}
{{- if not (and $v.runs.create.enabled (has "ReadWriteMany" $v.runs.create.accessModes)) -}}
{{- fail "workers write into the run folder of their master, and no shared volume is set: set runs.claimName to a ReadWriteMany claim, or runs.create with accessModes [ReadWriteMany]; or set processes, which share one pod, and workers.count=0" -}}
{{- end -}}
{{- end -}}
{{- if and $v.workers.count (eq $v.target.endpoint "forward") -}}
{{- fail "target.endpoint forward opens a port in the master's pod that workers cannot reach: use service, ingress or a URL, or workers.count=0" -}}
{{- end -}}
{{- if and (eq $v.kind "CronJob") (not (include "loadgen.claim" .)) (not $v.runs.keepUrl) -}}
{{- fail "results of kind CronJob would be lost with the pod: set runs.claimName, runs.create.enabled or runs.keepUrl" -}}
{{- end -}}
{{- if and (eq $v.kind "Deployment") $v.runs.keepUrl -}}
{{- fail "runs.keepUrl has no effect with kind Deployment, as runs are copied when Locust ends: use kind Job or CronJob, or run `loadgen keep` in the pod" -}}
{{- end -}}

{{- if not (kindIs "invalid" $v.networkPolicy.egress) -}}
{{- if not $v.networkPolicy.enabled -}}
{{- fail "networkPolicy.egress is set and networkPolicy.enabled is false, so it would limit nothing: set networkPolicy.enabled=true, or leave egress null" -}}
{{- end -}}
{{- if not $v.networkPolicy.egress -}}
{{- $outside := dict "target.url" $v.target.url "target.endpoint" $v.target.endpoint "target.prometheus" $v.target.prometheus "runs.keepUrl" $v.runs.keepUrl -}}
{{- range $name, $url := $outside -}}
{{- if or (and (contains "://" $url) (not (hasPrefix "file://" $url))) (has $url (list "ingress" "nodeport")) -}}
{{- fail (printf "networkPolicy.egress has no rule, and the pods must reach %s %s: add a rule for it, or leave egress null" $name $url) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and $v.target.namespace $v.rbac.create (eq (include "loadgen.serviceAccount" .) "default") -}}
{{- fail "RBAC permissions would go to the service account `default`, which every pod of this namespace can use: set serviceAccount.create=true or serviceAccount.name, or rbac.create=false" -}}
{{- end -}}
{{- if and $v.target.url $v.rbac.proxyNamespaces -}}
{{- fail "rbac.proxyNamespaces is for the Prometheus of target.prometheus, which needs a namespace, and the target is a URL: leave it empty, or set target.namespace" -}}
{{- end -}}
{{- end -}}
