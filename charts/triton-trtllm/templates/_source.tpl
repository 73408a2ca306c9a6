{{/* A model from elsewhere than Hugging Face's Hub: where it comes from, and where the containers find it. */}}

{{/* pvc, s3 or ngc; empty without model.uri, and in mode emulated, which has no model. */}}
{{- define "triton.source" -}}
{{- if ne .Values.mode "emulated" -}}{{- splitList "://" .Values.model.uri | first -}}{{- end -}}
{{- end -}}

{{/* What follows the scheme. */}}
{{- define "triton.source.rest" -}}
{{- regexReplaceAll `^[a-z0-9]+://` .Values.model.uri "" | trimSuffix "/" -}}
{{- end -}}

{{- define "triton.source.claim" -}}
{{- include "triton.source.rest" . | splitList "/" | first -}}
{{- end -}}

{{/* Folder of a download: on the model volume, where it is kept, or else in the pod. */}}
{{- define "triton.source.folder" -}}
{{- $name := regexReplaceAll `[^A-Za-z0-9._-]+` (include "triton.source.rest" .) "-" | trunc 80 -}}
{{- $hash := printf "%s %s" (trimSuffix "/" .Values.model.uri) .Values.model.s3.endpoint | sha256sum | trunc 8 -}}
{{- include "triton.hasVolume" . | empty | ternary "/model-source" "/model-volume/downloads" }}/{{ $name }}-{{ $hash -}}
{{- end -}}

{{/* The model's folder, in every container that loads it or builds its engine; empty with model.repository. */}}
{{- define "triton.modelPath" -}}
{{- $source := include "triton.source" . -}}
{{- if eq $source "pvc" -}}
/model-source{{ include "triton.source.rest" . | trimPrefix (include "triton.source.claim" .) }}
{{- else if eq $source "s3" -}}
{{ include "triton.source.folder" . }}/files
{{- else if eq $source "ngc" -}}
{{- /* The NGC CLI makes a folder of the model's name and version. */ -}}
{{ include "triton.source.folder" . }}/files/{{ include "triton.source.rest" . | base | replace ":" "_v" }}
{{- else -}}
{{- .Values.model.path -}}
{{- end -}}
{{- end -}}

{{/* Volumes of the pods that load the model or build its engine. */}}
{{- define "triton.source.volumes" -}}
{{- $source := include "triton.source" . -}}
{{- if eq $source "pvc" }}
- name: model-source
  persistentVolumeClaim: {claimName: {{ include "triton.source.claim" . | quote }}, readOnly: true}
{{- else if and $source (not (include "triton.hasVolume" .)) }}
- {name: model-source, emptyDir: {}}
{{- end }}
{{- with .Values.model.s3.ca }}
{{- if and (eq $source "s3") .secret }}
- name: model-ca
  secret: {secretName: {{ .secret | quote }}}
{{- else if and (eq $source "s3") .configMap }}
- name: model-ca
  configMap: {name: {{ .configMap | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* Mount of the model in the containers that load it or build its engine. */}}
{{- define "triton.source.mounts" -}}
{{- $source := include "triton.source" . -}}
{{- if or (eq $source "pvc") (and $source (not (include "triton.hasVolume" .))) }}
- {name: model-source, mountPath: /model-source, readOnly: true}
{{- end }}
{{- end -}}

{{/* The init container that downloads the model; empty if none is needed. */}}
{{- define "triton.source.init" -}}
{{- $source := include "triton.source" . -}}
{{- if has $source (list "s3" "ngc") -}}
{{- $download := .Values.model.download -}}
- name: download
  image: {{ include "triton.fromRegistry" (list . $download.image) | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [/bin/sh, -c, {{ .Files.Get "files/download/download.sh" | quote }}, download.sh]
  args:
    - {{ include "triton.source.folder" . }}
    {{- include (printf "triton.source.%s.command" $source) . | nindent 4 }}
  # The end of its log is then the reason that the pod shows.
  terminationMessagePolicy: FallbackToLogsOnError
  env:
    {{- $env := printf "- {name: HOME, value: /tmp}\n- {name: DOWNLOAD_TIMEOUT_S, value: %q}\n%s" (toString (int $download.timeoutSeconds)) (include (printf "triton.source.%s.env" $source) .) }}
    {{- include "triton.named" (list "name" $env .Values.server.env) | nindent 4 }}
  {{- with .Values.server.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml $download.resources | nindent 4 }}
  securityContext:
    {{- include "triton.containerSecurity" (list . "") | nindent 4 }}
  volumeMounts:
    {{- include "triton.named" (list "mountPath" (include "triton.source.downloadMounts" .) .Values.pod.extraVolumeMounts) | nindent 4 }}
{{- end -}}
{{- end -}}

{{- define "triton.source.downloadMounts" -}}
{{- $ca := .Values.model.s3.ca -}}
- {name: tmp, mountPath: /tmp}
{{- if include "triton.hasVolume" . }}
- {name: model-volume, mountPath: /model-volume}
{{- else }}
- {name: model-source, mountPath: /model-source}
{{- end }}
{{- if and (eq (include "triton.source" .) "s3") (or $ca.secret $ca.configMap) }}
- {name: model-ca, mountPath: /etc/model-ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "triton.source.s3.command" -}}
- aws
- s3
- sync
- {{ trimSuffix "/" .Values.model.uri | quote }}
- {{ include "triton.source.folder" . }}/files
- --no-progress
{{- /* The same weights in other formats, as in files/engine/download.py. */}}
{{- range list "original/*" "consolidated*" "*.pth" "*.gguf" "*.onnx" "*.msgpack" "*.h5" "*.ot" "onnx/*" "metal/*" }}
- --exclude={{ . }}
{{- end }}
{{- end -}}

{{/* Without a Secret the AWS CLI uses the identity of the pod. The endpoint is only for S3, not for the token service. */}}
{{- define "triton.source.s3.env" -}}
{{- with .Values.model.s3 -}}
{{- if .endpoint }}
- {name: AWS_ENDPOINT_URL_S3, value: {{ .endpoint | quote }}}
{{- end }}
{{- if .region }}
- {name: AWS_REGION, value: {{ .region | quote }}}
{{- end }}
{{- if or .ca.secret .ca.configMap }}
- {name: AWS_CA_BUNDLE, value: {{ printf "/etc/model-ca/%s" .ca.key | quote }}}
{{- end }}
{{- with .credentialsSecret }}
{{- if .name }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .accessKeyId | quote }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .secretAccessKey | quote }}}}
{{- if .sessionToken }}
- name: AWS_SESSION_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .sessionToken | quote }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "triton.source.ngc.command" -}}
- ngc
- registry
- model
- download-version
- {{ include "triton.source.rest" . | quote }}
- --dest
- {{ include "triton.source.folder" . }}/files
{{- end -}}

{{/* The NGC CLI does not resume: it would write a second folder beside an incomplete one. */}}
{{- define "triton.source.ngc.env" -}}
{{- $parts := include "triton.source.rest" . | splitList "/" -}}
- {name: DOWNLOAD_FRESH, value: "1"}
- {name: NGC_CLI_ORG, value: {{ first $parts | quote }}}
{{- if eq (len $parts) 3 }}
- {name: NGC_CLI_TEAM, value: {{ index $parts 1 | quote }}}
{{- end }}
- {name: NGC_CLI_FORMAT_TYPE, value: ascii}
{{- with .Values.model.ngc.apiKeySecret }}
{{- if .name }}
- name: NGC_CLI_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}}
{{- end }}
{{- end }}
{{- end -}}

{{/* How long a serving pod may download before it loads, and how long a Job before it builds; 0 if it does not. */}}
{{- define "triton.downloadWait" -}}
{{- include "triton.source.init" . | empty | ternary 0 .Values.model.download.timeoutSeconds | int -}}
{{- end -}}

{{/* Rejects sources that contradict each other, and settings of another source than the model's. */}}
{{- define "triton.sourceGuards" -}}
{{- $model := .Values.model -}}
{{- $sources := list -}}
{{- range $name := list "repository" "path" "uri" -}}
{{- if index $model $name -}}{{- $sources = append $sources (printf "model.%s" $name) -}}{{- end -}}
{{- end -}}
{{- if and (ne .Values.mode "emulated") (not $sources) -}}
{{- fail "no model is set: set model.repository to a Hugging Face repository, model.path to a folder on the model volume, or model.uri to a model on a claim, in S3 or in NGC (or mode=emulated, which needs no model)" -}}
{{- end -}}
{{- if gt (len $sources) 1 -}}
{{- fail (printf "%s are %s set: keep one" (join " and " $sources) (eq (len $sources) 2 | ternary "both" "all")) -}}
{{- end -}}
{{- $scheme := splitList "://" $model.uri | first -}}
{{- if and $model.uri (ne $model.revision "main") -}}
{{- fail (printf "model.revision is for Hugging Face, and the model is %s: leave it main, and put the version into model.uri" $model.uri) -}}
{{- end -}}
{{- $s3 := $model.s3 -}}
{{- if and (ne $scheme "s3") (or $s3.endpoint $s3.region $s3.credentialsSecret.name $s3.ca.secret $s3.ca.configMap) -}}
{{- fail "model.s3 is set, and model.uri is not in S3: set model.uri to s3://bucket/folder, or leave model.s3 as it is by default" -}}
{{- end -}}
{{- if and $s3.ca.secret $s3.ca.configMap -}}
{{- fail "model.s3.ca.secret and model.s3.ca.configMap are both set: keep one" -}}
{{- end -}}
{{- if and (or $s3.ca.secret $s3.ca.configMap) (hasPrefix "http://" $s3.endpoint) -}}
{{- fail "model.s3.ca is set, and model.s3.endpoint begins with http://: use https://" -}}
{{- end -}}
{{- if and (ne $scheme "ngc") $model.ngc.apiKeySecret.name -}}
{{- fail "model.ngc.apiKeySecret is set, and model.uri is not in NGC: set model.uri to ngc://org/team/model:version, or leave the Secret's name empty" -}}
{{- end -}}
{{- if and (eq $scheme "ngc") (ne .Values.mode "emulated") (contains "aws-cli" $model.download.image) -}}
{{- fail (printf "model.uri is in NGC, and model.download.image %s has no NGC CLI: set it to an image of yours that has ngc and /bin/sh" $model.download.image) -}}
{{- end -}}
{{- if eq $scheme "pvc" -}}
{{- $claim := include "triton.source.claim" . -}}
{{- $own := .Values.modelVolume.create.enabled | ternary (printf "%s-models" (include "triton.fullname" .)) .Values.modelVolume.claimName -}}
{{- if eq $claim $own -}}
{{- fail (printf "model.uri is on the claim %s, which is the model volume: set model.path instead" $claim) -}}
{{- end -}}
{{- end -}}
{{- end -}}
