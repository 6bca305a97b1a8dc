{{- define "s3sync.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The release's name with the chart's, or the release's alone where it holds the chart's already. */ -}}
{{- define "s3sync.fullname" -}}
{{- $name := include "s3sync.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "s3sync.serviceAccount" -}}
{{- $own := ternary (include "s3sync.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{- define "s3sync.selectorLabels" -}}
app.kubernetes.io/name: {{ include "s3sync.name" . }}
app.kubernetes.io/part-of: pachyderm-s3-sync
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "s3sync.labels" -}}
{{ include "s3sync.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* registry/repository:tag@digest; without both tag and digest, the tag is the chart's appVersion. */ -}}
{{- define "s3sync.image" -}}
{{- $image := .image -}}
{{- $tag := $image.tag -}}
{{- if not (or $image.tag $image.digest) }}{{- $tag = .root.Chart.AppVersion }}{{- end -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- with $tag }}:{{ . }}{{ end }}
{{- with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* A list with commas, a number in whole digits: YAML's numbers are floats here, which print as 3.1536e+07. */ -}}
{{- define "s3sync.setting" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end }}
{{- end }}
