//! Network flows as a drawing, laid out in layers: who connects stands left of whom it connects to.
//!
//! Layers by longest path, order within a layer by the mean place of neighbours, as Sugiyama, Tagawa and Toda lay out
//! directed graphs (1981). Few charts have more than some dozen nodes, so plain loops are fast enough.

mod layers;

use std::collections::BTreeMap;

use maud::{Markup, html};
use quench_rules::hardening::overview::{Edge, Exposure, Network, Node, NodeKind};

use super::text;
use layers::{back_edges, layers_of};

const WIDTH: i64 = 236;
const HEIGHT: i64 = 44;
const GAP_X: i64 = 96;
const GAP_Y: i64 = 18;
const MARGIN: i64 = 20;
/// Height of the lane of a connection that passes through a layer.
const LANE: i64 = 8;
/// Most nodes drawn: more cannot be read, and the table has them all.
const MOST: usize = 150;
/// Longest text of a node, in characters.
const LONGEST: usize = 32;

/// A node in its layer, or a lane of a connection through it.
#[derive(Debug, Clone)]
struct Spot<'n> {
    node: Option<&'n Node>,
    layer: usize,
    /// Middle.
    y: i64,
}

impl Spot<'_> {
    fn height(&self) -> i64 {
        if self.node.is_some() { HEIGHT } else { LANE }
    }
}

/// A connection by the spots it passes.
struct Line<'n> {
    edge: &'n Edge,
    spots: Vec<usize>,
    back: bool,
}

struct Layout<'n> {
    spots: Vec<Spot<'n>>,
    lines: Vec<Line<'n>>,
    layers: Vec<Vec<usize>>,
}

/// The drawing; nothing when there are no connections.
pub(super) fn drawing(network: &Network) -> Option<Markup> {
    let layout = Layout::of(network)?;
    let width = i64::try_from(layout.layers.len()).ok()? * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN;
    let bottom = layout
        .spots
        .iter()
        .map(|spot| spot.y + spot.height() / 2)
        .max()?;
    let has_back = layout.lines.iter().any(|line| line.back);
    let height = bottom + MARGIN + if has_back { 50 } else { 0 };
    Some(html! {
        svg.big[layout.layers.len() > 5] role="img" aria-labelledby="flows-title flows-text" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } {
            title id="flows-title" { "Network flows" }
            desc id="flows-text" { "Who connects to whom, from left to right. The table below says the same in words." }
            @for line in &layout.lines { (connection(line, &layout.spots)) }
            @for line in &layout.lines { (port_label(line, &layout.spots)) }
            @for spot in &layout.spots { @if let Some(node) = spot.node { (box_of(node, spot)) } }
        }
    })
}

impl<'n> Layout<'n> {
    fn of(network: &'n Network) -> Option<Self> {
        // What is outside and both calls and is called is drawn at either side.
        let name = |edge: &'n Edge, from: bool| -> (&'n str, bool) {
            let end = if from { &edge.from } else { &edge.to };
            let outside = network
                .nodes
                .iter()
                .any(|node| node.name == *end && node.kind == NodeKind::Outside);
            (end, outside && from)
        };
        let mut keys: BTreeMap<(&str, bool), usize> = BTreeMap::new();
        let mut spots: Vec<Spot<'n>> = Vec::new();
        let mut ends: Vec<(usize, usize, &'n Edge)> = Vec::new();
        for edge in &network.edges {
            let mut spot = |key: (&'n str, bool)| {
                if let Some(found) = keys.get(&key) {
                    return Some(*found);
                }
                if spots.len() >= MOST {
                    return None;
                }
                let node = network.nodes.iter().find(|node| node.name == key.0)?;
                spots.push(Spot {
                    node: Some(node),
                    layer: 0,
                    y: 0,
                });
                keys.insert(key, spots.len() - 1);
                Some(spots.len() - 1)
            };
            if let (Some(from), Some(to)) = (spot(name(edge, true)), spot(name(edge, false))) {
                ends.push((from, to, edge));
            }
        }
        if ends.is_empty() {
            return None;
        }
        let back = back_edges(spots.len(), &ends);
        let layers = layers_of(spots.len(), &ends, &back);
        for (spot, layer) in spots.iter_mut().zip(&layers) {
            spot.layer = *layer;
        }
        let mut layout = Self {
            spots,
            lines: Vec::new(),
            layers: Vec::new(),
        };
        for (index, (from, to, edge)) in ends.into_iter().enumerate() {
            layout.connect(from, to, edge, back.contains(&index));
        }
        layout.order();
        layout.place();
        Some(layout)
    }

    /// Adds a connection, with lanes through the layers between.
    fn connect(&mut self, from: usize, to: usize, edge: &'n Edge, back: bool) {
        let layer = |spots: &[Spot<'_>], at: usize| spots.get(at).map_or(0, |spot| spot.layer);
        let (first, last) = (layer(&self.spots, from), layer(&self.spots, to));
        let mut passed = vec![from];
        if !back {
            for layer in first + 1..last {
                self.spots.push(Spot {
                    node: None,
                    layer,
                    y: 0,
                });
                passed.push(self.spots.len() - 1);
            }
        }
        passed.push(to);
        self.lines.push(Line {
            edge,
            spots: passed,
            back,
        });
    }

    fn neighbours(&self, forward: bool) -> BTreeMap<usize, Vec<usize>> {
        let mut found: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| !line.back) {
            for pair in line.spots.windows(2) {
                if let [a, b] = pair {
                    let (of, other) = if forward { (a, b) } else { (b, a) };
                    found.entry(*of).or_default().push(*other);
                }
            }
        }
        found
    }

    fn order(&mut self) {
        let deepest = self.spots.iter().map(|spot| spot.layer).max().unwrap_or(0);
        let mut layers: Vec<Vec<usize>> = vec![Vec::new(); deepest + 1];
        for (index, spot) in self.spots.iter().enumerate() {
            if let Some(layer) = layers.get_mut(spot.layer) {
                layer.push(index);
            }
        }
        let (right, left) = (self.neighbours(true), self.neighbours(false));
        for round in 0..8 {
            let by = if round % 2 == 0 { &left } else { &right };
            let places: BTreeMap<usize, usize> = layers
                .iter()
                .flat_map(|layer| layer.iter().enumerate().map(|(place, spot)| (*spot, place)))
                .collect();
            for layer in &mut layers {
                let mean = |spot: &usize| {
                    let near = by.get(spot).map_or(&[][..], Vec::as_slice);
                    let sum: usize = near.iter().filter_map(|other| places.get(other)).sum();
                    match near.len() {
                        0 => places.get(spot).copied().unwrap_or_default() * 1000,
                        many => sum * 1000 / many,
                    }
                };
                // Stable: equal ones keep their order, so the same network gives the same drawing.
                layer.sort_by_key(mean);
            }
        }
        self.layers = layers;
    }

    fn place(&mut self) {
        let tallest = self
            .layers
            .iter()
            .map(|layer| self.extent(layer))
            .max()
            .unwrap_or(0);
        for layer in self.layers.clone() {
            let mut y = MARGIN + (tallest - self.extent(&layer)) / 2;
            for spot in layer {
                if let Some(spot) = self.spots.get_mut(spot) {
                    spot.y = y + spot.height() / 2;
                    y += spot.height() + GAP_Y;
                }
            }
        }
        let (right, left) = (self.neighbours(true), self.neighbours(false));
        for round in 0..6 {
            let by = if round % 2 == 0 { &left } else { &right };
            for layer in self.layers.clone() {
                self.pull(&layer, by, tallest);
            }
        }
    }

    /// Moves the spots of a layer towards their neighbours, in their order and without overlap.
    fn pull(&mut self, layer: &[usize], by: &BTreeMap<usize, Vec<usize>>, tallest: i64) {
        let y = |spots: &[Spot<'_>], at: usize| spots.get(at).map_or(0, |spot| spot.y);
        let wanted: Vec<i64> = layer
            .iter()
            .map(|spot| {
                let near = by.get(spot).map_or(&[][..], Vec::as_slice);
                let sum: i64 = near.iter().map(|other| y(&self.spots, *other)).sum();
                i64::try_from(near.len())
                    .ok()
                    .and_then(|many| sum.checked_div(many))
                    .unwrap_or_else(|| y(&self.spots, *spot))
            })
            .collect();
        // From the bottom up what each may take at most, then from the top down.
        let mut floor = MARGIN + tallest;
        let mut most = Vec::with_capacity(layer.len());
        for spot in layer.iter().rev() {
            let height = self.spots.get(*spot).map_or(0, Spot::height);
            most.push(floor - height / 2);
            floor -= height + GAP_Y;
        }
        most.reverse();
        let mut top = MARGIN;
        for ((spot, wanted), most) in layer.iter().zip(wanted).zip(most) {
            if let Some(spot) = self.spots.get_mut(*spot) {
                let height = spot.height();
                spot.y = wanted.min(most).max(top + height / 2);
                top = spot.y + height / 2 + GAP_Y;
            }
        }
    }

    fn extent(&self, layer: &[usize]) -> i64 {
        layer
            .iter()
            .filter_map(|spot| self.spots.get(*spot))
            .map(|spot| spot.height() + GAP_Y)
            .sum::<i64>()
            - GAP_Y
    }
}

fn left_of(spot: &Spot<'_>) -> i64 {
    MARGIN + i64::try_from(spot.layer).unwrap_or_default() * (WIDTH + GAP_X)
}

fn connection(line: &Line<'_>, spots: &[Spot<'_>]) -> Markup {
    let passed: Vec<&Spot<'_>> = line.spots.iter().filter_map(|at| spots.get(*at)).collect();
    let (Some(first), Some(last)) = (passed.first(), passed.last()) else {
        return html! {};
    };
    let (x, y) = (left_of(last), last.y);
    if line.back {
        let (from_x, from_y) = (left_of(first) + WIDTH / 2, first.y + HEIGHT / 2);
        let (to_x, to_y) = (x + WIDTH / 2, y + HEIGHT / 2);
        let path = format!(
            "M{from_x} {from_y} C{from_x} {} {to_x} {} {to_x} {}",
            from_y + 60,
            to_y + 60,
            to_y + 7
        );
        let tip = format!(
            "{to_x},{to_y} {},{} {},{}",
            to_x - 4,
            to_y + 8,
            to_x + 4,
            to_y + 8
        );
        return html! { path class="edge back" d=(path) {} polygon.tip points=(tip) {} };
    }
    let mut path = format!("M{} {}", left_of(first) + WIDTH, first.y);
    for pair in passed.windows(2) {
        if let [a, b] = pair {
            let start = left_of(a) + WIDTH;
            let end = left_of(b) - if b.node.is_some() { 7 } else { 0 };
            let middle = (start + end) / 2;
            path.push_str(&format!(
                " C{middle} {} {middle} {} {end} {}",
                a.y, b.y, b.y
            ));
            if b.node.is_none() {
                path.push_str(&format!(" H{}", end + WIDTH));
            }
        }
    }
    let tip = format!("{x},{y} {},{} {},{}", x - 8, y - 4, x - 8, y + 4);
    html! { path.edge d=(path) { title { (text(&said(line.edge))) } } polygon.tip points=(tip) {} }
}

fn said(edge: &Edge) -> String {
    let ports = edge.ports.join(", ");
    format!("{} → {} {ports} ({})", edge.from, edge.to, edge.shown_by)
}

fn port_label(line: &Line<'_>, spots: &[Spot<'_>]) -> Markup {
    let (Some(last), false) = (line.spots.last().and_then(|at| spots.get(*at)), line.back) else {
        return html! {};
    };
    let ports = line.edge.ports.join(", ");
    let (x, y) = (left_of(last) - 12, last.y - 5);
    html! {
        @if !ports.is_empty() {
            text.port x=(x) y=(y) text-anchor="end" { (text(&cut(&ports, 13))) }
        }
    }
}

fn box_of(node: &Node, spot: &Spot<'_>) -> Markup {
    let (x, y) = (left_of(spot), spot.y - HEIGHT / 2);
    let (kind, name) = match node.kind {
        NodeKind::Outside => ("", node.name.as_str()),
        _ => node.name.split_once('/').unwrap_or(("", &node.name)),
    };
    let limited = matches!(node.ingress, Some(Exposure::Limited | Exposure::Closed));
    let class = match node.kind {
        NodeKind::Outside => "outside",
        NodeKind::Entry => "entry",
        NodeKind::Service => "service",
        NodeKind::Workload if limited => "workload limited",
        NodeKind::Workload => "workload",
    };
    let rounding = match node.kind {
        NodeKind::Outside => HEIGHT / 2,
        NodeKind::Entry | NodeKind::Service => 10,
        NodeKind::Workload => 3,
    };
    let under = match node.ingress {
        Some(Exposure::Limited) => format!("{kind}, ingress limited"),
        Some(Exposure::Closed) => format!("{kind}, no ingress"),
        _ => kind.to_owned(),
    };
    html! {
        g {
            title { (text(&node.name)) }
            rect class={ "box " (class) } x=(x) y=(y) width=(WIDTH) height=(HEIGHT) rx=(rounding) {}
            @if under.is_empty() {
                text x=(x + WIDTH / 2) y=(y + 27) text-anchor="middle" { (text(&cut(name, LONGEST))) }
            } @else {
                text x=(x + 12) y=(y + 19) { (text(&cut(name, LONGEST))) }
                text.sub x=(x + 12) y=(y + 35) { (text(&cut(&under, LONGEST + 6))) }
            }
        }
    }
}

/// Names differ at their ends more often than in the middle.
fn cut(name: &str, longest: usize) -> String {
    let length = name.chars().count();
    if length <= longest {
        return name.to_owned();
    }
    let head: String = name.chars().take(longest / 2 - 1).collect();
    let tail: String = name
        .chars()
        .skip(length - (longest - longest / 2))
        .collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn network(edges: &[(&str, &str)]) -> Network {
        let names: BTreeSet<&str> = edges.iter().flat_map(|(a, b)| [*a, *b]).collect();
        Network {
            nodes: names
                .into_iter()
                .map(|name| Node {
                    name: name.to_owned(),
                    kind: NodeKind::Workload,
                    ingress: None,
                    egress: None,
                })
                .collect(),
            edges: edges
                .iter()
                .map(|(from, to)| Edge {
                    from: (*from).to_owned(),
                    to: (*to).to_owned(),
                    ports: vec!["80".to_owned()],
                    shown_by: String::new(),
                })
                .collect(),
            policies: Vec::new(),
        }
    }

    #[test]
    fn who_connects_stands_left_and_nothing_overlaps() {
        let edges = [
            ("a", "b"),
            ("b", "c"),
            ("c", "d"),
            ("a", "d"),
            ("e", "d"),
            ("d", "b"),
            ("a", "f"),
            ("f", "c"),
            ("g", "c"),
        ];
        let network = network(&edges);
        let layout = Layout::of(&network).unwrap();
        assert_eq!(layout.lines.len(), edges.len());
        for line in &layout.lines {
            let layers: Vec<usize> = line
                .spots
                .iter()
                .map(|at| layout.spots[*at].layer)
                .collect();
            assert_eq!(
                line.back,
                layers.last() <= layers.first(),
                "{:?}",
                line.edge
            );
        }
        assert_eq!(layout.lines.iter().filter(|line| line.back).count(), 1);
        for layer in &layout.layers {
            for pair in layer.windows(2) {
                let (a, b) = (&layout.spots[pair[0]], &layout.spots[pair[1]]);
                assert!(a.y + a.height() / 2 < b.y - b.height() / 2, "{a:?} {b:?}");
            }
        }
        // Whom nobody connects to stands near whom it connects to.
        let g = layout
            .spots
            .iter()
            .find(|s| s.node.is_some_and(|n| n.name == "g"))
            .unwrap();
        assert!(g.layer > 0);
    }

    #[test]
    fn drawings_of_any_size_and_shape_end() {
        assert!(drawing(&Network::default()).is_none());
        let loops = network(&[("a", "a"), ("b", "c"), ("c", "b")]);
        assert!(drawing(&loops).is_some());
        let names: Vec<String> = (0..400).map(|number| format!("n{number}")).collect();
        let chain: Vec<(&str, &str)> = names
            .windows(2)
            .map(|w| (w[0].as_str(), w[1].as_str()))
            .collect();
        let drawn = drawing(&network(&chain)).unwrap().into_string();
        assert!(drawn.len() < 1 << 20);
    }
}
