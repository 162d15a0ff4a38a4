//! Names of values that mean the same in most charts.

/// What a value means by the last keys of its path, for names that charts use alike; the most telling first.
const NAMES: &[(&[&str], &str)] = &[
    (&["image", "registry"], "registry the image is pulled from"),
    (&["image", "repository"], "repository of the image"),
    (&["image", "name"], "name of the image"),
    (&["image", "tag"], "tag of the image"),
    (&["image", "digest"], "digest of the image, over its tag"),
    (&["image", "sha"], "digest of the image, over its tag"),
    (&["image", "pullPolicy"], "when the image is pulled"),
    (
        &["image", "pullSecrets"],
        "Secrets the image is pulled with",
    ),
    (
        &["serviceAccount", "create"],
        "whether the chart makes a service account",
    ),
    (&["serviceAccount", "name"], "name of the service account"),
    (
        &["serviceAccount", "annotations"],
        "annotations of the service account",
    ),
    (
        &["rbac", "create"],
        "whether the chart makes roles and bindings",
    ),
    (
        &["ingress", "enabled"],
        "whether the chart makes an Ingress",
    ),
    (&["ingress", "hosts"], "hosts and paths of the Ingress"),
    (&["ingress", "tls"], "certificates of the Ingress"),
    (&["service", "type"], "type of the Service"),
    (&["service", "port"], "port of the Service"),
    (
        &["persistence", "enabled"],
        "whether data is kept on a volume",
    ),
    (&["persistence", "size"], "size of the volume"),
    (
        &["networkPolicy", "enabled"],
        "whether the chart makes a NetworkPolicy",
    ),
    (
        &["resources", "limits"],
        "most resources a container may use",
    ),
    (
        &["resources", "requests"],
        "resources a container is scheduled with",
    ),
    (
        &["autoscaling", "enabled"],
        "whether the number of replicas follows the load",
    ),
    (&["nodeSelector"], "labels a node must have to run the pods"),
    (&["tolerations"], "taints of nodes the pods put up with"),
    (
        &["affinity"],
        "which nodes and neighbours the pods prefer or avoid",
    ),
    (
        &["topologySpreadConstraints"],
        "how pods are spread over nodes and zones",
    ),
    (
        &["resources"],
        "resources the containers ask for and may use at most",
    ),
    (&["replicaCount"], "how many replicas run"),
    (&["replicas"], "how many replicas run"),
    (&["minReplicas"], "fewest replicas"),
    (&["maxReplicas"], "most replicas"),
    (
        &["nameOverride"],
        "replaces the chart's name in names of objects",
    ),
    (&["fullnameOverride"], "replaces the whole name of objects"),
    (&["namespaceOverride"], "replaces the namespace of objects"),
    (&["imagePullSecrets"], "Secrets images are pulled with"),
    (&["pullPolicy"], "when the image is pulled"),
    (&["podAnnotations"], "annotations of the pods"),
    (&["podLabels"], "labels of the pods"),
    (&["commonLabels"], "labels of every object"),
    (&["commonAnnotations"], "annotations of every object"),
    (&["annotations"], "annotations of the object"),
    (&["labels"], "labels of the object"),
    (&["podSecurityContext"], "security settings of the pods"),
    (
        &["containerSecurityContext"],
        "security settings of the containers",
    ),
    (
        &["securityContext"],
        "security settings of the pods or containers",
    ),
    (&["runAsUser"], "user the processes run as"),
    (&["runAsGroup"], "group the processes run as"),
    (&["runAsNonRoot"], "whether running as root is refused"),
    (&["fsGroup"], "group that owns mounted volumes"),
    (
        &["readOnlyRootFilesystem"],
        "whether the container's own files cannot be written",
    ),
    (
        &["allowPrivilegeEscalation"],
        "whether processes may gain privileges",
    ),
    (
        &["privileged"],
        "whether the container has the host's privileges",
    ),
    (&["priorityClassName"], "priority of the pods"),
    (&["schedulerName"], "scheduler of the pods"),
    (&["updateStrategy"], "how pods are replaced on updates"),
    (&["livenessProbe"], "when a container is restarted"),
    (&["readinessProbe"], "when a pod gets traffic"),
    (&["startupProbe"], "when a container counts as started"),
    (&["initialDelaySeconds"], "seconds before the first probe"),
    (&["periodSeconds"], "seconds between probes"),
    (
        &["timeoutSeconds"],
        "seconds after which a probe has failed",
    ),
    (
        &["failureThreshold"],
        "failed probes in a row that count as failure",
    ),
    (
        &["successThreshold"],
        "good probes in a row that count as success",
    ),
    (
        &["terminationGracePeriodSeconds"],
        "seconds a pod has to end",
    ),
    (&["extraEnv"], "more environment variables"),
    (&["extraArgs"], "more arguments of the program"),
    (&["extraVolumes"], "more volumes of the pods"),
    (&["extraVolumeMounts"], "more mounts of the containers"),
    (&["env"], "environment variables"),
    (&["args"], "arguments of the program"),
    (&["command"], "program that is run instead of the image's"),
    (&["storageClass"], "storage class of the volume"),
    (&["storageClassName"], "storage class of the volume"),
    (&["accessModes"], "how the volume may be mounted"),
    (
        &["existingClaim"],
        "volume claim that is used instead of a new one",
    ),
    (
        &["existingSecret"],
        "Secret that is used instead of a new one",
    ),
    (&["nodePort"], "port on every node"),
    (&["loadBalancerIP"], "address of the load balancer"),
    (
        &["loadBalancerSourceRanges"],
        "addresses that may reach the load balancer",
    ),
    (
        &["externalTrafficPolicy"],
        "whether traffic from outside stays on the node it came to",
    ),
    (&["clusterIP"], "address of the Service"),
    (&["containerPort"], "port of the container"),
    (&["hostNetwork"], "whether pods use the node's network"),
    (&["dnsPolicy"], "how pods resolve names"),
    (&["dnsConfig"], "settings of name resolution"),
    (&["hostAliases"], "entries for the pods' hosts file"),
    (&["initContainers"], "containers that run before the pod's"),
    (&["sidecars"], "containers that run beside the pod's"),
    (&["logLevel"], "how much is logged"),
    (&["enabled"], "whether this part of the chart is used"),
];

/// The meaning of a value by its name.
pub(super) fn meaning(path: &[String]) -> Option<String> {
    NAMES
        .iter()
        .find(|(keys, _)| {
            path.len() >= keys.len()
                && path
                    .iter()
                    .rev()
                    .zip(keys.iter().rev())
                    .all(|(key, name)| key == name)
        })
        .map(|(_, meaning)| (*meaning).to_owned())
}
