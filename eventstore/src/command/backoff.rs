//! The pause after a lost race.

use std::time::Duration;

/// The pause after the first lost race. It doubles up to the longest pause; half of it is random.
const FIRST_PAUSE_MS: u64 = 2;

const LONGEST_PAUSE_MS: u64 = 200;

/// Doubles with each lost race. Half of it is random, so that writers who lost together part.
pub(crate) fn pause(doublings: u32) -> Duration {
    let longest =
        FIRST_PAUSE_MS.saturating_mul(2_u64.saturating_pow(doublings)).min(LONGEST_PAUSE_MS);
    Duration::from_millis(longest / 2 + fastrand::u64(0..=longest / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_half_is_chance() {
        for (doublings, longest) in [(0, 2), (1, 4), (5, 64), (7, 200), (u32::MAX, 200)] {
            let pauses: Vec<_> = (0..200).map(|_| pause(doublings)).collect();
            let bounds = Duration::from_millis(longest / 2)..=Duration::from_millis(longest);
            assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{doublings}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{doublings}: no chance in it");
        }
    }
}
