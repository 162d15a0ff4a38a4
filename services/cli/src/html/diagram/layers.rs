//! Which layer each node stands in.

use std::collections::BTreeSet;

use quench_rules::hardening::overview::Edge;

/// Connections that lead back to where one came from: without them there are no circles.
pub(super) fn back_edges(count: usize, ends: &[(usize, usize, &Edge)]) -> BTreeSet<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let called: BTreeSet<usize> = ends.iter().map(|(_, to, _)| *to).collect();
    let mut starts: Vec<usize> = (0..count).filter(|node| !called.contains(node)).collect();
    starts.extend(0..count);
    let mut marks = vec![Mark::New; count];
    let mut back = BTreeSet::new();
    for start in starts {
        if marks.get(start) != Some(&Mark::New) {
            continue;
        }
        // A walk in depth without recursion: node, and the number of the next connection to look at.
        let mut walk = vec![(start, 0)];
        while let Some((node, next)) = walk.pop() {
            if let Some(mark) = marks.get_mut(node) {
                *mark = Mark::Open;
            }
            let found = ends
                .iter()
                .enumerate()
                .skip(next)
                .find(|(_, (from, _, _))| *from == node);
            let Some((index, (_, to, _))) = found else {
                if let Some(mark) = marks.get_mut(node) {
                    *mark = Mark::Done;
                }
                continue;
            };
            walk.push((node, index + 1));
            match marks.get(*to) {
                Some(Mark::New) => walk.push((*to, 0)),
                Some(Mark::Open) => {
                    back.insert(index);
                }
                _ => {}
            }
        }
    }
    back
}

/// The layer of each node: behind all that connect to it; those that nobody connects to stand right before whom
/// they connect to.
pub(super) fn layers_of(
    count: usize,
    ends: &[(usize, usize, &Edge)],
    back: &BTreeSet<usize>,
) -> Vec<usize> {
    let mut layers = vec![0_usize; count];
    let forward: Vec<(usize, usize)> = ends
        .iter()
        .enumerate()
        .filter(|(index, _)| !back.contains(index))
        .map(|(_, (from, to, _))| (*from, *to))
        .collect();
    let layer = |layers: &[usize], node: usize| layers.get(node).copied().unwrap_or_default();
    for _ in 0..count {
        let mut moved = false;
        for (from, to) in &forward {
            let behind = layer(&layers, *from) + 1;
            if let Some(place) = layers.get_mut(*to)
                && *place < behind
            {
                *place = behind;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let called: BTreeSet<usize> = forward.iter().map(|(_, to)| *to).collect();
    for node in (0..count).filter(|node| !called.contains(node)) {
        let nearest = forward
            .iter()
            .filter(|(from, _)| *from == node)
            .map(|(_, to)| layer(&layers, *to))
            .min();
        if let (Some(nearest), Some(place)) = (nearest, layers.get_mut(node)) {
            *place = nearest.saturating_sub(1);
        }
    }
    layers
}
