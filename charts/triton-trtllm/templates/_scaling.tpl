{{/* Name of the HPA. KEDA's has another one, so that neither Helm nor KEDA deletes the other's HPA in a transition. */}}
{{- define "triton.hpa" -}}
{{- include "triton.fullname" . }}{{ eq .Values.autoscaling.kind "keda" | ternary "-keda" "" }}
{{- end -}}

{{/* The live workload as YAML; empty at the first install, and without a cluster (`helm template`). */}}
{{- define "triton.live" -}}
{{- $target := include "triton.scaleTarget" . | fromYaml -}}
{{- with lookup $target.apiVersion $target.kind .Release.Namespace $target.name -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/*
spec.replicas of the workload; empty to leave the field to the autoscaler. An upgrade that drops a field which Helm wrote
sets it to its default, one replica, so Helm keeps writing the live number, unless it applies on the server and the field
belongs to another manager alone, such as the HPA's controller.
*/}}
{{- define "triton.replicas" -}}
{{- $auto := .Values.autoscaling -}}
{{- $live := include "triton.live" . | fromYaml -}}
{{- $applies := false -}}
{{- $owns := false -}}
{{- range (dig "metadata" "managedFields" list $live) -}}
  {{- if eq .manager "helm" -}}
    {{- $applies = or $applies (eq .operation "Apply") -}}
    {{- $owns = or $owns (hasKey (dig "fieldsV1" "f:spec" dict .) "f:replicas") -}}
  {{- end -}}
{{- end -}}
{{- $number := dig "spec" "replicas" 1 $live | int -}}
{{- if and (not $auto.enabled) (not (kindIs "invalid" .Values.server.replicas)) -}}
{{- .Values.server.replicas -}}
{{- else if not $auto.enabled -}}
{{- $number -}}
{{- else if $live -}}
  {{- /* An HPA does not scale a workload that is at 0 when it begins. */ -}}
  {{- $begins := and (eq $auto.kind "hpa") (not (lookup "autoscaling/v2" "HorizontalPodAutoscaler" .Release.Namespace (include "triton.hpa" .))) -}}
  {{- if and $begins (eq $number 0) (gt (int $auto.minReplicas) 0) -}}
    {{- if and $applies (not $owns) -}}
    {{- $target := include "triton.scaleTarget" . | fromYaml -}}
    {{- fail (printf "%s %s is at 0 replicas, and an HPA does not scale it up from there: run `kubectl -n %s scale %s/%s --replicas=1`, then upgrade again" $target.kind $target.name .Release.Namespace (lower $target.kind) $target.name) -}}
    {{- end -}}
{{- int $auto.minReplicas -}}
  {{- else if or $owns (not $applies) -}}
{{- $number -}}
  {{- end -}}
{{- end -}}
{{- end -}}
