//! How long to wait before a job is delivered again.

use std::time::Duration;

use quench_model::Digest;

/// Longest wait. The `duplicate_window` of the streams must be longer.
const LONGEST: Duration = Duration::from_secs(300);

/// The delay to ask for after delivery number `delivery` of the message `id`: a second doubling up to five minutes, at least
/// `least`, spread by a quarter to either side so that what failed together does not come back together. The
/// spread is drawn from message and delivery, so it needs no random source.
pub(crate) fn delay(least: Duration, delivery: u32, id: &str) -> Duration {
    let doubling = Duration::from_secs(1 << delivery.saturating_sub(1).min(9));
    let base = doubling.clamp(least.min(LONGEST), LONGEST);
    let digest = Digest::of(format!("{id}/{delivery}"));
    let draw = digest
        .as_bytes()
        .first_chunk()
        .map_or(0, |bytes| u16::from_be_bytes(*bytes));
    let spread = 0.75 + 0.5 * f64::from(draw) / f64::from(u16::MAX);
    base.mul_f64(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_stay_bounded_and_spread() {
        let secs = |delivery, id: &str| delay(Duration::ZERO, delivery, id).as_secs_f64();
        for delivery in 1..100 {
            for id in ["a", "b", "c"] {
                let middle = f64::from(1 << (delivery - 1).min(9)).min(300.0);
                let wait = secs(delivery, id);
                assert!(
                    (0.75 * middle..=1.25 * middle).contains(&wait),
                    "{delivery} {wait}"
                );
            }
        }
        assert_ne!(secs(5, "a"), secs(5, "b"));
        assert!(delay(Duration::from_secs(60), 1, "a") >= Duration::from_secs(45));
        assert!(delay(Duration::from_secs(9000), 1, "a") <= Duration::from_secs(375));
    }
}
