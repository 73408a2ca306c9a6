{{/* Contradictions that a schema cannot see: each ends the rendering with what to do. */}}
{{- define "loadgen.guards" -}}
{{- $v := .Values -}}

{{- if and (not $v.target.url) (not $v.target.namespace) -}}
{{- fail "no target: set target.namespace to the namespace that serves, or target.url to a Triton such as grpc://triton.serving:8001" -}}
{{- end -}}
{{- if and $v.target.url $v.target.namespace -}}
{{- fail "target.url and target.namespace are both set: keep the namespace to observe pods and autoscaler (target.endpoint takes a URL), or the URL for load alone" -}}
{{- end -}}
{{- if $v.target.url -}}
{{- range $name := list "workload" "service" "hpa" "prometheus" -}}
{{- if index $v.target $name -}}
{{- fail (printf "target.%s belongs to a namespace, and the target is a URL: set target.namespace instead of target.url, or leave target.%s empty" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and $v.locustfile.content $v.locustfile.configMap.name -}}
{{- fail "locustfile.content and locustfile.configMap.name are both set: keep the one that is to be run" -}}
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
{{- fail (printf "extraArgs has %s, which the chart sets itself: use %s" $flag $value) -}}
{{- end -}}
{{- end -}}

{{- if and $v.runs.claimName $v.runs.create.enabled -}}
{{- fail "runs.claimName and runs.create.enabled are both set: keep one" -}}
{{- end -}}
{{- if and .Values.workers.count (not $v.runs.claimName) -}}
{{- if not (and $v.runs.create.enabled (has "ReadWriteMany" $v.runs.create.accessModes)) -}}
{{- fail "workers write into the run folder of their master, and here every pod would have a disk of its own: set runs.claimName to a ReadWriteMany claim, or runs.create with accessModes [ReadWriteMany]; or use processes, which share one pod, and workers.count=0" -}}
{{- end -}}
{{- end -}}
{{- if and $v.workers.count (eq $v.target.endpoint "forward") -}}
{{- fail "target.endpoint forward ends in the master's pod, where no worker reaches it: take service, ingress or a URL, or workers.count=0" -}}
{{- end -}}
{{- if and (eq $v.kind "CronJob") (not (include "loadgen.claim" .)) (not $v.runs.keepUrl) -}}
{{- fail "what a night measures would go with its pod: set runs.claimName, runs.create.enabled or runs.keepUrl" -}}
{{- end -}}
{{- if and (eq $v.kind "Deployment") $v.runs.keepUrl -}}
{{- fail "behind a web UI no run is the last, so nothing would be copied to runs.keepUrl: use kind Job or CronJob, or call `loadgen keep` in the pod" -}}
{{- end -}}

{{- if and $v.target.namespace $v.rbac.create (eq (include "loadgen.serviceAccount" .) "default") -}}
{{- fail "rights would go to the account `default`, which every pod of this namespace has: set serviceAccount.create=true or serviceAccount.name, or rbac.create=false" -}}
{{- end -}}
{{- if and $v.target.url $v.rbac.proxyNamespaces -}}
{{- fail "rbac.proxyNamespaces is for a Prometheus of target.prometheus, and the target is a URL: leave it empty, or set target.namespace" -}}
{{- end -}}
{{- end -}}
