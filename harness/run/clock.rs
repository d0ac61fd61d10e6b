//! The clocks of a run: incident time that moves in lock-step, or with the wall.

use std::time::{Duration, Instant};

use crate::time::{IncidentTime, Span};

/// Which clock a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockKind {
    /// Lock-step: time jumps to the next deadline when nobody is runnable.
    #[default]
    Virtual,
    /// Wall clock, N times as fast.
    Scaled(u32),
    /// Wall clock.
    Real,
}

impl std::str::FromStr for ClockKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "virtual" => Ok(ClockKind::Virtual),
            "real" => Ok(ClockKind::Real),
            _ => match text.strip_prefix("scaled:").map(str::parse::<u32>) {
                Some(Ok(factor)) if (1..=10_000).contains(&factor) => Ok(ClockKind::Scaled(factor)),
                Some(_) => Err(format!("`{text}`: N of scaled:N is a whole number from 1 to 10000")),
                None => Err(format!("`{text}` is no clock, expected virtual, real or scaled:N")),
            },
        }
    }
}

impl std::fmt::Display for ClockKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClockKind::Virtual => f.write_str("virtual"),
            ClockKind::Scaled(factor) => write!(f, "scaled:{factor}"),
            ClockKind::Real => f.write_str("real"),
        }
    }
}

/// A running clock.
#[derive(Debug)]
pub(super) struct Clock {
    kind: ClockKind,
    now: IncidentTime,
    begin: (IncidentTime, Instant),
    latest: Span,
}

impl Clock {
    pub(super) fn new(kind: ClockKind, start: IncidentTime) -> Self {
        Self { kind, now: start, begin: (start, Instant::now()), latest: Span::ZERO }
    }

    pub(super) fn is_virtual(&self) -> bool {
        self.kind == ClockKind::Virtual
    }

    /// Incident microseconds per real microsecond, times 1000; `None` in lock-step.
    pub(super) fn wall_scale(&self) -> Option<u64> {
        self.factor().map(|factor| factor * 1000)
    }

    fn factor(&self) -> Option<u64> {
        match self.kind {
            ClockKind::Virtual => None,
            ClockKind::Scaled(factor) => Some(u64::from(factor)),
            ClockKind::Real => Some(1),
        }
    }

    /// The incident time. A wall clock is read; lock-step time stands still.
    pub(super) fn now(&mut self) -> IncidentTime {
        if let Some(factor) = self.factor() {
            let passed = u64::try_from(self.begin.1.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.now = self.begin.0 + Span::from_micros(passed.saturating_mul(factor));
        }
        self.now
    }

    /// Lock-step: jumps. Wall clock: notes how late the deadline is met.
    pub(super) fn reach(&mut self, deadline: IncidentTime) {
        if self.is_virtual() {
            self.now = self.now.max(deadline);
        } else {
            let late = self.now().since(deadline);
            self.latest = self.latest.max(late);
        }
    }

    /// Real time until the deadline; `None` in lock-step, where nothing is waited for.
    pub(super) fn until(&mut self, deadline: IncidentTime) -> Option<Duration> {
        let factor = self.factor()?;
        let left = deadline.since(self.now()).as_micros().div_ceil(factor);
        Some(Duration::from_micros(left))
    }

    /// Whether a wall clock was later than systemd itself may be (its timers have an accuracy of 250 ms): then what
    /// was not seen may just not have come in time.
    pub(super) fn is_late(&self) -> bool {
        !self.is_virtual() && self.latest > Span::from_millis(250)
    }
}
