//! Runs that follow each other by themselves: a loop in the making.

use super::fact::Cause;
use super::gaps::Gaps;
use super::report::{Ended, Loop, Signature};
use super::stamp::{HOUR, Moment, SECOND};

/// When something happened.
#[derive(Clone, Debug, Default)]
pub(super) struct When {
    /// On the axis of the input, if there are stamps.
    pub at: Option<i64>,
    /// What the stamp says, whatever was done to the clock.
    pub read: i64,
    /// As it is reported.
    pub moment: Option<Moment>,
    /// Whether stamps end at the second.
    pub whole: bool,
}

/// How often each cause was seen.
#[derive(Clone, Debug, Default)]
struct Tally(Vec<(Option<Cause>, u64, u64)>);

impl Tally {
    fn count(&mut self, cause: Option<Cause>, now: u64) {
        if let Some((_, count, last)) = self.0.iter_mut().find(|(known, ..)| *known == cause) {
            (*count, *last) = (*count + 1, now);
        } else if self.0.len() < 16 {
            // More than these are no reason but noise.
            self.0.push((cause, 1, now));
        }
    }

    /// Forgets the last that was counted.
    fn take_back(&mut self) {
        if let Some((_, count, _)) = self.0.iter_mut().max_by_key(|(.., last)| *last) {
            *count -= 1;
        }
        self.0.retain(|(_, count, _)| *count > 0);
    }

    fn most(&self) -> Option<Cause> {
        self.0.iter().max_by_key(|(_, count, last)| (*count, *last)).and_then(|(cause, ..)| cause.clone())
    }
}

/// Successive runs of a subject.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub starts: u64,
    /// Starts that nobody asked for.
    pub autos: u64,
    /// Runs that are seen to fail.
    pub failed: u64,
    first: When,
    last: When,
    pub gaps: Gaps,
    causes: Tally,
    binds: Tally,
    /// Runs with a bind error.
    pub bound: u64,
    /// The longest of the runs that ended.
    pub longest: i64,
    /// Whether a manager's words for a restart are among the evidence.
    pub counters: bool,
    /// Runs that said that they serve.
    pub served: u64,
    /// The last that was heard of it.
    pub heard: Option<i64>,
    /// Its place in the input, for the order of the report.
    pub order: u64,
}

/// What of the rules can be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub min_restarts: u64,
    pub hold: i64,
}

impl Chain {
    /// Counts a start; `auto` if nobody asked for it.
    pub(super) fn start(&mut self, when: &When, auto: bool, room: &mut usize) {
        if self.starts == 0 {
            self.first = when.clone();
        } else if let (Some(last), Some(at)) = (self.last.at, when.at) {
            let mut gap = when.read.saturating_sub(self.last.read);
            if self.is_a_jump(gap) {
                gap %= HOUR;
            }
            // What was done to the clock makes no gap the shortest or the longest.
            let set = gap < 0 || (gap % HOUR - (at - last) % HOUR).abs() > SECOND;
            self.gaps.push(gap, set, room);
        }
        self.starts += 1;
        self.autos += u64::from(auto);
        self.last = when.clone();
        self.heard = when.at.or(self.heard);
    }

    /// Whether a time is less than a period beyond whole hours: summer time, within a loop.
    pub(super) fn is_a_jump(&self, time: i64) -> bool {
        let Some(median) = self.gaps.usual().filter(|_| self.starts >= 3) else { return false };
        let median = i64::try_from(median).unwrap_or(i64::MAX);
        median < HOUR / 4 && (HOUR..3 * HOUR).contains(&time) && time % HOUR <= median / 4 * 5 + 2 * SECOND
    }

    /// Counts how a run ended.
    pub(super) fn end(&mut self, cause: Option<Cause>, length: Option<i64>, failed: bool) {
        self.causes.count(cause, self.starts);
        self.failed += u64::from(failed);
        self.longest = self.longest.max(length.unwrap_or(0));
    }

    /// Counts a run that could not bind.
    pub(super) fn bind(&mut self, port: Option<u16>) {
        self.bound += 1;
        self.binds.count(Some(Cause::PortInUse { port }), self.starts);
    }

    /// Takes back a bind error.
    pub(super) fn unbind(&mut self) {
        self.bound = self.bound.saturating_sub(1);
        self.binds.take_back();
    }

    pub(super) fn last_at(&self) -> Option<i64> {
        self.last.at
    }

    pub(super) fn first_at(&self) -> Option<i64> {
        self.first.at
    }

    /// The longer of the usual and the last gap.
    pub(super) fn period(&self) -> Option<i64> {
        i64::try_from(self.gaps.usual()?.max(self.gaps.last())).ok()
    }

    /// Whether there are enough restarts.
    pub(super) fn is_loop(&self, rules: Rules, limited: bool) -> bool {
        self.autos >= rules.min_restarts || (limited && self.autos >= 1)
    }

    pub(super) fn port(&self) -> Option<Option<u16>> {
        match self.binds.most() {
            Some(Cause::PortInUse { port }) => Some(port),
            _ => None,
        }
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        self.binds.most().or_else(|| self.causes.most())
    }

    /// What is reported of it.
    pub(super) fn report(&self, subject: &str, signature: Signature, ended: Ended) -> Loop {
        let slack = if self.first.whole { SECOND as u64 } else { 0 };
        let growing = self.gaps.are_growing(slack);
        let shown = |when: &When| when.moment.as_ref().map(ToString::to_string);
        Loop {
            subject: subject.to_owned(),
            signature,
            starts: self.starts,
            first: shown(&self.first),
            last: shown(&self.last),
            period_us: self.gaps.period(),
            periodic: !growing && self.gaps.are_steady(slack, 90),
            cause: self.cause(),
            ended,
            growing,
        }
    }

    /// Whether a calendar starts it, not its own end.
    pub(super) fn is_of_a_calendar(&self) -> bool {
        self.first.at.is_some() && self.gaps.are_of_a_calendar(self.first.read)
    }

    pub(super) fn slack(&self) -> u64 {
        if self.first.whole { SECOND as u64 } else { 0 }
    }
}
