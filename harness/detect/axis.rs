//! The time that goes on through the input, whatever is done to the clock.

use super::chain::When;
use super::clock::Clock;
use super::stamp::{HOUR, SECOND, Stamp};

/// A clock that goes back by less has not been set: lines are slightly out of order.
const DISORDER: i64 = 60 * SECOND;

/// Places lines in time.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    clock: Clock,
    /// The latest so far.
    pub now: Option<i64>,
    /// What is added to a stamp since the clock was set, and what was before that.
    offset: i64,
    offset_before: Option<i64>,
    /// What is added since summer time has ended.
    summer: i64,
    /// A line has said that the clock is set.
    pub set: bool,
    /// The last stamp, for lines without one.
    last: When,
}

impl Axis {
    /// `year` is that of the first stamp without one.
    pub(super) fn new(year: Option<i64>) -> Self {
        let clock = Clock::new(year);
        Self { clock, now: None, offset: 0, offset_before: None, summer: 0, set: false, last: When::default() }
    }

    /// When a line is written: none of its own is that of the line before.
    pub(super) fn when(&mut self, stamp: Option<&Stamp<'_>>) -> When {
        let Some(stamp) = stamp else {
            return self.last.clone();
        };
        let read = self.clock.place(stamp).saturating_add(self.summer);
        let (at, read) = self.steady(read);
        self.now = self.now.max(Some(at));
        let when = When { at: Some(at), read, moment: Some(stamp.moment()), whole: stamp.whole };
        self.last = when.clone();
        when
    }

    /// A stamp on an axis that goes on when the clock is set.
    fn steady(&mut self, read: i64) -> (i64, i64) {
        let at = read.saturating_add(self.offset);
        let Some(now) = self.now else { return (at, read) };
        if let Some(before) = self.offset_before {
            // A stray line had another clock: back to the one before.
            let old = read.saturating_add(before);
            if (old - now).abs() < (at - now).abs() && (old - now).abs() < DISORDER {
                self.offset_before = Some(self.offset);
                self.offset = before;
                return (old, read);
            }
        }
        let told = std::mem::take(&mut self.set) && (at - now).abs() > DISORDER;
        let back = now.saturating_sub(at);
        if !told && (HOUR - 10 * DISORDER..HOUR).contains(&back) {
            // The end of summer time: an hour comes twice.
            self.summer += HOUR;
            return (at + HOUR, read + HOUR);
        }
        if told || back > DISORDER {
            self.offset_before = Some(self.offset);
            self.offset = now.saturating_sub(read);
            return (now, read);
        }
        (at, read)
    }
}
