//! The language rules are declared in.
//!
//! A [`Rule`] is a constant. Its checks say where to look ([`Scope`]), what is wrong there ([`Condition`]) and what to
//! do about it ([`Fix`], made of [`Step`]s). The same constant is interpreted over rendered objects (`evaluate`), compiled
//! to template code (`template`) and printed for people (`documentation`), so the three cannot say different things
//! unless this small language means different things to them, which the equality tests would show.
//!
//! Everything is total: a path that leads nowhere gives nothing, a condition over nothing is false, a step that cannot
//! be done is not done. Charts render whatever users make them render.

use quench_model::{Level, Severity};

/// A configuration check and its fix, declared once.
#[derive(Debug)]
pub struct Rule {
    /// Name, as in settings, waivers and findings.
    pub id: &'static str,
    /// What should be so, in one line.
    pub title: &'static str,
    /// Why, and what the fix goes by.
    pub rationale: &'static str,
    /// Controls of the field that ask for the same.
    pub references: &'static [Reference],
    /// Whether and when the fix is safe.
    pub safety: Safety,
    /// How bad it is when the rule is not met.
    pub severity: Severity,
    /// Level that brings the rule in: configured or operable.
    pub level: Level,
    /// Evidence the fix needs.
    pub needs: &'static [Need],
    /// What is looked at, in order.
    pub checks: &'static [Check],
}

/// A control of a standard, benchmark or tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Who asks for it.
    pub source: Source,
    /// Its number or name there; empty where it has none.
    pub id: &'static str,
}

/// Standards, benchmarks and tools that rules refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Pod Security Standard "baseline".
    PodSecurityBaseline,
    /// Pod Security Standard "restricted".
    PodSecurityRestricted,
    /// CIS Kubernetes Benchmark.
    Cis,
    /// NSA/CISA Kubernetes Hardening Guide.
    Nsa,
    /// Kubescape control.
    Kubescape,
    /// Checkov check.
    Checkov,
    /// kube-linter check.
    KubeLinter,
    /// kube-score check.
    KubeScore,
    /// BSI IT-Grundschutz module APP.4.4 Kubernetes.
    BsiApp44,
    /// BSI IT-Grundschutz module SYS.1.6 containers.
    BsiSys16,
    /// Kubernetes documentation.
    Kubernetes,
}

impl Source {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::PodSecurityBaseline => "Pod Security baseline",
            Self::PodSecurityRestricted => "Pod Security restricted",
            Self::Cis => "CIS Kubernetes Benchmark",
            Self::Nsa => "NSA/CISA Kubernetes Hardening Guide",
            Self::Kubescape => "Kubescape",
            Self::Checkov => "Checkov",
            Self::KubeLinter => "kube-linter",
            Self::KubeScore => "kube-score",
            Self::BsiApp44 => "BSI APP.4.4",
            Self::BsiSys16 => "BSI SYS.1.6",
            Self::Kubernetes => "Kubernetes documentation",
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.id {
            "" => f.write_str(self.source.name()),
            id => write!(f, "{} {id}", self.source.name()),
        }
    }
}

/// Whether and when a fix is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Cannot break a workload.
    Always,
    /// Cannot break a workload when the evidence says so.
    WithEvidence,
    /// Needs a value of the target; does nothing until it is given.
    NeedsTarget,
    /// Only people can decide: reported.
    Report,
}

impl Safety {
    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Always => "always safe",
            Self::WithEvidence => "safe given evidence",
            Self::NeedsTarget => "needs a value of the target",
            Self::Report => "reported, fixed only by decision",
        }
    }
}

/// Evidence a fix needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Numeric user of the image.
    ImageUser,
    /// Whether what the image starts needs privileges.
    ImageEntrypoint,
    /// Paths the image writes to.
    WritablePaths,
    /// Digest of the image.
    ImageDigest,
    /// Accounts, bindings and services of the same chart.
    SameChart,
    /// A fact of the target.
    Target,
}

impl Need {
    /// What it is, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageUser => "the image's user",
            Self::ImageEntrypoint => "what the image starts, and whether that needs privileges",
            Self::WritablePaths => "the paths the image writes to",
            Self::ImageDigest => "the image's digest",
            Self::SameChart => "other objects of the chart",
            Self::Target => "a fact of the target",
        }
    }
}

/// One thing that is looked at.
#[derive(Debug)]
pub struct Check {
    /// Where.
    pub scope: Scope,
    /// Kinds of objects looked at; empty for all.
    pub kinds: &'static [&'static str],
    /// Places it is about; others are not looked at.
    pub applies: Condition,
    /// Whether the rule is broken there.
    pub broken: Condition,
    /// What to do, the first of them that may be done.
    pub fixes: &'static [Fix],
    /// Why nothing may be done, the first that holds. The last one should hold always.
    pub unfixed: &'static [Reason],
}

/// Where a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At each object.
    Object,
    /// At each pod specification.
    Pod,
    /// At each container, init containers included.
    Container,
    /// At each container that is no init container.
    RegularContainer,
    /// At each workload whose pods go by a selector (Deployment, StatefulSet, DaemonSet, ReplicaSet), once all else of
    /// the release was rendered and hardened. Steps cannot change it any more; they can add objects.
    Release,
    /// At the chart as a whole, by code of its own that looks at its values; see `hardening`.
    Chart,
}

/// What to do about a broken rule.
#[derive(Debug)]
pub struct Fix {
    /// Whether it may be done.
    pub when: Condition,
    /// How.
    pub steps: &'static [Step],
    /// Facts that decide, for the report.
    pub evidence: &'static [Path],
}

/// Why nothing is done about a broken rule.
#[derive(Debug)]
pub struct Reason {
    /// Whether it is this.
    pub when: Condition,
    /// What people read, and what they can do.
    pub text: &'static str,
}

/// Where a value is.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Where to start.
    pub root: Root,
    /// Keys to follow.
    pub keys: &'static [&'static str],
    /// Where to look when there is nothing.
    pub otherwise: Option<&'static Path>,
}

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The object.
    Object,
    /// The map that holds the pod's `metadata` and `spec`.
    Template,
    /// The pod specification.
    Pod,
    /// The container looked at.
    Container,
    /// Facts of the container's image, see `quench_model::ImageFacts`. Cannot be changed.
    Image,
    /// The lock's entry for the container's image. Cannot be changed.
    Pin,
    /// The item of the innermost list looked through. Can be changed within [`Step::Each`] alone.
    Item,
    /// Facts of the target in force, by their names in `global.hardening`. Cannot be changed.
    Settings,
}

impl Path {
    const fn new(root: Root, keys: &'static [&'static str]) -> Self {
        Self {
            root,
            keys,
            otherwise: None,
        }
    }

    /// Looks at `other` where this leads to nothing.
    #[must_use]
    pub const fn or(self, other: &'static Path) -> Self {
        Self {
            otherwise: Some(other),
            ..self
        }
    }

    /// The keys with dots between.
    pub fn dotted(&self) -> String {
        self.keys.join(".")
    }
}

/// A path from the object.
pub const fn object(keys: &'static [&'static str]) -> Path {
    Path::new(Root::Object, keys)
}

/// A path from the map that holds the pod's `metadata` and `spec`.
pub const fn template(keys: &'static [&'static str]) -> Path {
    Path::new(Root::Template, keys)
}

/// A path from the pod specification.
pub const fn pod(keys: &'static [&'static str]) -> Path {
    Path::new(Root::Pod, keys)
}

/// A path from the container.
pub const fn container(keys: &'static [&'static str]) -> Path {
    Path::new(Root::Container, keys)
}

/// A path from the facts of the container's image.
pub const fn image(keys: &'static [&'static str]) -> Path {
    Path::new(Root::Image, keys)
}

/// A path from the item of the innermost list looked through.
pub const fn item(keys: &'static [&'static str]) -> Path {
    Path::new(Root::Item, keys)
}

/// A path from the settings.
pub const fn settings(keys: &'static [&'static str]) -> Path {
    Path::new(Root::Settings, keys)
}

/// The lock's entry for the container's image.
pub const PIN: Path = Path::new(Root::Pin, &[]);

/// A constant of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    /// True or false.
    Bool(bool),
    /// An integer.
    Number(i64),
    /// A text. Only characters that no encoder escapes: letters, digits, space and `-_./:*`.
    Text(&'static str),
}

/// Something that holds or does not.
#[derive(Debug)]
pub enum Condition {
    /// Holds.
    Always,
    /// The pod is not for Windows, where most of a security context may not even be set.
    Linux,
    /// Something other than null is there.
    Present(Path),
    /// Exactly this value is there.
    Is(Path, Literal),
    /// One of these texts is there.
    OneOf(Path, &'static [&'static str]),
    /// A number is there, and it is smaller.
    Below(Path, i64),
    /// Quantities (Kubernetes: `500m`, `1Gi`) are there, the first at most the second.
    AtMost(Path, Path),
    /// A list is there that has the text.
    Has(Path, &'static str),
    /// A text is there that starts so.
    StartsWith(Path, &'static str),
    /// A text is there that has this in it.
    Contains(Path, &'static str),
    /// A list is there of which some item ([`Root::Item`]) meets the condition.
    AnyItem(Path, &'static Condition),
    /// A map is there of which some key starts so.
    AnyKey(Path, &'static str),
    /// Some container of the pod, init containers included, meets the condition. Image facts are not
    /// to be had in there.
    AnyContainer(&'static Condition),
    /// The file path that is there lies on a volume the container mounts.
    Mounted(Path),
    /// What the same chart shows about the pod's account.
    Account(Account),
    /// A list is there that has two maps with the same text under that key.
    Repeats(Path, &'static str),
    /// A map is there that has one of these texts under a key that has that in it, whatever its case.
    AnyValue(Path, &'static str, &'static [&'static str]),
    /// A map is there of which some key starts so and has that text as its value.
    AnyPair(Path, &'static str, &'static str),
    /// Settings or policy say that the rule fixes what it would only report: `rules.<id>.fix`.
    Decided,
    /// A network policy of the release selects the workload's pods, or may do so ([`Scope::Release`] alone).
    Isolated(Direction),
    /// The release shows at least one port that the workload's pods listen on, and leaves none open
    /// ([`Scope::Release`] alone).
    PortsKnown,
    /// A Service of the same chart leads to a TCP port of the container.
    Served,
    /// The container's image is one of the registry in [`Root::Settings`].
    AtRegistry,
    /// The object names an image of the package beside its containers' own, and not at the registry in
    /// [`Root::Settings`]. Does not hold where there is no registry.
    NamesImages,
    /// All hold.
    All(&'static [Condition]),
    /// One holds at least.
    Any(&'static [Condition]),
    /// Does not hold.
    Not(&'static Condition),
}

/// Which way traffic goes, seen from the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To it.
    Ingress,
    /// From it.
    Egress,
}

impl Direction {
    /// Name of it in network policies.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        }
    }
}

/// What a chart shows about the account a pod runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// No binding names it, and nobody outside of the chart brought it in.
    Free,
    /// A binding of the chart names it.
    Bound,
    /// The chart does not create it.
    Foreign,
    /// Another chart of the same tree has bindings, or the chart binds all accounts.
    Unclear,
    /// It is one of the chart that says itself that pods get no token, and the pod does not say otherwise.
    Withheld,
}

impl Account {
    /// Word for it in templates.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Bound => "bound",
            Self::Foreign => "foreign",
            Self::Unclear => "unclear",
            Self::Withheld => "withheld",
        }
    }
}

/// Something to do.
#[derive(Debug)]
pub enum Step {
    /// Puts a value there; maps on the way are made.
    Set(Path, Expression),
    /// Puts a value there when nothing, or null, is.
    SetMissing(Path, Expression),
    /// Takes away what is there.
    Remove(Path),
    /// Adds a text to a list, which is made; not twice.
    Append(Path, &'static str),
    /// Takes items that meet the condition out of a list; an empty list goes altogether.
    RemoveItems(Path, Condition),
    /// Takes maps out of a list that have the same text under that key as a later one.
    RemoveRepeated(Path, &'static str),
    /// Does steps to each map in a list that meets the condition, as [`Root::Item`].
    Each(Path, Condition, &'static [Step]),
    /// Adds a network policy to the release for the workload's pods ([`Scope::Release`] alone): what the release
    /// shows that they listen on, or where the settings say that they may connect to, stays open, and so does
    /// everything between the pods of the release.
    Isolate(Direction),
    /// Does steps only when a condition holds.
    When(Condition, &'static [Step]),
    /// Mounts an empty volume at each path in a list of writable paths that lies on no volume yet.
    MountWritable(Path),
    /// Puts the registry of [`Root::Settings`] and digests into the references that [`Condition::NamesImages`] finds.
    Relocate,
}

/// A value to put somewhere. Where it gives nothing, nothing is put.
#[derive(Debug)]
pub enum Expression {
    /// A constant.
    Literal(Literal),
    /// A map.
    Map(&'static [(&'static str, Expression)]),
    /// A list of one.
    One(&'static Expression),
    /// What is somewhere else.
    Of(Path),
    /// The texts that maps of a list have under a key, each once.
    Each(Path, &'static str),
    /// The image's reference with its digest; at the registry of the settings where there is one.
    Pinned,
    /// The port that [`Condition::Served`] found.
    ServedPort,
    /// Name of the chart, as a label value.
    ChartName,
    /// Version of the application, as a label value.
    AppVersion,
    /// Name of the release, as a label value.
    ReleaseName,
    /// What installs the release, as a label value.
    ReleaseService,
}
