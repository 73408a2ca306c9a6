{{/* A pod that runs Locust. Argument: root, component, command (a template of _command.tpl), and ports by name. */}}
{{- define "loadgen.pod" -}}
{{- $root := .root -}}
{{- with $root -}}
metadata:
  labels:
    {{- include "loadgen.selector" . | nindent 4 }}
    app.kubernetes.io/component: {{ $.component }}
    {{- with include "loadgen.podLabels" $ }}
    {{- . | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "loadgen.podAnnotations" $ | nindent 4 }}
spec:
  serviceAccountName: {{ include "loadgen.serviceAccount" . | quote }}
  # Only a pod that observes the cluster needs a token.
  automountServiceAccountToken: {{ and (not (empty .Values.target.namespace)) (ne $.component "worker") }}
  enableServiceLinks: false
  {{- if ne .Values.kind "Deployment" }}
  restartPolicy: Never
  {{- if .Values.workers.count }}
  subdomain: {{ include "loadgen.fullname" . | quote }}
  {{- end }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.pod.terminationGracePeriodSeconds }}
  {{- with .Values.pod.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.pod.securityContext | nindent 4 }}
  {{- with .Values.pod.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.pod.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "loadgen.affinity" . }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: locust
      image: {{ include "loadgen.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- include (printf "loadgen.command.%s" $.command) . | nindent 6 }}
      env:
        {{- include "loadgen.named" (list "name" (include "loadgen.env" .) .Values.env) | nindent 8 }}
      {{- with $.ports }}
      ports:
        {{- range $name, $port := . }}
        - {name: {{ $name }}, containerPort: {{ $port }}}
        {{- end }}
      {{- end }}
      {{- if hasKey ($.ports | default dict) "web" }}
      readinessProbe:
        httpGet: {path: /, port: web}
        periodSeconds: 2
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
        readOnlyRootFilesystem: true
      volumeMounts:
        {{- include "loadgen.named" (list "mountPath" (include "loadgen.mounts" .) .Values.pod.extraVolumeMounts) | nindent 8 }}
  volumes:
    {{- include "loadgen.named" (list "name" (include "loadgen.volumes" .) .Values.pod.extraVolumes) | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* Pods of a Job run to completion: no sidecar that would keep them running. */}}
{{- define "loadgen.podLabels" -}}
{{- with .root.Values -}}
{{- $finite := eq $.component "run" | ternary .sidecarOptOut.labels dict | default dict -}}
{{- with merge dict $finite .pod.labels (.commonLabels | default dict) -}}{{- toYaml . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Evicting the generator would lose the run. */}}
{{- define "loadgen.podAnnotations" -}}
{{- $own := dict "kubectl.kubernetes.io/default-container" "locust" "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" "karpenter.sh/do-not-disrupt" "true" -}}
{{- with .root.Values -}}
{{- if and .locustfile.content (eq .kind "Deployment") -}}
{{- $_ := set $own "checksum/locustfile" (.locustfile.content | sha256sum) -}}
{{- end -}}
{{- $finite := eq $.component "run" | ternary .sidecarOptOut.annotations dict | default dict -}}
{{- merge dict $finite .pod.annotations (.commonAnnotations | default dict) $own | toYaml -}}
{{- end -}}
{{- end -}}

{{- define "loadgen.mounts" -}}
- {name: runs, mountPath: /runs}
- {name: tmp, mountPath: /tmp}
{{- if include "loadgen.configMap" . }}
- {name: locustfile, mountPath: /locustfile, readOnly: true}
{{- end }}
{{- end -}}

{{- define "loadgen.volumes" -}}
- name: runs
  {{- with include "loadgen.claim" . }}
  persistentVolumeClaim: {claimName: {{ . | quote }}}
  {{- else }}
  emptyDir: {}
  {{- end }}
- name: tmp
  emptyDir: {}
{{- with include "loadgen.configMap" . }}
- name: locustfile
  configMap: {name: {{ . | quote }}}
{{- end }}
{{- end -}}

{{- define "loadgen.affinity" -}}
{{- if not (kindIs "invalid" .Values.pod.affinity) -}}
{{- with .Values.pod.affinity -}}{{- toYaml . -}}{{- end -}}
{{- else -}}
nodeAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      preference:
        matchExpressions:
          # Set by NVIDIA's device plugin or GPU operator.
          - {key: nvidia.com/gpu.product, operator: DoesNotExist}
{{- end -}}
{{- end -}}

{{/* Environment of all processes of a run: target and run folder. */}}
{{- define "loadgen.env" -}}
- {name: HOME, value: /tmp}
- {name: LOADGEN_RUNS_DIR, value: /runs}
{{- with .Values.target }}
- {name: LOADGEN_TARGET, value: {{ default "kube" .url | quote }}}
{{- if .namespace }}
- {name: LOADGEN_KUBE_NAMESPACE, value: {{ .namespace | quote }}}
{{- range $name := list "workload" "service" "hpa" "endpoint" "prometheus" }}
{{- with index $.Values.target $name }}
- {name: LOADGEN_KUBE_{{ upper $name }}, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (ne .Values.kind "Deployment") .Values.workers.count }}
- name: JOB_NAME
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}}
{{- end }}
{{- if .Values.workers.count }}
- name: LOADGEN_WORKER_SECRET
  valueFrom: {secretKeyRef: {name: {{ include "loadgen.workerSecret" . | quote }}, key: {{ .Values.workers.secret.key | quote }}}}
{{- end }}
{{- end -}}
