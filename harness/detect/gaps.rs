//! The gaps between the starts of a loop: exact up to a bound, then one in two, one in four, …

use serde::Serialize;

/// So many gaps of one loop are kept.
const MOST: usize = 65_536;

/// Gaps in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    kept: Vec<i64>,
    /// One in so many is kept, by its power of two.
    thinned: u32,
    seen: u64,
    min: Option<u64>,
    max: u64,
    /// The one in the middle, as of when they were `usual_of` many.
    usual: i64,
    usual_of: u64,
}

/// Smallest, middle and largest gap of a loop, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    /// The smallest.
    pub min: u64,
    /// The one in the middle; between two of them, halfway.
    pub median: u64,
    /// The largest.
    pub max: u64,
}

impl Gaps {
    /// Takes a gap, in which the clock may have been `set`; `room` says how many more may be kept in all loops together.
    pub(super) fn push(&mut self, gap: i64, set: bool, room: &mut usize) {
        let length = u64::try_from(gap).ok().filter(|_| !set);
        if let Some(length) = length {
            self.min = Some(self.min.map_or(length, |min| min.min(length)));
            self.max = self.max.max(length);
        }
        if self.seen.trailing_zeros() >= self.thinned || self.seen == 0 {
            if self.kept.len() >= MOST || (*room == 0 && self.kept.len() >= 16) {
                let mut index = 0;
                let before = self.kept.len();
                self.kept.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                *room += before - self.kept.len();
                self.thinned += 1;
            }
            if self.seen == 0 || self.seen.trailing_zeros() >= self.thinned {
                self.kept.push(gap);
                *room = room.saturating_sub(1);
            }
        }
        self.seen += 1;
        // To sort them at every start would take time with the square of their number.
        if self.seen > self.usual_of + self.usual_of / 16 {
            let mut sorted = self.kept.clone();
            let middle = (sorted.len().max(1) - 1) / 2;
            self.usual = if sorted.is_empty() { 0 } else { *sorted.select_nth_unstable(middle).1 };
            self.usual_of = self.seen;
        }
    }

    /// Nearly the median, at once; `None` if there are no gaps.
    pub(super) fn usual(&self) -> Option<u64> {
        (self.seen > 0).then(|| u64::try_from(self.usual).unwrap_or(0))
    }

    /// Gives back what it took of the room.
    pub(super) fn release(&self, room: &mut usize) {
        *room += self.kept.len();
    }

    pub(super) fn last(&self) -> u64 {
        self.kept.last().map_or(0, |gap| (*gap).max(0).unsigned_abs()).min(self.max)
    }

    pub(super) fn period(&self) -> Option<Period> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
        let median = lower + (sorted[sorted.len() / 2] - lower) / 2;
        let median = u64::try_from(median).unwrap_or(0);
        Some(Period { min: self.min.unwrap_or(median), median, max: self.max.max(median) })
    }

    /// At least three, so many in a hundred of them near the median; `slack` is what whole seconds hide.
    pub(super) fn are_steady(&self, slack: u64, percent: usize) -> bool {
        let Some(period) = self.period() else { return false };
        let near = |gap: &&i64| {
            u64::try_from(**gap).is_ok_and(|gap| gap.abs_diff(period.median) <= (period.median / 4).max(slack))
        };
        self.kept.len() >= 3 && self.kept.iter().filter(near).count() * 100 >= self.kept.len() * percent
    }

    /// Each as long as the one before, and the last twice the first.
    pub(super) fn are_growing(&self, slack: u64) -> bool {
        self.kept.len() >= 3 && grow(&self.kept, i64::try_from(slack).unwrap_or(0))
    }

    /// At least half of them are in steady stretches, or in a long one that grows: what waits between runs was changed on
    /// the way, or the loop was left and entered. `slack` is what whole seconds hide.
    pub(super) fn have_stretches(&self, slack: u64) -> bool {
        /// Three that are alike by chance are rarer than three of which each is longer by chance.
        const ALIKE: usize = 3;
        const GROWING: usize = 5;
        let slack = i64::try_from(slack).unwrap_or(0);
        let mut within = vec![false; self.kept.len()];
        for begin in 0..(self.kept.len() + 1).saturating_sub(ALIKE) {
            let window = &self.kept[begin..begin + ALIKE];
            let (least, most) =
                window.iter().fold((i64::MAX, 0), |(least, most), gap| (least.min(*gap), most.max(*gap)));
            if least >= 0 && most - least <= (least / 8).max(slack) {
                within[begin..begin + ALIKE].fill(true);
            }
        }
        let mut begin = 0;
        for end in 1..=self.kept.len() {
            let goes_on =
                self.kept.get(end).is_some_and(|gap| *gap + jitter(self.kept[end - 1], slack) >= self.kept[end - 1]);
            if !goes_on {
                if end - begin >= GROWING && grow(&self.kept[begin..end], slack) {
                    within[begin..end].fill(true);
                }
                begin = end;
            }
        }
        let inside = within.iter().filter(|inside| **inside).count();
        inside > 0 && inside * 2 >= self.kept.len()
    }

    /// Whether a calendar sets the starts, of which the first was at `first`: whole minutes between them, at the same second
    /// each time. What waits after an end drifts.
    pub(super) fn are_of_a_calendar(&self, first: i64) -> bool {
        const MINUTE: i64 = 60_000_000;
        let (mut at, mut least, mut most, mut on_the_minute) = (first, 0, 0, true);
        for gap in &self.kept {
            at = at.saturating_add(*gap);
            let off = (at.saturating_sub(first) + MINUTE / 2).rem_euclid(MINUTE) - MINUTE / 2;
            (least, most) = (off.min(least), off.max(most));
            on_the_minute &= at.rem_euclid(MINUTE) < 5_000_000 && first.rem_euclid(MINUTE) < 5_000_000;
        }
        let long = self.kept.iter().all(|gap| *gap >= MINUTE - 3_000_000);
        !self.kept.is_empty() && long && (on_the_minute || most - least <= 1_000_000)
    }
}

/// How much shorter a gap may be than the one before and still be as long.
fn jitter(gap: i64, slack: i64) -> i64 {
    (gap / 20).max(slack)
}

fn grow(gaps: &[i64], slack: i64) -> bool {
    let (Some(first), Some(last)) = (gaps.first(), gaps.last()) else { return false };
    let holds = |pair: &[i64]| pair[1] + jitter(pair[0], slack) >= pair[0];
    // One step is no growth.
    let steps = gaps.windows(2).filter(|pair| pair[1] > pair[0] + jitter(pair[0], slack)).count();
    *last >= first.saturating_mul(2) && steps >= 2 && gaps.windows(2).all(holds)
}
