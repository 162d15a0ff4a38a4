{{- /* What is looked for: for each image, a part of every way to write it, what it becomes where it stands in text, and what it looks like as JSON. See relocation.rs, which does the same. */ -}}
{{- define "@quench@.relocation" -}}
  {{- $context := .context -}}
  {{- if not (hasKey $context "images") -}}
    {{- $registry := regexReplaceAll "/+$" $context.settings.registry "" -}}
    {{- $images := dict -}}
    {{- range $spelling, $number := $context.evidence.pins -}}
      {{- $pin := index $context.evidence.entries $number -}}
      {{- if not (hasKey $images $number) -}}
        {{- $to := printf "%s/%s%s@%s" $registry $pin.repository $pin.tag $pin.digest -}}
        {{- $set := set $images $number (dict "needle" (last (splitList "/" $pin.repository)) "tokens" (list) "parts" (list (printf ":%q" $pin.repository)) "to" $to "in_text" (printf "${1}%s${2}" (replace "$" "$$" $to))) -}}
      {{- end -}}
      {{- $image := index $images $number -}}
      {{- $name := regexReplaceAll ":[^/]*$" (regexReplaceAll "@.*$" $spelling "") "" -}}
      {{- $set := set $image "parts" (append $image.parts (printf ":%q" $name)) -}}
      {{- if regexMatch "[:@][^/]*$" $spelling -}}
        {{- $set = set $image "tokens" (append $image.tokens $spelling) -}}
        {{- $set = set $image "parts" (append $image.parts $spelling) -}}
      {{- else -}}
        {{- $set = set $image "parts" (append $image.parts (printf ":%q" $spelling)) -}}
      {{- end -}}
    {{- end -}}
    {{- $set := set $context "registry" $registry -}}
    {{- $set = set $context "images" $images -}}
  {{- end -}}
{{- end -}}
{{- /* Whether an object may name an image: prints "true". Cheap, since every object of a chart is asked. */ -}}
{{- define "@quench@.names_images" -}}
  {{- $call := . -}}
  {{- $done := include "@quench@.relocation" . -}}
  {{- $kind := toString (index .object "kind") -}}
  {{- $found := and (has $kind (list "Secret" "ConfigMap")) (or (eq $kind "Secret") (hasKey .object "binaryData")) -}}
  {{- if not $found -}}
    {{- $json := toJson .object -}}
    {{- range $number, $image := .context.images -}}
      {{- if and (not $found) (contains $image.needle $json) -}}
        {{- range $part := $image.parts -}}
          {{- if and (not $found) (contains $part $json) -}}
            {{- $found = true -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $found -}}
{{- end -}}
{{- /* Changes an object in place. Prints nothing. */ -}}
{{- define "@quench@.relocate_object" -}}
  {{- $call := . -}}
  {{- $object := .object -}}
  {{- $kind := toString (index $object "kind") -}}
  {{- range $key, $value := $object -}}
    {{- if eq $key "metadata" -}}
      {{- if kindIs "map" $value -}}
        {{- if hasKey $value "annotations" -}}
          {{- $done := include "@quench@.relocate" (dict "holder" $value "key" "annotations" "context" $call.context "pods" $call.pods "container" false) -}}
        {{- end -}}
      {{- end -}}
    {{- else if or (and (eq $kind "Secret") (eq $key "data")) (and (eq $kind "ConfigMap") (eq $key "binaryData")) -}}
      {{- if kindIs "map" $value -}}
        {{- range $name, $encoded := $value -}}
          {{- if kindIs "string" $encoded -}}
            {{- $text := b64dec $encoded -}}
            {{- if eq $text (index (fromJson (printf "{\"text\":%s}" (toJson $text))) "text") -}}
              {{- $held := dict "text" $text -}}
              {{- $done := include "@quench@.relocate" (dict "holder" $held "key" "text" "context" $call.context "pods" false "container" false) -}}
              {{- if ne $held.text $text -}}
                {{- $set := set $value $name (b64enc $held.text) -}}
              {{- end -}}
            {{- end -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- else if not (or (has $key @never@) (and (has $key @names@) (kindIs "string" $value))) -}}
      {{- $done := include "@quench@.relocate" (dict "holder" $object "key" $key "context" $call.context "pods" $call.pods "container" false) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- /* Changes what a map holds under a key, in place. Prints nothing. */ -}}
{{- define "@quench@.relocate" -}}
  {{- $call := . -}}
  {{- $context := .context -}}
  {{- $value := index .holder .key -}}
  {{- if kindIs "string" $value -}}
    {{- $text := $value -}}
    {{- range $number, $image := $context.images -}}
      {{- if contains $image.needle $text -}}
        {{- range $token := $image.tokens -}}
          {{- if contains $token $text -}}
            {{- /* Twice: two references with one character between them share it. */ -}}
            {{- $pattern := printf "(^|[^A-Za-z0-9._/:@-])%s($|[^A-Za-z0-9._/:@-])" (regexQuoteMeta $token) -}}
            {{- $text = regexReplaceAll $pattern (regexReplaceAll $pattern $text $image.in_text) $image.in_text -}}
          {{- end -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
    {{- if ne $text $value -}}
      {{- $set := set .holder .key $text -}}
    {{- end -}}
  {{- else if kindIs "slice" $value -}}
    {{- $containers := and .pods (has .key @containers@) -}}
    {{- $list := list -}}
    {{- range $item := $value -}}
      {{- $held := dict "item" $item -}}
      {{- $done := include "@quench@.relocate" (dict "holder" $held "key" "item" "context" $context "pods" $call.pods "container" $containers) -}}
      {{- $list = append $list $held.item -}}
    {{- end -}}
    {{- if $list -}}
      {{- $set := set .holder .key $list -}}
    {{- end -}}
  {{- else if kindIs "map" $value -}}
    {{- $block := include "@quench@.relocate_block" (dict "fields" $value "context" $context) -}}
    {{- range $key, $field := $value -}}
      {{- $field = index $value $key -}}
      {{- $text := kindIs "string" $field -}}
      {{- if not (or (has $key @never@) (and $text (has $key @names@)) (and $call.container $text (eq $key "image"))) -}}
        {{- $number := "" -}}
        {{- if and $text (regexMatch "[iI]mage$" $key) -}}
          {{- if or (ne $block $key) (regexMatch "[:@][^/]*$" $field) -}}
            {{- $number = default "" (index $context.evidence.pins $field) -}}
          {{- end -}}
        {{- end -}}
        {{- if $number -}}
          {{- $set := set $value $key (index $context.images $number).to -}}
        {{- else -}}
          {{- $done := include "@quench@.relocate" (dict "holder" $value "key" $key "context" $context "pods" $call.pods "container" false) -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- /* Changes the parts of a reference where they make one of the package. Prints the field with the repository, if the fields are parts of any. */ -}}
{{- define "@quench@.relocate_block" -}}
  {{- $fields := .fields -}}
  {{- $context := .context -}}
  {{- $texts := dict -}}
  {{- range $key := list "registry" "repository" "image" "tag" "version" "digest" -}}
    {{- $text := index $fields $key -}}
    {{- if kindIs "string" $text -}}
      {{- if $text -}}
        {{- $set := set $texts $key $text -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $block := "" -}}
  {{- range $key := @repositories@ -}}
    {{- if and (not $block) (hasKey $texts $key) -}}
      {{- $block = $key -}}
    {{- end -}}
  {{- end -}}
  {{- $tag := "" -}}
  {{- range $key := @tags@ -}}
    {{- if and (not $tag) (hasKey $texts $key) -}}
      {{- $tag = index $texts $key -}}
    {{- end -}}
  {{- end -}}
  {{- $digest := default "" (index $texts "digest") -}}
  {{- if and $block (or $tag $digest) -}}
    {{- $name := index $texts $block -}}
    {{- if hasKey $texts "registry" -}}
      {{- $name = printf "%s/%s" (regexReplaceAll "/+$" $texts.registry "") $name -}}
    {{- end -}}
    {{- $written := list -}}
    {{- if and $tag $digest -}}
      {{- $written = append $written (printf "%s:%s@%s" $name $tag $digest) -}}
    {{- end -}}
    {{- if $digest -}}
      {{- $written = append $written (printf "%s@%s" $name $digest) -}}
    {{- end -}}
    {{- if $tag -}}
      {{- $written = append $written (printf "%s:%s" $name $tag) -}}
    {{- end -}}
    {{- $number := "" -}}
    {{- range $reference := $written -}}
      {{- if not $number -}}
        {{- $number = default "" (index $context.evidence.pins $reference) -}}
      {{- end -}}
    {{- end -}}
    {{- if $number -}}
      {{- $pin := index $context.evidence.entries $number -}}
      {{- $set := dict -}}
      {{- if hasKey $texts "registry" -}}
        {{- $set = set $fields "registry" $context.registry -}}
        {{- $set = set $fields $block $pin.repository -}}
      {{- else -}}
        {{- $set = set $fields $block (printf "%s/%s" $context.registry $pin.repository) -}}
      {{- end -}}
      {{- if hasKey $fields "digest" -}}
        {{- if or (kindIs "string" (index $fields "digest")) (kindIs "invalid" (index $fields "digest")) -}}
          {{- $set = set $fields "digest" $pin.digest -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
    {{- $block -}}
  {{- end -}}
{{- end -}}
