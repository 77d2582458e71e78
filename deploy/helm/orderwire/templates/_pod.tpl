{{- define "orderwire.name" -}}
{{- printf "%s-%s" .root.Release.Name .role | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "orderwire.selector" -}}
app.kubernetes.io/name: orderwire
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "orderwire.labels" -}}
{{ include "orderwire.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- /* The pod of one role: .root, .role, .values (its part of the values), .volumes. */ -}}
{{- define "orderwire.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "orderwire.labels" . | nindent 4 }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "9464"
    prometheus.io/path: /metrics
spec:
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  automountServiceAccountToken: false
  # More than the 25 s that `serve` gives its roles to finish what they began.
  terminationGracePeriodSeconds: 40
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: orderwire
      image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [serve, --roles, {{ .role }}]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      env:
        - {name: ORDERWIRE_LOG_URL, value: {{ $root.Values.logUrl | quote }}}
        - {name: ORDERWIRE_STORE_URL, value: {{ $root.Values.storeUrl | quote }}}
        - {name: ORDERWIRE_RECEIVER, value: "0.0.0.0:8081"}
        - {name: ORDERWIRE_API, value: "0.0.0.0:8080"}
        - {name: ORDERWIRE_METRICS, value: "0.0.0.0:9464"}
        - {name: ORDERWIRE_SPOOL, value: /srv/orderwire/data/spool.db}
        - {name: ORDERWIRE_PRIVACY_FOLDER, value: /srv/orderwire/data/privacy}
        {{- if $root.Values.configSecret }}
        - {name: ORDERWIRE_CONFIG, value: /etc/orderwire/orderwire.toml}
        {{- end }}
        {{- range $name, $value := $root.Values.env }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      envFrom:
        - secretRef: {name: {{ $root.Values.existingSecret }}}
      ports:
        - {name: metrics, containerPort: 9464}
        {{- if eq .role "receive" }}
        - {name: http, containerPort: 8081}
        {{- else if eq .role "query" }}
        - {name: http, containerPort: 8080}
        {{- end }}
      startupProbe:
        {{- if eq .role "process" }}
        exec: {command: [python, -m, orderwire.healthcheck, process]}
        {{- else }}
        httpGet: {path: /healthz, port: http}
        {{- end }}
        periodSeconds: 5
        timeoutSeconds: 20
        failureThreshold: 24
      livenessProbe:
        {{- if eq .role "process" }}
        exec: {command: [python, -m, orderwire.healthcheck, process]}
        {{- else }}
        httpGet: {path: /healthz, port: http}
        {{- end }}
        periodSeconds: 30
        timeoutSeconds: 20
      {{- if ne .role "process" }}
      readinessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 5
      # The Service sends new connections for a moment after the pod began to end.
      lifecycle: {preStop: {exec: {command: [python, -c, "import time; time.sleep(5)"]}}}
      {{- end }}
      resources: {{ toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: data, mountPath: /srv/orderwire/data}
        {{- if $root.Values.configSecret }}
        - {name: config, mountPath: /etc/orderwire, readOnly: true}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
    {{- if ne .role "receive" }}
    - {name: data, emptyDir: {}}
    {{- end }}
    {{- if $root.Values.configSecret }}
    - {name: config, secret: {secretName: {{ $root.Values.configSecret }}}}
    {{- end }}
  {{- with $root.Values.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "orderwire.selector" . | nindent 10 }}
{{- end -}}
