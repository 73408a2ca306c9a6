{{/* Which scraped series are this release's. */}}
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

{{/* What selects this release's recorded series. */}}
{{- define "triton.recorded" -}}
namespace="{{ .Release.Namespace }}",release="{{ include "triton.fullname" . }}"
{{- end -}}

{{/* Microseconds per second that a pod's requests queued, and were computed. */}}
{{- define "triton.queueRate" -}}
{{- $metric := eq (include "triton.signal" .) "engine" | ternary "nv_inference_queue_duration_us" "llmapi_queue_duration_us" -}}
sum by (namespace, pod) (rate({{ $metric }}{{ "{" }}{{ include "triton.frontSeries" . }}{{ "}" }}[{{ .Values.rules.window }}]))
{{- end -}}

{{- define "triton.computeRate" -}}
{{- $metric := eq (include "triton.signal" .) "engine" | ternary "nv_inference_compute_infer_duration_us" "llmapi_compute_duration_us" -}}
sum by (namespace, pod) (rate({{ $metric }}{{ "{" }}{{ include "triton.frontSeries" . }}{{ "}" }}[{{ .Values.rules.window }}]))
{{- end -}}

{{/* Names of what is recorded for the autoscaler. */}}
{{- define "triton.record.ratio" -}}{{ .Values.rules.ratio.record }}{{- end -}}
{{- define "triton.record.busy" -}}triton:busy:ratio{{- end -}}
{{- define "triton.record.waiting" -}}triton:waiting:requests{{- end -}}
{{- define "triton.record.ttft" -}}triton:ttft:seconds{{- end -}}
{{- define "triton.record.activation" -}}triton:activation:pods{{- end -}}

{{/* Ratio: Σ queue ÷ Σ compute of a pod. Without either it is the idle value; with a queue and no compute it is the
     queue itself in µs/s: far above any target, which is what a pod that only queues deserves. */}}
{{- define "triton.expr.ratio" -}}
{{ include "triton.queueRate" . }} / clamp_min({{ include "triton.computeRate" . }}, 1)
{{- if .Values.rules.ratio.idleRatio }} + {{ .Values.rules.ratio.idleRatio }} * (({{ include "triton.queueRate" . }} + {{ include "triton.computeRate" . }}) == bool 0)
{{- end -}}
{{- end -}}

{{/* Busy: seconds computed per second and place. Triton's own counters move when an answer ends, so a window may hold
     more of it than passed: no pod is more than full. */}}
{{- define "triton.expr.busy" -}}
clamp_max({{ include "triton.computeRate" . }} / {{ mul 1000000 (include "triton.places" . | int) }}, 1)
{{- end -}}

{{/* The one pod that requests keep; a rate would be shared by the pods that there are, and never fall by adding one. */}}
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

{{/* 0 where nothing was answered in the window: an idle pod has no percentile, and NaN would blind the autoscaler. */}}
{{- define "triton.expr.ttft" -}}
{{- $rate := printf "sum by (namespace, pod, le) (rate(%s{%s}[%s]))" (include "triton.ttftBucket" .) (include "triton.frontSeries" .) .Values.rules.window -}}
(histogram_quantile({{ .Values.autoscaling.metrics.ttft.quantile }}, {{ $rate }}) >= 0 or 0 * max by (namespace, pod) ({{ $rate }})) / 1000
{{- end -}}

{{/* NVIDIA's tutorial, as it stands: per model, each a series of its own. */}}
{{- define "triton.expr.reference" -}}
rate(nv_inference_queue_duration_us{{ "{" }}{{ include "triton.job" . }}{{ "}" }}[1m]) / clamp_min(rate(nv_inference_compute_infer_duration_us{{ "{" }}{{ include "triton.job" . }}{{ "}" }}[1m]), 1)
{{- end -}}

{{/* Whether Triton's own histogram of first responses is there to be recorded. */}}
{{- define "triton.hasTtft" -}}
{{- $release := include "triton.release" . | int -}}
{{- if or (eq (include "triton.signal" .) "llmapi") (eq $release 0) (ge $release 2411) -}}true{{- end -}}
{{- end -}}
