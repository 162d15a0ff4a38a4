{{- /* What a template that is rendered after all others includes: goes through the rules that look at the whole release, and prints the objects they add. */ -}}
{{- define "@quench@.release" -}}
  {{- $root := . -}}
  {{- $nothing := index (dict) "nothing" -}}
  {{- $none := dict -}}
  {{- $given := dict -}}
  {{- $values := index $root "Values" -}}
  {{- if kindIs "map" $values -}}
    {{- if kindIs "map" (index $values "global") -}}
      {{- if kindIs "map" (index $values "global" "hardening") -}}
        {{- $given = index $values "global" "hardening" -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- if ne (toString (index $given "enabled")) "false" -}}
    {{- $context := dict -}}
    {{- if hasKey $root "@quench@" -}}
      {{- $context = index $root "@quench@" -}}
    {{- else -}}
      {{- $made := include "@quench@.context" (dict "context" $context "root" $root "settings" $given "in_chart" true) -}}
    {{- end -}}
    {{- $off := $context.off -}}
    {{- $settings := $context.settings -}}
    {{- $decided := $context.decided -}}
    {{- $all := dict "workloads" (list) "services" (list) "policies" (list) -}}
    {{- $done := include "@quench@.gather" (dict "root" $root "all" $all "depth" 0) -}}
    {{- $made := dict "all" (list) -}}
    {{- range $workload := $all.workloads -}}
      {{- if $workload.kept -}}
        {{- $object := $workload.object -}}
        {{- $template := $workload.template -}}
        {{- $pod := $workload.pod -}}
        {{- $kind := $workload.kind -}}
        {{- $name := $workload.name -}}
        {{- $off := $off -}}
        {{- range $waiver := $context.waivers -}}
          {{- if and (not (hasKey $waiver "container")) (regexMatch $waiver.kind (lower $kind)) (regexMatch $waiver.name $name) -}}
            {{- $off = merge (dict $waiver.rule true) $off -}}
          {{- end -}}
        {{- end -}}
        {{- $shown := fromJson (include "@quench@.shown" (dict "workload" $workload "all" $all)) -}}
        {{- $isolated := dict "Ingress" false "Egress" false -}}
        {{- range $policy := $all.policies -}}
          {{- if eq $policy.namespace $workload.namespace -}}
            {{- if eq (include "@quench@.selects" (dict "selector" $policy.selector "labels" $workload.labels)) "true" -}}
              {{- range $direction := $policy.directions -}}
                {{- $set := set $isolated $direction true -}}
              {{- end -}}
            {{- end -}}
          {{- end -}}
        {{- end -}}
@release@
      {{- end -}}
    {{- end -}}
    {{- range $object := $made.all -}}
      {{- printf "---\n%s\n" (toYaml $object) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- /* What the templates of a chart and of its subcharts rendered. */ -}}
{{- define "@quench@.gather" -}}
  {{- $call := . -}}
  {{- $context := index .root "@quench@" -}}
  {{- if kindIs "map" $context -}}
    {{- range $key := list "workloads" "services" "policies" -}}
      {{- $set := set $call.all $key (concat (index $call.all $key) (index $context $key)) -}}
    {{- end -}}
  {{- end -}}
  {{- $subcharts := index .root "Subcharts" -}}
  {{- if and (kindIs "map" $subcharts) (lt $call.depth 32) -}}
    {{- range $subchart := $subcharts -}}
      {{- if kindIs "map" $subchart -}}
        {{- $done := include "@quench@.gather" (dict "root" $subchart "all" $call.all "depth" (add1 $call.depth)) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- /* Keeps what rules about the whole release look at. The release's own namespace counts as none written. */ -}}
{{- define "@quench@.keep" -}}
  {{- $context := .context -}}
  {{- $object := .object -}}
  {{- $kind := .kind -}}
  {{- $namespace := "" -}}
  {{- $annotations := dict -}}
  {{- $metadata := index $object "metadata" -}}
  {{- if kindIs "map" $metadata -}}
    {{- if kindIs "string" (index $metadata "namespace") -}}
      {{- $namespace = index $metadata "namespace" -}}
    {{- end -}}
    {{- if eq $namespace (toString (index .root "Release" "Namespace")) -}}
      {{- $namespace = "" -}}
    {{- end -}}
    {{- if kindIs "map" (index $metadata "annotations") -}}
      {{- $annotations = index $metadata "annotations" -}}
    {{- end -}}
  {{- end -}}
  {{- $spec := index $object "spec" -}}
  {{- if not (kindIs "map" $spec) -}}
    {{- $spec = dict -}}
  {{- end -}}
  {{- if kindIs "map" .pod -}}
    {{- $selector := index $spec "selector" -}}
    {{- $kept := and (has $kind (list @selecting@)) (kindIs "map" $selector) (kindIs "map" $metadata) -}}
    {{- $labels := dict -}}
    {{- if kindIs "map" (index .template "metadata") -}}
      {{- if kindIs "map" (index .template "metadata" "labels") -}}
        {{- $labels = index .template "metadata" "labels" -}}
      {{- end -}}
    {{- end -}}
    {{- $set := set $context "workloads" (append $context.workloads (dict "object" $object "template" .template "pod" .pod "kind" $kind "name" .name "namespace" $namespace "labels" $labels "selector" $selector "kept" $kept)) -}}
  {{- else if eq $kind "Service" -}}
    {{- if kindIs "map" (index $spec "selector") -}}
      {{- $selector := omit (index $spec "selector") "statefulset.kubernetes.io/pod-name" "apps.kubernetes.io/pod-index" -}}
      {{- if $selector -}}
        {{- $set := set $context "services" (append $context.services (dict "namespace" $namespace "selector" (dict "matchLabels" $selector) "ports" (index $spec "ports") "annotations" $annotations)) -}}
      {{- end -}}
    {{- end -}}
  {{- else -}}
    {{- $directions := list "Ingress" "Egress" -}}
    {{- $selector := dict -}}
    {{- if has (first (splitList "/" (toString (index $object "apiVersion")))) (list "networking.k8s.io" "extensions") -}}
      {{- if kindIs "map" (index $spec "podSelector") -}}
        {{- $selector = index $spec "podSelector" -}}
      {{- end -}}
      {{- $types := index $spec "policyTypes" -}}
      {{- if not (kindIs "slice" $types) -}}
        {{- $types = list "Ingress" -}}
        {{- if hasKey $spec "egress" -}}
          {{- $types = list "Ingress" "Egress" -}}
        {{- end -}}
      {{- end -}}
      {{- $directions = list -}}
      {{- range $type := $types -}}
        {{- $directions = append $directions (toString $type) -}}
      {{- end -}}
    {{- end -}}
    {{- $set := set $context "policies" (append $context.policies (dict "namespace" $namespace "selector" $selector "directions" $directions)) -}}
  {{- end -}}
{{- end -}}
{{- /* Whether a selector selects pods of these labels: prints "true". Its expressions are taken to hold. */ -}}
{{- define "@quench@.selects" -}}
  {{- $selects := true -}}
  {{- $labels := .labels -}}
  {{- $wanted := index .selector "matchLabels" -}}
  {{- if kindIs "map" $wanted -}}
    {{- range $key, $value := $wanted -}}
      {{- if not (and (hasKey $labels $key) (eq (toString $value) (toString (index $labels $key)))) -}}
        {{- $selects = false -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $selects -}}
{{- end -}}
{{- /* What is shown about the ports of a workload's pods, and who its peers are, as JSON. Whatever its selector selects counts. */ -}}
{{- define "@quench@.shown" -}}
  {{- $workload := .workload -}}
  {{- $all := .all -}}
  {{- $found := dict "ports" (dict) "named" (dict) "asked" (dict) -}}
  {{- $peers := dict -}}
  {{- $instance := index $workload.labels "app.kubernetes.io/instance" -}}
  {{- if kindIs "string" $instance -}}
    {{- $set := set $peers "" (dict "matchLabels" (dict "app.kubernetes.io/instance" $instance)) -}}
  {{- end -}}
  {{- range $other := $all.workloads -}}
    {{- if eq $other.namespace $workload.namespace -}}
      {{- if eq (include "@quench@.selects" (dict "selector" $workload.selector "labels" $other.labels)) "true" -}}
        {{- $done := include "@quench@.listens" (dict "workload" $other "services" $all.services "found" $found) -}}
      {{- end -}}
      {{- if and $other.kept (not (and (hasKey $peers "") (eq (toJson (index $other.labels "app.kubernetes.io/instance")) (toJson $instance)))) -}}
        {{- $set := set $peers (printf "%s/%s" $other.kind $other.name) $other.selector -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $listed := list -}}
  {{- range $key := keys $peers | sortAlpha -}}
    {{- $listed = append $listed (dict "podSelector" (index $peers $key)) -}}
  {{- end -}}
  {{- $known := not (not $found.ports) -}}
  {{- range $name, $asked := $found.asked -}}
    {{- if not (hasKey $found.named $name) -}}
      {{- $known = false -}}
    {{- end -}}
  {{- end -}}
  {{- toJson (dict "known" $known "ports" (keys $found.ports | sortAlpha) "peers" $listed) -}}
{{- end -}}
{{- define "@quench@.listens" -}}
  {{- $workload := .workload -}}
  {{- $found := .found -}}
  {{- $ports := list -}}
  {{- range $list := list "initContainers" "containers" -}}
    {{- $containers := index $workload.pod $list -}}
    {{- if kindIs "slice" $containers -}}
      {{- range $container := $containers -}}
        {{- if kindIs "map" $container -}}
          {{- if kindIs "slice" (index $container "ports") -}}
            {{- range $port := index $container "ports" -}}
              {{- if kindIs "map" $port -}}
                {{- $ports = append $ports (dict "port" (index $port "containerPort") "protocol" (index $port "protocol")) -}}
                {{- if kindIs "string" (index $port "name") -}}
                  {{- $set := set $found.named (index $port "name") true -}}
                {{- end -}}
              {{- end -}}
            {{- end -}}
          {{- end -}}
          {{- $asked := list (index $container "livenessProbe") (index $container "readinessProbe") (index $container "startupProbe") -}}
          {{- range $probe := $asked -}}
            {{- if kindIs "map" $probe -}}
              {{- range $way := list "httpGet" "tcpSocket" "grpc" -}}
                {{- if kindIs "map" (index $probe $way) -}}
                  {{- $ports = append $ports (dict "port" (index $probe $way "port")) -}}
                {{- end -}}
              {{- end -}}
            {{- end -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $annotated := list -}}
  {{- if kindIs "map" (index $workload.template "metadata") -}}
    {{- $annotated = append $annotated (index $workload.template "metadata" "annotations") -}}
  {{- end -}}
  {{- range $service := .services -}}
    {{- if eq $service.namespace $workload.namespace -}}
      {{- if eq (include "@quench@.selects" (dict "selector" $service.selector "labels" $workload.labels)) "true" -}}
        {{- $annotated = append $annotated $service.annotations -}}
        {{- if kindIs "slice" $service.ports -}}
          {{- range $port := $service.ports -}}
            {{- if kindIs "map" $port -}}
              {{- $target := index $port "targetPort" -}}
              {{- if kindIs "invalid" $target -}}
                {{- $target = index $port "port" -}}
              {{- end -}}
              {{- if not (kindIs "string" $target) -}}
                {{- $ports = append $ports (dict "port" $target "protocol" (index $port "protocol")) -}}
              {{- else -}}
                {{- $set := set $found.asked $target true -}}
              {{- end -}}
            {{- end -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- range $annotations := $annotated -}}
    {{- if kindIs "map" $annotations -}}
      {{- $port := toString (index $annotations "prometheus.io/port") -}}
      {{- if regexMatch "^[0-9]{1,5}$" $port -}}
        {{- $ports = append $ports (dict "port" (float64 $port)) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- range $port := $ports -}}
    {{- $number := index $port "port" -}}
    {{- if kindIs "float64" $number -}}
      {{- if and (eq (floor $number) $number) (gt $number 0.0) (lt $number 65536.0) -}}
        {{- $protocol := index $port "protocol" -}}
        {{- if not (has $protocol (list "UDP" "SCTP")) -}}
          {{- $protocol = "TCP" -}}
        {{- end -}}
        {{- $set := set $found.ports (printf "%.0f:%s" $number $protocol) true -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- /* A network policy, as JSON. */ -}}
{{- define "@quench@.isolate" -}}
  {{- $workload := .workload -}}
  {{- $shown := .shown -}}
  {{- $labels := dict -}}
  {{- range $label, $key := dict "name" "chart" "instance" "release" "version" "version" "managed-by" "service" -}}
    {{- $value := index $.context.labels $key -}}
    {{- if $value -}}
      {{- $set := set $labels (print "app.kubernetes.io/" $label) $value -}}
    {{- end -}}
  {{- end -}}
  {{- $metadata := dict "name" (printf "quench-%s-%s-%s" (lower .direction) (lower $workload.kind) $workload.name) "labels" $labels -}}
  {{- if kindIs "string" (index $workload.object "metadata" "namespace") -}}
    {{- $set := set $metadata "namespace" (index $workload.object "metadata" "namespace") -}}
  {{- end -}}
  {{- $allowed := list -}}
  {{- $spec := dict "podSelector" $workload.selector "policyTypes" (list .direction) -}}
  {{- if eq .direction "Ingress" -}}
    {{- range $port := $shown.ports -}}
      {{- $parts := splitList ":" $port -}}
      {{- $allowed = append $allowed (dict "port" (int (first $parts)) "protocol" (last $parts)) -}}
    {{- end -}}
    {{- $set := set $spec "ingress" (list (dict "from" $shown.peers) (dict "ports" $allowed)) -}}
  {{- else -}}
    {{- $egress := index .context.settings "egress" -}}
    {{- $rules := list (dict "ports" (list (dict "port" 53 "protocol" "TCP") (dict "port" 53 "protocol" "UDP"))) (dict "to" $shown.peers) -}}
    {{- $keys := list "networks" -}}
    {{- if ne (toString (index $workload.pod "automountServiceAccountToken")) "false" -}}
      {{- $keys = list "networks" "apiServers" -}}
    {{- end -}}
    {{- range $key := $keys -}}
      {{- if kindIs "slice" (index $egress $key) -}}
        {{- range $network := index $egress $key -}}
          {{- if kindIs "string" $network -}}
            {{- $allowed = append $allowed (dict "ipBlock" (dict "cidr" $network)) -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
    {{- if $allowed -}}
      {{- $rules = append $rules (dict "to" $allowed) -}}
    {{- end -}}
    {{- $set := set $spec "egress" $rules -}}
  {{- end -}}
  {{- toJson (dict "apiVersion" "networking.k8s.io/v1" "kind" "NetworkPolicy" "metadata" $metadata "spec" $spec) -}}
{{- end -}}
