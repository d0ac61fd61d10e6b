//! Rate limits: the start limit of every unit, the trigger and poll limits of sockets.

use crate::time::{IncidentTime, Span};

/// A fixed window that the first event opens (`start_limit.json`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    begin: Option<IncidentTime>,
    count: u32,
}

impl RateLimit {
    /// Counts an event at `now`; `false` if the window already holds `burst` of them.
    ///
    /// A refusal neither counts nor moves the window; the window is over when *more* than `interval` has passed.
    pub fn allow(&mut self, now: IncidentTime, interval: Span, burst: u32) -> bool {
        if interval.is_zero() || burst == 0 {
            return true;
        }
        match self.begin {
            Some(begin) if now.since(begin) <= interval => {
                if self.count >= burst {
                    return false;
                }
                self.count += 1;
            }
            _ => {
                self.begin = Some(now);
                self.count = 1;
            }
        }
        true
    }

    /// When the window that is full at `now` ends; `None` if it is not full.
    pub fn full_until(&self, now: IncidentTime, interval: Span, burst: u32) -> Option<IncidentTime> {
        let begin = self.begin.filter(|begin| now.since(*begin) <= interval)?;
        (!interval.is_zero() && burst > 0 && self.count >= burst).then(|| begin + interval)
    }

    /// Forgets the window.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}
