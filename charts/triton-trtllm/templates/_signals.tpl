{{/* Selector of this release's scraped series. */}}
{{- define "triton.job" -}}
{{- if eq .Values.metrics.monitor "ServiceMonitor" -}}
namespace="{{ .Release.Namespace }}",job="{{ include "triton.fullname" . }}-metrics"
{{- else -}}
job="{{ .Release.Namespace }}/{{ include "triton.fullname" . }}"
{{- end -}}
{{- end -}}

{{- define "triton.frontSeries" -}}
{{ include "triton.job" . }},model="{{ include "triton.front" . }}"
{{- end -}}

{{/* Selector of this release's recorded series. */}}
{{- define "triton.recorded" -}}
namespace="{{ .Release.Namespace }}",release="{{ include "triton.fullname" . }}"
{{- end -}}

{{/* Queue time and compute time of a pod's requests, in microseconds per second. */}}
{{- define "triton.queueRate" -}}
{{- $metric := eq (include "triton.signal" .) "engine" | ternary "nv_inference_queue_duration_us" "llmapi_queue_duration_us" -}}
sum by (namespace, pod) (rate({{ $metric }}{{ "{" }}{{ include "triton.frontSeries" . }}{{ "}" }}[{{ .Values.rules.window }}]))
{{- end -}}

{{- define "triton.computeRate" -}}
{{- $metric := eq (include "triton.signal" .) "engine" | ternary "nv_inference_compute_infer_duration_us" "llmapi_compute_duration_us" -}}
sum by (namespace, pod) (rate({{ $metric }}{{ "{" }}{{ include "triton.frontSeries" . }}{{ "}" }}[{{ .Values.rules.window }}]))
{{- end -}}

{{/* Names of the recording rules for the autoscaler. */}}
{{- define "triton.record.ratio" -}}{{ .Values.rules.ratio.record }}{{- end -}}
{{- define "triton.record.busy" -}}triton:busy:ratio{{- end -}}
{{- define "triton.record.waiting" -}}triton:waiting:requests{{- end -}}
{{- define "triton.record.ttft" -}}triton:ttft:seconds{{- end -}}
{{- define "triton.record.activation" -}}triton:activation:pods{{- end -}}

{{/* Ratio: Σ queue ÷ Σ compute of a pod. An idle pod has the idle value. With queue time but no compute time it is the
     queue time in µs/s, which is far above any target, as it should be for a pod that only queues. */}}
{{- define "triton.expr.ratio" -}}
{{ include "triton.queueRate" . }} / clamp_min({{ include "triton.computeRate" . }}, 1)
{{- if .Values.rules.ratio.idleRatio }} + {{ .Values.rules.ratio.idleRatio }} * (({{ include "triton.queueRate" . }} + {{ include "triton.computeRate" . }}) == bool 0)
{{- end -}}
{{- end -}}

{{/* Busy: compute seconds per second and slot. Triton's own counters change when a response ends, so a window may count
     more than its length; hence the limit of 1. */}}
{{- define "triton.expr.busy" -}}
clamp_max({{ include "triton.computeRate" . }} / {{ mul 1000000 (include "triton.places" . | int) }}, 1)
{{- end -}}

{{/* 1 while there are requests, to keep one pod. A rate would not fall when pods are added. */}}
{{- define "triton.expr.activation" -}}
({{ .Values.autoscaling.activation.query }}) > bool {{ .Values.autoscaling.activation.threshold }}
{{- end -}}

{{- define "triton.expr.waiting" -}}
{{- if eq (include "triton.signal" .) "engine" -}}
sum by (namespace, pod) (nv_inference_pending_request_count{{ "{" }}{{ include "triton.frontSeries" . }}{{ "}" }})
{{- else -}}
sum by (namespace, pod) (llmapi_requests{{ "{" }}{{ include "triton.frontSeries" . }},state="waiting"{{ "}" }})
{{- end -}}
{{- end -}}

{{- define "triton.ttftBucket" -}}
{{- eq (include "triton.signal" .) "engine" | ternary "nv_inference_first_response_histogram_ms_bucket" "llmapi_time_to_first_token_ms_bucket" -}}
{{- end -}}

{{/* 0 if no request was answered in the window: an idle pod has no quantile, and the autoscaler cannot use NaN. */}}
{{- define "triton.expr.ttft" -}}
{{- $rate := printf "sum by (namespace, pod, le) (rate(%s{%s}[%s]))" (include "triton.ttftBucket" .) (include "triton.frontSeries" .) .Values.rules.window -}}
(histogram_quantile({{ .Values.autoscaling.metrics.ttft.quantile }}, {{ $rate }}) >= 0 or 0 * max by (namespace, pod) ({{ $rate }})) / 1000
{{- end -}}

{{/* The formula of NVIDIA's tutorial, unchanged: one series per model. */}}
{{- define "triton.expr.reference" -}}
rate(nv_inference_queue_duration_us{{ "{" }}{{ include "triton.job" . }}{{ "}" }}[1m]) / clamp_min(rate(nv_inference_compute_infer_duration_us{{ "{" }}{{ include "triton.job" . }}{{ "}" }}[1m]), 1)
{{- end -}}

{{/* Whether this release of Triton has the histogram of first responses. */}}
{{- define "triton.hasTtft" -}}
{{- $release := include "triton.release" . | int -}}
{{- if or (eq (include "triton.signal" .) "llmapi") (eq $release 0) (ge $release 2411) -}}true{{- end -}}
{{- end -}}

{{/* What the user adds to the endpoint of either monitor. */}}
{{- define "triton.relabeling" -}}
{{- $fields := dict -}}
{{- with .Values.metrics -}}
{{- if .honorLabels -}}{{- $_ := set $fields "honorLabels" true -}}{{- end -}}
{{- if .relabelings -}}{{- $_ := set $fields "relabelings" .relabelings -}}{{- end -}}
{{- if .metricRelabelings -}}{{- $_ := set $fields "metricRelabelings" .metricRelabelings -}}{{- end -}}
{{- end -}}
{{- with $fields -}}{{- toYaml . -}}{{- end -}}
{{- end -}}
