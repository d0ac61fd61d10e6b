//! How many commands may start at one moment of the incident.
//!
//! On a real machine `until systemctl is-active x; do :; done` lets time pass, because every `systemctl` takes some.
//! In lock-step none does, and the clock would stand still for ever. So commands are free as long as they are few, which
//! keeps `sleep 1` a second; who starts more of them without a pause gets what a small real machine manages, two hundred a
//! second.

use crate::time::{IncidentTime, Span};

/// What a command costs.
const COST: Span = Span::from_millis(5);
/// How much may be owed: the commands that are free at one moment.
const CREDIT: Span = Span::from_secs(2);

/// What the commands of a run owe the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    owed: Span,
    counted: IncidentTime,
}

impl Pace {
    pub(super) fn new(now: IncidentTime) -> Self {
        Self { owed: Span::ZERO, counted: now }
    }

    /// The moment from which on the next command may start; it may be over.
    pub(super) fn next(&self) -> IncidentTime {
        self.counted + (self.owed + COST).saturating_sub(CREDIT)
    }

    /// Counts a command that starts.
    pub(super) fn count(&mut self, now: IncidentTime) {
        self.owed = self.owed.saturating_sub(now.since(self.counted)) + COST;
        self.counted = now;
    }
}
