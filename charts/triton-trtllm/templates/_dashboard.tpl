{{/* A panel: title, unit, and queries with their legends. The expressions are those of the rules and the autoscaler. */}}
{{- define "triton.panel" -}}
{{- $targets := list -}}
{{- range $i, $query := .queries -}}
{{- $targets = append $targets (dict "refId" (printf "%c" (add 65 $i)) "expr" (first $query) "legendFormat" (last $query)) -}}
{{- end -}}
{{- $custom := dict "fillOpacity" 5 "spanNulls" false -}}
{{- dict
  "type" "timeseries" "title" .title "description" .about
  "datasource" (dict "type" "prometheus" "uid" "${datasource}")
  "gridPos" (dict "h" 8 "w" 12 "x" (mul 12 (mod .number 2)) "y" (mul 8 (div .number 2)))
  "fieldConfig" (dict "defaults" (dict "unit" .unit "min" 0 "custom" $custom) "overrides" list)
  "options" (dict "legend" (dict "displayMode" "list" "placement" "bottom") "tooltip" (dict "mode" "multi"))
  "targets" $targets | toJson -}}
{{- end -}}

{{/* A series of kube-state-metrics about the HPA, or a fallback expression without kube-state-metrics. Neither has labels. */}}
{{- define "triton.hpaSeries" -}}
{{- $root := index . 0 -}}
max(kube_horizontalpodautoscaler_{{ index . 1 }}{namespace="{{ $root.Release.Namespace }}",horizontalpodautoscaler="{{ include "triton.hpa" $root }}"}) or {{ index . 2 }}
{{- end -}}

{{- define "triton.panels" -}}
{{- $pods := include "triton.recorded" . -}}
{{- $job := include "triton.job" . -}}
{{- $front := include "triton.frontSeries" . -}}
{{- $ratio := printf "%s{%s}" (include "triton.record.ratio" .) $pods -}}
{{- $target := .Values.autoscaling.metrics.ratio.target -}}
{{- $number := hasSuffix "m" (toString $target) | ternary (divf (trimSuffix "m" (toString $target) | float64) 1000) (float64 $target) -}}
{{- $running := printf "count(up{%s})" $job -}}
{{- $serving := printf "sum(up{%s})" $job -}}
{{- $least := int .Values.autoscaling.minReplicas -}}
{{- $most := int .Values.autoscaling.maxReplicas -}}
{{- $asked := printf "clamp(ceil(sum(%s) / %v), %d, %d)" $ratio $number $least $most }}
- title: Replicas
  unit: none
  about: Pods that are scraped, pods that are ready, and pods that answer scrapes.
  queries:
    - [{{ $running | quote }}, running]
    {{- if .Values.multiNode.enabled }}
    - [{{ $serving | quote }}, serving]
    {{- else }}
    - [{{ printf "max(kube_deployment_status_replicas_ready{namespace=\"%s\",deployment=\"%s\"}) or %s" .Release.Namespace (include "triton.fullname" .) $serving | quote }}, ready]
    - [{{ $serving | quote }}, serving]
    {{- end }}
{{- if .Values.autoscaling.enabled }}
- title: Autoscaler
  unit: none
  about: Desired and current replicas and their limits, from kube-state-metrics, or else derived from the ratio, the scrapes and the chart's values.
  queries:
    - [{{ include "triton.hpaSeries" (list . "status_desired_replicas" $asked) | quote }}, desired]
    - [{{ include "triton.hpaSeries" (list . "status_current_replicas" $running) | quote }}, current]
    - [{{ include "triton.hpaSeries" (list . "spec_min_replicas" (printf "vector(%d)" $least)) | quote }}, min]
    - [{{ include "triton.hpaSeries" (list . "spec_max_replicas" (printf "vector(%d)" $most)) | quote }}, max]
    - [{{ $asked | quote }}, desired by the ratio]
{{- end }}
- title: Queue-to-compute ratio
  unit: none
  about: The mean over the pods is what the autoscaler compares with its target.
  queries:
    - [{{ printf "avg(%s)" $ratio | quote }}, mean]
    - [{{ printf "max(%s)" $ratio | quote }}, highest pod]
    - [{{ printf "vector(%v)" $number | quote }}, target]
- title: Ratio of each pod
  unit: none
  about: A wide spread means that requests are not balanced.
  queries:
    - [{{ $ratio | quote }}, {{ "'{{pod}}'" }}]
- title: Busy slots
  unit: percentunit
  about: Share of the engine's slots in use.
  queries:
    - [{{ printf "%s{%s}" (include "triton.record.busy" .) $pods | quote }}, {{ "'{{pod}}'" }}]
- title: Waiting requests
  unit: none
  about: Requests that wait for a slot. Changes at once.
  queries:
    - [{{ printf "%s{%s}" (include "triton.record.waiting" .) $pods | quote }}, {{ "'{{pod}}'" }}]
- title: Requests
  unit: reqps
  about: Successful and failed requests of the model that clients call.
  queries:
    - [{{ printf "sum(rate(%s{%s}[1m]))" (eq (include "triton.signal" .) "engine" | ternary "nv_inference_request_success" "llmapi_request_success") $front | quote }}, succeeded]
    - [{{ printf "sum(rate(%s{%s}[1m]))" (eq (include "triton.signal" .) "engine" | ternary "nv_inference_request_failure" "llmapi_request_failure") $front | quote }}, failed]
- title: Requests of each pod
  unit: reqps
  about: New pods must receive their share, or scaling up has no effect.
  queries:
    - [{{ printf "sum by (pod) (rate(%s{%s}[1m]))" (eq (include "triton.signal" .) "engine" | ternary "nv_inference_request_success" "llmapi_request_success") $front | quote }}, {{ "'{{pod}}'" }}]
- title: KV cache
  unit: percentunit
  about: Share of blocks in use. Near 1 the engine delays requests.
  queries:
    {{- if eq (include "triton.signal" .) "engine" }}
    - [{{ printf "nv_trt_llm_kv_cache_block_metrics{%s,kv_cache_block_type=\"fraction\"}" $job | quote }}, {{ "'{{pod}}'" }}]
    {{- else }}
    - [{{ printf "llmapi_kv_cache_usage_ratio{%s}" $front | quote }}, {{ "'{{pod}}'" }}]
    {{- end }}
- title: Time in Triton
  unit: s
  about: Mean queue time and compute time of completed requests.
  queries:
    - [{{ printf "sum(rate(%s{%s}[1m])) / sum(rate(%s{%s}[1m])) / 1e6" (eq (include "triton.signal" .) "engine" | ternary "nv_inference_queue_duration_us" "llmapi_queue_duration_us") $front (eq (include "triton.signal" .) "engine" | ternary "nv_inference_request_success" "llmapi_request_success") $front | quote }}, queue]
    - [{{ printf "sum(rate(%s{%s}[1m])) / sum(rate(%s{%s}[1m])) / 1e6" (eq (include "triton.signal" .) "engine" | ternary "nv_inference_compute_infer_duration_us" "llmapi_compute_duration_us") $front (eq (include "triton.signal" .) "engine" | ternary "nv_inference_request_success" "llmapi_request_success") $front | quote }}, compute]
{{- if include "triton.hasTtft" . }}
- title: Time to first token
  unit: s
  about: Quantiles over all pods.
  queries:
    {{- range $quantile := list 0.5 0.95 0.99 }}
    - [{{ printf "histogram_quantile(%v, sum by (le) (rate(%s{%s}[1m]))) / 1000" $quantile (include "triton.ttftBucket" $) $front | quote }}, {{ printf "p%v" (mulf $quantile 100) }}]
    {{- end }}
{{- end }}
{{- end -}}
