{{- /* Hardens one object in place. See quench_chart::rewrite::driver for what it is called with. */ -}}
{{- define "@quench@.object" -}}
  {{- $object := .object -}}
  {{- $root := .root -}}
  {{- $nothing := index (dict) "nothing" -}}
  {{- $none := dict -}}
  {{- $in_chart := false -}}
  {{- if kindIs "map" $root -}}
    {{- if and (kindIs "map" (index $root "Template")) (kindIs "map" (index $root "Release")) (hasKey $root "Chart") -}}
      {{- $in_chart = true -}}
    {{- end -}}
  {{- end -}}
  {{- /* What does not change within a render is kept in the chart's own context, which no template prints. */ -}}
  {{- $context := dict -}}
  {{- if $in_chart -}}
    {{- if hasKey $root "@quench@" -}}
      {{- $context = index $root "@quench@" -}}
    {{- end -}}
  {{- end -}}
  {{- if not (hasKey $context "off") -}}
    {{- $made := include "@quench@.context" (dict "context" $context "root" $root "settings" .settings "in_chart" $in_chart) -}}
    {{- if $in_chart -}}
      {{- $kept := set $root "@quench@" $context -}}
    {{- end -}}
  {{- end -}}
  {{- $off := $context.off -}}
  {{- $settings := $context.settings -}}
  {{- $decided := $context.decided -}}
  {{- $kind := toString (index $object "kind") -}}
  {{- $name := "" -}}
  {{- $metadata := index $object "metadata" -}}
  {{- if kindIs "map" $metadata -}}
    {{- if kindIs "string" (index $metadata "name") -}}
      {{- $name = index $metadata "name" -}}
    {{- end -}}
  {{- end -}}
  {{- /* A rule that is waived here is off here. */ -}}
  {{- $waivers := list -}}
  {{- range $waiver := $context.waivers -}}
    {{- if and (regexMatch $waiver.kind (lower $kind)) (regexMatch $waiver.name $name) -}}
      {{- if hasKey $waiver "container" -}}
        {{- $waivers = append $waivers $waiver -}}
      {{- else -}}
        {{- $off = merge (dict $waiver.rule true) $off -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $template := $nothing -}}
  {{- $pod := $nothing -}}
  {{- $version := toString (index $object "apiVersion") -}}
  {{- $group := "" -}}
  {{- if contains "/" $version -}}
    {{- $group = first (splitList "/" $version) -}}
  {{- end -}}
  {{- if has $group (list @groups@) -}}
    {{- $keys := index (dict @workloads@) $kind -}}
    {{- if kindIs "slice" $keys -}}
      {{- $template = $object -}}
      {{- range $key := $keys -}}
        {{- if kindIs "map" $template -}}
          {{- $template = index $template $key -}}
        {{- end -}}
      {{- end -}}
      {{- if kindIs "map" $template -}}
        {{- $pod = index $template "spec" -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $linux := true -}}
  {{- if kindIs "map" $pod -}}
    {{- range $key, $below := dict "os" "name" "nodeSelector" "kubernetes.io/os" -}}
      {{- if kindIs "map" (index $pod $key) -}}
        {{- if eq (toString (index $pod $key $below)) "windows" -}}
          {{- $linux = false -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
    {{- range $list := list "initContainers" "containers" -}}
      {{- $containers := index $pod $list -}}
      {{- if kindIs "slice" $containers -}}
        {{- range $container := $containers -}}
          {{- if kindIs "map" $container -}}
            {{- $container_name := "" -}}
            {{- if kindIs "string" (index $container "name") -}}
              {{- $container_name = index $container "name" -}}
            {{- end -}}
            {{- $off := $off -}}
            {{- range $waiver := $waivers -}}
              {{- if regexMatch $waiver.container $container_name -}}
                {{- $off = merge (dict $waiver.rule true) $off -}}
              {{- end -}}
            {{- end -}}
            {{- $image := $nothing -}}
            {{- $pin := $nothing -}}
            {{- $reference := index $container "image" -}}
            {{- if kindIs "string" $reference -}}
              {{- $image = $context.evidence.any -}}
              {{- $number := index $context.evidence.images $reference -}}
              {{- if $number -}}
                {{- $image = index $context.evidence.entries $number -}}
              {{- end -}}
              {{- $number = index $context.evidence.pins $reference -}}
              {{- if $number -}}
                {{- $pin = index $context.evidence.entries $number -}}
              {{- end -}}
            {{- end -}}
@container@
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
@pod@
  {{- end -}}
@object@
  {{- if and $context.in_chart (or (kindIs "map" $pod) (has $kind (list "Service" "NetworkPolicy" "CiliumNetworkPolicy"))) -}}
    {{- $done := include "@quench@.keep" (dict "context" $context "root" $root "object" $object "template" $template "pod" $pod "kind" $kind "name" $name) -}}
  {{- end -}}
{{- end -}}
{{- /* Puts a value at the end of keys from a map; maps on the way are made. Called with a list of the three. */ -}}
{{- define "@quench@.put" -}}
  {{- $map := index . 0 -}}
  {{- range $key := initial (index . 1) -}}
    {{- if not (kindIs "map" (index $map $key)) -}}
      {{- $set := set $map $key (dict) -}}
    {{- end -}}
    {{- $map = index $map $key -}}
  {{- end -}}
  {{- $set := set $map (last (index . 1)) (index . 2) -}}
{{- end -}}
{{- /* Takes away what is at the end of keys from a map. Called with a list of the two. */ -}}
{{- define "@quench@.drop" -}}
  {{- $map := index . 0 -}}
  {{- range $key := initial (index . 1) -}}
    {{- if kindIs "map" $map -}}
      {{- $map = index $map $key -}}
    {{- end -}}
  {{- end -}}
  {{- if kindIs "map" $map -}}
    {{- $set := unset $map (last (index . 1)) -}}
  {{- end -}}
{{- end -}}
{{- /* Fills the map that is kept. */ -}}
{{- define "@quench@.context" -}}
  {{- $context := .context -}}
  {{- $given := .settings -}}
  {{- $defaults := fromJson (include "@quench@.defaults" .) -}}
  {{- $settings := dict -}}
  {{- range $key, $kind := dict @facts@ -}}
    {{- $value := index $given $key -}}
    {{- if not (kindIs $kind $value) -}}
      {{- $value = index $defaults.facts $key -}}
    {{- end -}}
    {{- if and (kindIs $kind $value) (ne (toString $value) "") -}}
      {{- $set := set $settings $key $value -}}
    {{- end -}}
  {{- end -}}
  {{- $off := $defaults.off -}}
  {{- $decided := $defaults.decided -}}
  {{- $rules := index $given "rules" -}}
  {{- if kindIs "map" $rules -}}
    {{- range $id, $rule := $rules -}}
      {{- if kindIs "map" $rule -}}
        {{- $enabled := toString (index $rule "enabled") -}}
        {{- if eq $enabled "false" -}}
          {{- $set := set $off $id true -}}
        {{- else if eq $enabled "true" -}}
          {{- $set := unset $off $id -}}
        {{- end -}}
        {{- $fix := toString (index $rule "fix") -}}
        {{- if eq $fix "false" -}}
          {{- $set := unset $decided $id -}}
        {{- else if eq $fix "true" -}}
          {{- $set := set $decided $id true -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $waivers := $defaults.waivers -}}
  {{- $more := index $given "waivers" -}}
  {{- if kindIs "slice" $more -}}
    {{- $waivers = concat $waivers $more -}}
  {{- else if $more -}}
    {{- fail "global.hardening.waivers must be a list" -}}
  {{- end -}}
  {{- $read := list -}}
  {{- $today := now | date "2006-01-02" -}}
  {{- range $waiver := $waivers -}}
    {{- if not (kindIs "map" $waiver) -}}
      {{- fail "global.hardening.waivers: each waiver must be a map with rule and reason" -}}
    {{- end -}}
    {{- $rule := toString (index $waiver "rule") -}}
    {{- $reason := index $waiver "reason" -}}
    {{- if or (kindIs "invalid" $reason) (eq (trim (toString $reason)) "") -}}
      {{- fail (printf "global.hardening.waivers: the waiver for rule %q gives no reason; add `reason`" $rule) -}}
    {{- end -}}
    {{- $expires := index $waiver "expires" -}}
    {{- if $expires -}}
      {{- $expires = toString $expires -}}
      {{- if not (regexMatch "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" $expires) -}}
        {{- fail (printf "global.hardening.waivers: the waiver for rule %q: expires %q is not a date; write YYYY-MM-DD, in quotes" $rule $expires) -}}
      {{- end -}}
      {{- if lt $expires $today -}}
        {{- fail (printf "global.hardening.waivers: the waiver for rule %q expired on %s; renew it with a new date or remove it" $rule $expires) -}}
      {{- end -}}
    {{- end -}}
    {{- $entry := dict "rule" $rule "kind" "" "name" "" -}}
    {{- range $key := list "kind" "name" "container" -}}
      {{- $value := index $waiver $key -}}
      {{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
        {{- $pattern := toString $value -}}
        {{- if eq $key "kind" -}}
          {{- $pattern = regexQuoteMeta (lower $pattern) -}}
        {{- else -}}
          {{- $pattern = replace "\\*" ".*" (regexQuoteMeta $pattern) -}}
        {{- end -}}
        {{- $set := set $entry $key (printf "(?s)^%s$" $pattern) -}}
      {{- end -}}
    {{- end -}}
    {{- $read = append $read $entry -}}
  {{- end -}}
  {{- $labels := dict -}}
  {{- if .in_chart -}}
    {{- range $key, $value := dict "chart" .root.Chart.Name "version" .root.Chart.AppVersion "release" .root.Release.Name "service" .root.Release.Service -}}
      {{- $value = regexReplaceAll "[^A-Za-z0-9_.-]" (toString $value) "_" -}}
      {{- $set := set $labels $key (trimAll "-_." (trunc 63 $value)) -}}
    {{- end -}}
  {{- end -}}
  {{- $set := set $context "settings" $settings -}}
  {{- $set := set $context "decided" $decided -}}
  {{- range $key := list "workloads" "services" "policies" -}}
    {{- $set := set $context $key (list) -}}
  {{- end -}}
  {{- $set := set $context "waivers" $read -}}
  {{- $set := set $context "labels" $labels -}}
  {{- $set := set $context "in_chart" .in_chart -}}
  {{- $set := set $context "evidence" (fromJson (include "@quench@.evidence" .)) -}}
  {{- $set := set $context "off" $off -}}
{{- end -}}
{{- /* A quantity as a plain number; nothing for what is none. */ -}}
{{- define "@quench@.quantity" -}}
  {{- if kindIs "float64" .of -}}
    {{- printf "%.3f" .of -}}
  {{- else if kindIs "string" .of -}}
    {{- if regexMatch "^[0-9]{1,12}((\\.[0-9]{1,3})?([kMGT]|[KMGT]i)?|m)$" .of -}}
      {{- $unit := regexFind "[A-Za-z]+$" .of -}}
      {{- printf "%.3f" (mulf (trimSuffix $unit .of) (index (dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0) $unit)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- define "@quench@.defaults" -}}@defaults@{{- end -}}
{{- define "@quench@.evidence" -}}@evidence@{{- end -}}
{{- /* Accounts, roles, bindings and Services of the chart, from its templates that can render some. One of those that includes another by path leads back here: it finds the map unfilled then, which only matters to text that is hashed. */ -}}
{{- define "@quench@.siblings" -}}
  {{- $context := .context -}}
  {{- $root := .root -}}
  {{- if not (hasKey $context "siblings") -}}
    {{- $siblings := dict "accounts" (dict) "withheld" (dict) "bound" (dict) "roles" (dict) "services" (list) "unclear" true -}}
    {{- $set := set $context "siblings" $siblings -}}
    {{- if $context.in_chart -}}
      {{- $base := toString (index $root.Template "BasePath") -}}
      {{- $found := fromJson (include (print $base "/_quench-siblings.tpl") $root) -}}
      {{- range $path := $found.templates -}}
        {{- range $document := regexSplit "(?m)^---[ \\t]*" (replace "<no value>" "" (include (print $base $path) $root)) -1 -}}
          {{- if regexMatch "kind.{0,3}:.*\\b(@siblings@|[A-Za-z]*List)\\b" $document -}}
            {{- $done := include "@quench@.sibling" (dict "object" (fromYaml (print $document "\n")) "siblings" $siblings "depth" 0) -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
      {{- $set := set $siblings "unclear" (or $found.elsewhere (hasKey $siblings "everyone")) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- define "@quench@.sibling" -}}
  {{- $object := .object -}}
  {{- $siblings := .siblings -}}
  {{- $depth := .depth -}}
  {{- $kind := toString (index $object "kind") -}}
  {{- $metadata := index $object "metadata" -}}
  {{- $name := "" -}}
  {{- if kindIs "map" $metadata -}}
    {{- $name = toString (index $metadata "name") -}}
  {{- end -}}
  {{- if and (kindIs "slice" (index $object "items")) (hasSuffix "List" $kind) (lt $depth 8) -}}
    {{- range $item := index $object "items" -}}
      {{- if kindIs "map" $item -}}
        {{- $done := include "@quench@.sibling" (dict "object" $item "siblings" $siblings "depth" (add1 $depth)) -}}
      {{- end -}}
    {{- end -}}
  {{- else if eq $kind "ServiceAccount" -}}
    {{- $set := set $siblings.accounts $name true -}}
    {{- if eq (toJson (index $object "automountServiceAccountToken")) "false" -}}
      {{- $set := set $siblings.withheld $name true -}}
    {{- end -}}
  {{- else if or (eq $kind "Role") (eq $kind "ClusterRole") -}}
    {{- $key := print $kind "/" $name -}}
    {{- $rules := index $object "rules" -}}
    {{- $gives := or (not (kindIs "invalid" (index $object "aggregationRule"))) (not (has (kindOf $rules) (list "slice" "invalid"))) -}}
    {{- if kindIs "slice" $rules -}}
      {{- range $rule := $rules -}}
        {{- $verbs := "" -}}
        {{- if kindIs "map" $rule -}}
          {{- $verbs = index $rule "verbs" -}}
        {{- end -}}
        {{- if not (kindIs "slice" $verbs) -}}
          {{- $gives = true -}}
        {{- else if without $verbs "use" -}}
          {{- $gives = true -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
    {{- $set := set $siblings.roles $key (or $gives (and (hasKey $siblings.roles $key) (index $siblings.roles $key))) -}}
  {{- else if or (eq $kind "RoleBinding") (eq $kind "ClusterRoleBinding") -}}
    {{- $role := index $object "roleRef" -}}
    {{- $key := "/" -}}
    {{- if kindIs "map" $role -}}
      {{- $key = print (toString (index $role "kind")) "/" (toString (index $role "name")) -}}
    {{- end -}}
    {{- $subjects := index $object "subjects" -}}
    {{- if kindIs "slice" $subjects -}}
      {{- range $subject := $subjects -}}
        {{- if kindIs "map" $subject -}}
          {{- $name = toString (index $subject "name") -}}
          {{- if eq (toString (index $subject "kind")) "ServiceAccount" -}}
            {{- $roles := dict -}}
            {{- if hasKey $siblings.bound $name -}}
              {{- $roles = index $siblings.bound $name -}}
            {{- end -}}
            {{- $set := set $siblings.bound $name (set $roles $key true) -}}
          {{- else if and (eq (toString (index $subject "kind")) "Group") (hasPrefix "system:" $name) -}}
            {{- $set := set $siblings "everyone" true -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- else if eq $kind "Service" -}}
    {{- $spec := index $object "spec" -}}
    {{- if kindIs "map" $spec -}}
      {{- $set := set $siblings "services" (append $siblings.services $spec) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- /* What the chart shows about a pod's account, in a word. */ -}}
{{- define "@quench@.account" -}}
  {{- $done := include "@quench@.siblings" . -}}
  {{- $siblings := .context.siblings -}}
  {{- $name := "default" -}}
  {{- $given := index .pod "serviceAccountName" -}}
  {{- if not (and (kindIs "string" $given) $given) -}}
    {{- $given = index .pod "serviceAccount" -}}
  {{- end -}}
  {{- if and (kindIs "string" $given) $given -}}
    {{- $name = $given -}}
  {{- end -}}
  {{- $bound := false -}}
  {{- range $role, $named := index $siblings.bound $name -}}
    {{- if or (not (hasKey $siblings.roles $role)) (index $siblings.roles $role) -}}
      {{- $bound = true -}}
    {{- end -}}
  {{- end -}}
  {{- if and (kindIs "invalid" (index .pod "automountServiceAccountToken")) (hasKey $siblings.withheld $name) -}}withheld
  {{- else if $bound -}}bound
  {{- else if $siblings.unclear -}}unclear
  {{- else if or (eq $name "default") (hasKey $siblings.accounts $name) -}}free
  {{- else -}}foreign
  {{- end -}}
{{- end -}}
{{- /* The first TCP port of a container that a Service leads to, as JSON; nothing where there is none. */ -}}
{{- define "@quench@.served" -}}
  {{- $done := include "@quench@.siblings" . -}}
  {{- $labels := dict -}}
  {{- $metadata := index .template "metadata" -}}
  {{- if kindIs "map" $metadata -}}
    {{- if kindIs "map" (index $metadata "labels") -}}
      {{- $labels = index $metadata "labels" -}}
    {{- end -}}
  {{- end -}}
  {{- $own := list -}}
  {{- $ports := index .container "ports" -}}
  {{- if kindIs "slice" $ports -}}
    {{- range $port := $ports -}}
      {{- if kindIs "map" $port -}}
        {{- if has (toString (index $port "protocol")) (list "" "<nil>" "TCP") -}}
          {{- $own = append $own $port -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $served := "" -}}
  {{- range $service := .context.siblings.services -}}
    {{- $selector := index $service "selector" -}}
    {{- $selects := and (kindIs "map" $selector) $selector -}}
    {{- if $selects -}}
      {{- range $key, $value := $selector -}}
        {{- if not (and (hasKey $labels $key) (eq (toString $value) (toString (index $labels $key)))) -}}
          {{- $selects = false -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
    {{- if and $selects (kindIs "slice" (index $service "ports")) -}}
      {{- range $port := index $service "ports" -}}
        {{- if and (not $served) (kindIs "map" $port) -}}
          {{- if has (toString (index $port "protocol")) (list "" "<nil>" "TCP") -}}
            {{- $target := index $port "targetPort" -}}
            {{- if kindIs "invalid" $target -}}
              {{- $target = index $port "port" -}}
            {{- end -}}
            {{- if not (kindIs "invalid" $target) -}}
              {{- range $candidate := $own -}}
                {{- if not $served -}}
                  {{- $name := index $candidate "name" -}}
                  {{- if not (kindIs "string" $name) -}}
                    {{- $name = "" -}}
                  {{- end -}}
                  {{- $number := index $candidate "containerPort" -}}
                  {{- if or (eq $name (toString $target)) (and (not (kindIs "invalid" $number)) (eq (toString $number) (toString $target))) -}}
                    {{- if $name -}}
                      {{- $served = toJson $name -}}
                    {{- else if not (kindIs "invalid" $number) -}}
                      {{- $served = toJson $number -}}
                    {{- end -}}
                  {{- end -}}
                {{- end -}}
              {{- end -}}
            {{- end -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $served -}}
{{- end -}}
