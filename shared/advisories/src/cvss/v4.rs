//! CVSS 4.0 (specification, section 8: "CVSS v4.0 Scoring").
//!
//! Vectors fall into 270 sets ("MacroVectors") by six properties; each set has the score experts gave to its highest vector,
//! and a vector loses in proportion to how far it lies from that highest one towards the next lower set.

use super::vector::Metrics;

/// Scores of the sets in tenths (specification, "CVSS v4.0 MacroVector lookup"; data by FIRST). A line has the levels of EQ1 to
/// EQ4, and then the scores for the levels of EQ5 and EQ6: 00, 01, 10, 11, 20, 21.
const SCORES: &str = "
    0000 100 99 98 95 95 92
    0001 100 96 93 87 91 81
    0002 93 90 89 80 81 68
    0010 98 95 95 92 90 84
    0011 93 92 89 81 81 65
    0012 88 80 78 70 69 48
    0020 - 92 - 82 - 72
    0021 - 79 - 69 - 50
    0022 - 69 - 55 - 27
    0100 99 97 95 92 92 85
    0101 95 91 90 83 84 71
    0102 92 81 82 71 72 53
    0110 95 93 92 85 85 73
    0111 92 82 80 72 70 59
    0112 84 70 71 52 50 30
    0120 - 86 - 75 - 52
    0121 - 71 - 52 - 29
    0122 - 63 - 29 - 17
    1000 98 95 94 87 91 81
    1001 94 89 86 74 77 64
    1002 87 75 74 63 63 49
    1010 94 89 88 77 76 67
    1011 86 76 74 58 59 50
    1012 72 57 57 52 52 25
    1020 - 83 - 70 - 54
    1021 - 65 - 58 - 26
    1022 - 53 - 21 - 13
    1100 95 90 88 76 76 70
    1101 90 77 75 62 61 53
    1102 77 66 68 59 52 30
    1110 89 78 76 67 62 58
    1111 74 59 57 57 47 23
    1112 61 52 57 29 24 16
    1120 - 71 - 59 - 30
    1121 - 58 - 26 - 15
    1122 - 23 - 13 - 6
    2000 93 87 86 72 75 58
    2001 86 74 74 61 56 34
    2002 70 54 52 40 40 22
    2010 85 75 74 55 62 51
    2011 72 57 55 41 46 19
    2012 53 36 34 19 19 8
    2020 - 64 - 51 - 20
    2021 - 47 - 21 - 11
    2022 - 24 - 9 - 4
    2100 88 75 73 53 60 50
    2101 73 55 59 40 41 20
    2102 54 43 45 22 20 11
    2110 75 55 58 45 40 21
    2111 61 51 48 18 20 9
    2112 46 18 17 7 8 2
    2120 - 53 - 24 - 14
    2121 - 24 - 12 - 5
    2122 - 10 - 3 - 1
";

/// A set: the levels of EQ1 to EQ6.
type Levels = [u8; 6];

pub(super) fn score(metrics: &Metrics<'_>) -> Result<f64, String> {
    let vector = Vector::read(metrics)?;
    if vector.has_no_impact() {
        return Ok(0.0);
    }
    let levels = vector.levels();
    let value = set_score(levels).ok_or("it falls into no set that has a score")?;
    let mut lost = Vec::new();
    for (neighbour, share) in vector.neighbours(levels) {
        if let Some(lower) = neighbour {
            lost.push((value - lower) * share);
        }
    }
    let mean = if lost.is_empty() {
        0.0
    } else {
        lost.iter().sum::<f64>() / lost.len() as f64
    };
    Ok((((value - mean).clamp(0.0, 10.0) + 1e-6) * 10.0).round() / 10.0)
}

/// The score of a set, if there is such a set.
fn set_score(levels: Levels) -> Option<f64> {
    let [eq1, eq2, eq3, eq4, eq5, eq6] = levels;
    let name = format!("{eq1}{eq2}{eq3}{eq4}");
    let line = SCORES
        .lines()
        .find_map(|line| line.trim().strip_prefix(&name))?;
    let column = usize::from(eq5) * 2 + usize::from(eq6);
    if eq6 > 1 {
        return None;
    }
    let tenths: f64 = line.split_whitespace().nth(column)?.parse().ok()?;
    Some(tenths / 10.0)
}

/// How far each metric's value lies from its worst, in steps of a tenth.
#[derive(Debug, Clone, Copy)]
struct Vector {
    av: u8,
    pr: u8,
    ui: u8,
    ac: u8,
    at: u8,
    vc: u8,
    vi: u8,
    va: u8,
    sc: u8,
    si: u8,
    sa: u8,
    cr: u8,
    ir: u8,
    ar: u8,
    exploit: u8,
}

impl Vector {
    fn read(metrics: &Metrics<'_>) -> Result<Self, String> {
        // The modified metric counts where it is given; the base metric must be there all the same.
        let step = |metric: &str, values: &[&str]| -> Result<u8, String> {
            let at = |value: &str, values: &[&str]| {
                values
                    .iter()
                    .position(|known| *known == value)
                    .and_then(|at| u8::try_from(at).ok())
                    .ok_or_else(|| format!("{value} is no value of {metric}"))
            };
            let base = metrics
                .get(metric)
                .ok_or_else(|| format!("it lacks {metric}"))?;
            let plain: Vec<&str> = values.iter().copied().filter(|v| *v != "S").collect();
            at(base, &plain)?;
            at(metrics.get(&format!("M{metric}")).unwrap_or(base), values)
        };
        let optional = |metric: &str, values: &[&str]| -> Result<u8, String> {
            match metrics.get(metric) {
                None => Ok(0),
                Some(value) => values
                    .iter()
                    .position(|known| *known == value)
                    .and_then(|at| u8::try_from(at).ok())
                    .ok_or_else(|| format!("{value} is no value of {metric}")),
            }
        };
        let impact = ["H", "L", "N"];
        let later = ["S", "H", "L", "N"];
        let required = ["H", "M", "L"];
        Ok(Self {
            av: step("AV", &["N", "A", "L", "P"])?,
            pr: step("PR", &["N", "L", "H"])?,
            ui: step("UI", &["N", "P", "A"])?,
            ac: step("AC", &["L", "H"])?,
            at: step("AT", &["N", "P"])?,
            vc: step("VC", &impact)?,
            vi: step("VI", &impact)?,
            va: step("VA", &impact)?,
            // Nothing is worse than high for the confidentiality of later systems, but it has the same scale as the others.
            sc: step("SC", &["H", "L", "N"])? + 1,
            si: step("SI", &later)?,
            sa: step("SA", &later)?,
            cr: optional("CR", &required)?,
            ir: optional("IR", &required)?,
            ar: optional("AR", &required)?,
            exploit: optional("E", &["A", "P", "U"])?,
        })
    }

    fn has_no_impact(&self) -> bool {
        [self.vc, self.vi, self.va] == [2; 3] && [self.sc, self.si, self.sa] == [3; 3]
    }

    /// Tables 24 to 29 of the specification.
    fn levels(&self) -> Levels {
        let eq1 = match (self.av, self.pr, self.ui) {
            (0, 0, 0) => 0,
            (av, pr, ui) if av != 3 && (av == 0 || pr == 0 || ui == 0) => 1,
            _ => 2,
        };
        let eq2 = u8::from((self.ac, self.at) != (0, 0));
        let eq3 = match (self.vc, self.vi, self.va) {
            (0, 0, _) => 0,
            (vc, vi, va) if vc == 0 || vi == 0 || va == 0 => 1,
            _ => 2,
        };
        let eq4 = if self.si == 0 || self.sa == 0 {
            0
        } else {
            1 + u8::from(self.sc != 1 && self.si != 1 && self.sa != 1)
        };
        let demanded = [(self.cr, self.vc), (self.ir, self.vi), (self.ar, self.va)];
        let eq6 = u8::from(!demanded.contains(&(0, 0)));
        [eq1, eq2, eq3, eq4, self.exploit, eq6]
    }

    /// For EQ1, EQ2, EQ3 with EQ6, EQ4 and EQ5: the score of the next lower set, and the share of the way to it
    /// that the vector has gone.
    fn neighbours(&self, levels: Levels) -> [(Option<f64>, f64); 5] {
        let [eq1, eq2, eq3, eq4, eq5, eq6] = levels;
        let three_and_six = match (eq3, eq6) {
            // Two sets are next; the specification takes the one with the higher score.
            (0, 0) => {
                let six = set_score([eq1, eq2, 0, eq4, eq5, 1]);
                let three = set_score([eq1, eq2, 1, eq4, eq5, 0]);
                six.into_iter().chain(three).reduce(f64::max)
            }
            (0, 1) => set_score([eq1, eq2, 1, eq4, eq5, 1]),
            (1, 0) => set_score([eq1, eq2, 1, eq4, eq5, 1]),
            (1, 1) => set_score([eq1, eq2, 2, eq4, eq5, 1]),
            _ => None,
        };
        // How many steps there are in a set (specification, "MacroVector depth").
        let depth =
            |steps: [f64; 3], level: u8| steps.get(usize::from(level)).copied().unwrap_or(1.0);
        let depth_three = match (eq3, eq6) {
            (0, 0) => 7.0,
            (0, _) => 6.0,
            (1, _) => 8.0,
            _ => 10.0,
        };
        [
            (
                set_score([eq1 + 1, eq2, eq3, eq4, eq5, eq6]),
                self.distance_one(eq1) / depth([1.0, 4.0, 5.0], eq1),
            ),
            (
                set_score([eq1, eq2 + 1, eq3, eq4, eq5, eq6]),
                self.distance_two(eq2) / depth([1.0, 2.0, 1.0], eq2),
            ),
            (three_and_six, self.distance_three(eq3, eq6) / depth_three),
            (
                set_score([eq1, eq2, eq3, eq4 + 1, eq5, eq6]),
                self.distance_four(eq4) / depth([6.0, 5.0, 4.0], eq4),
            ),
            // One metric alone makes EQ5: nothing lies between its sets.
            (set_score([eq1, eq2, eq3, eq4, eq5 + 1, eq6]), 0.0),
        ]
    }

    fn distance_one(&self, level: u8) -> f64 {
        let highest: &[&[u8]] = match level {
            0 => &[&[0, 0, 0]],
            1 => &[&[1, 0, 0], &[0, 1, 0], &[0, 0, 1]],
            _ => &[&[3, 0, 0], &[1, 1, 1]],
        };
        distance(&[self.av, self.pr, self.ui], highest)
    }

    fn distance_two(&self, level: u8) -> f64 {
        let highest: &[&[u8]] = match level {
            0 => &[&[0, 0]],
            _ => &[&[1, 0], &[0, 1]],
        };
        distance(&[self.ac, self.at], highest)
    }

    fn distance_three(&self, eq3: u8, eq6: u8) -> f64 {
        // VC, VI, VA, CR, IR, AR
        let highest: &[&[u8]] = match (eq3, eq6) {
            (0, 0) => &[&[0, 0, 0, 0, 0, 0]],
            (0, _) => &[&[0, 0, 1, 1, 1, 0], &[0, 0, 0, 1, 1, 1]],
            (1, 0) => &[&[1, 0, 0, 0, 0, 0], &[0, 1, 0, 0, 0, 0]],
            (1, _) => &[
                &[1, 0, 1, 0, 1, 0],
                &[1, 0, 0, 0, 1, 1],
                &[0, 1, 0, 1, 0, 1],
                &[0, 1, 1, 1, 0, 0],
                &[1, 1, 0, 0, 0, 1],
            ],
            _ => &[&[1, 1, 1, 0, 0, 0]],
        };
        let own = [self.vc, self.vi, self.va, self.cr, self.ir, self.ar];
        distance(&own, highest)
    }

    fn distance_four(&self, level: u8) -> f64 {
        // SC, SI, SA
        let highest: &[&[u8]] = match level {
            0 => &[&[1, 0, 0]],
            1 => &[&[1, 1, 1]],
            _ => &[&[2, 2, 2]],
        };
        distance(&[self.sc, self.si, self.sa], highest)
    }
}

/// Steps from the first of a set's highest vectors that is nowhere below a vector.
fn distance(own: &[u8], highest: &[&[u8]]) -> f64 {
    highest
        .iter()
        .find(|highest| own.iter().zip(**highest).all(|(own, high)| own >= high))
        .map_or(0.0, |highest| {
            own.iter()
                .zip(*highest)
                .map(|(own, high)| f64::from(own.saturating_sub(*high)))
                .sum()
        })
}
