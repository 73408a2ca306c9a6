{{/* The load time is a wait that ends at once if the pod is deleted. */}}
{{- define "triton.emulated.command" -}}
command:
  - /bin/sh
  - -c
  - trap 'exit 143' TERM; sleep {{ .Values.emulated.loadSeconds }} & wait $!; trap - TERM; exec tritonserver "$@"
  - tritonserver
args:
  - --model-repository=/models
  - --disable-auto-complete-config
  {{- include "triton.flags" . | nindent 2 }}
  - --allow-gpu-metrics=false
{{- end -}}

{{- define "triton.emulated.init" -}}
- name: models
  image: {{ include "triton.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  workingDir: /opt/emulated
  command: [python3, -m, loadgen.local.engine.fill, --plays={{ .Values.emulated.plays }}, --profile=profile.json, /models]
  env:
    - {name: PYTHONDONTWRITEBYTECODE, value: "1"}
  resources:
    {{- toYaml .Values.init.resources | nindent 4 }}
  securityContext:
    {{- include "triton.containerSecurity" (list . "") | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: emulated, mountPath: /opt/emulated, readOnly: true}
{{- end -}}

{{- define "triton.emulated.mounts" -}}
- {name: models, mountPath: /models, readOnly: true}
{{- end -}}

{{- define "triton.emulated.volumes" -}}
- {name: models, emptyDir: {}}
- name: emulated
  configMap:
    name: {{ include "triton.fullname" . }}-emulated
    items:
      - {key: profile.json, path: profile.json}
      {{- range $glob := list "files/emulated/**.py" "files/llmapi/*" }}
      {{- range $path, $_ := $.Files.Glob $glob }}
      {{- $below := trimPrefix "files/" $path }}
      - {key: {{ $below | replace "/" "." }}, path: {{ trimPrefix "emulated/" $below }}}
      {{- end }}
      {{- end }}
{{- end -}}

{{- define "triton.emulated.data" -}}
profile.json: {{ .Values.emulated.profile | toJson | quote }}
{{- include "triton.filesData" (list . "files/emulated/**.py" "files/llmapi/*") }}
{{- end -}}
