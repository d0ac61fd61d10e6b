//! The chains that runs make: which are loops, and how they end.

use super::super::chain::{Chain, Rules};
use super::super::report::{Ended, Signature};
use super::super::stamp::SECOND;
use super::{Around, Kind, Over, Run, Subject};

/// A run shorter than this does not hold, however short the others are.
const LEAST_HOLD: i64 = 60 * SECOND;
/// So many loops of one subject are kept.
const LOOPS: usize = 64;

impl Subject {
    /// Counts a run that is over, because the next begins or the manager gives up.
    pub(super) fn commit(&mut self, until: Option<i64>, goes_on: bool, around: &mut Around<'_>) {
        let Some(run) = self.run.take() else { return };
        let end = run.ended.flatten().or(until.filter(|_| run.ended.is_none()));
        let length = end.zip(run.when.at).map(|(end, at)| end - at);
        if run.tentative {
            if !goes_on && !run.failed {
                return; // Nothing tells how it ended.
            }
            self.suspended = false;
        }
        self.count(&run, around);
        let long = length.is_some_and(|length| length >= around.rules.hold && !self.chain.is_a_jump(length));
        if long {
            self.close(Ended::Recovered, false, around);
        }
    }

    pub(super) fn count(&mut self, run: &Run, around: &mut Around<'_>) {
        self.chain.start(&run.when, run.auto, around.room);
        if let Some(port) = run.bind {
            self.chain.bind(port);
            if let Some(port) = port.filter(|port| self.ports.len() < 4 && !self.ports.contains(port)) {
                self.ports.push(port);
            }
        }
        if let Some(end) = run.ended {
            let length = end.zip(run.when.at).map(|(end, at)| end - at).filter(|length| *length < around.rules.hold);
            self.chain.end(run.cause.clone(), length, run.failed);
        }
        self.chain.served += u64::from(run.serves);
    }

    /// Whether the run that is open has shown that it holds.
    pub(super) fn holds(&self, now: Option<i64>) -> bool {
        let Some(run) = self.run.as_ref().filter(|run| run.ended.is_none()) else { return false };
        let longest = match self.chain.longest {
            0 => self.chain.period().unwrap_or(0),
            longest => longest,
        };
        let length = now.zip(run.when.at).map(|(now, at)| now - at);
        let long = length
            .is_some_and(|length| length >= LEAST_HOLD.max(longest.saturating_mul(3)) && !self.chain.is_a_jump(length));
        long || (run.serves && self.chain.served * 2 < self.chain.starts && run.bind.is_none())
    }

    /// How the chain ends if nothing comes after `now`.
    pub(super) fn ended(&self, now: Option<i64>) -> Ended {
        if self.holds(now) {
            return Ended::Recovered;
        }
        if self.suspended {
            return Ended::Unknown;
        }
        let (Some(now), Some(heard)) = (now, self.chain.heard) else { return Ended::Ongoing };
        match self.chain.period() {
            Some(period) if now - heard > period.saturating_mul(2) => Ended::Unknown,
            _ => Ended::Ongoing,
        }
    }

    fn signature(&self, chain: &Chain) -> Signature {
        match self.kind {
            Kind::Managed if chain.counters => Signature::RestartCounter,
            Kind::Managed => Signature::MainPid,
            _ if chain.bound * 2 >= chain.starts => Signature::PortConflict,
            _ => Signature::Banner,
        }
    }

    pub(super) fn is_loop(&self, chain: &Chain, rules: Rules, limited: bool) -> bool {
        if !chain.is_loop(rules, limited) || (self.workers && !self.masters) {
            return false;
        }
        let (gaps, slack) = (&chain.gaps, chain.slack());
        let steady = || gaps.are_steady(slack, 75) || gaps.are_growing(slack) || gaps.have_stretches(slack);
        match self.kind {
            Kind::Managed if chain.counters => true,
            // Something else restarts it, or starts it anew each time.
            Kind::Managed => chain.failed > rules.min_restarts && !self.triggered && !chain.is_of_a_calendar(),
            Kind::Program => !chain.is_of_a_calendar(),
            Kind::Banner { given: true } => true,
            // Start and end in pairs, or PIDs, need no clock.
            Kind::Banner { given: false } => {
                let shown = chain.bound * 2 >= chain.starts || (chain.first_at().is_none() && self.has_pids);
                (shown || steady()) && !chain.is_of_a_calendar()
            }
        }
    }

    /// Ends the chain: it is a loop that is over, or forgotten.
    pub(super) fn close(&mut self, ended: Ended, limited: bool, around: &mut Around<'_>) {
        let chain = std::mem::take(&mut self.chain);
        self.suspended = false;
        chain.gaps.release(around.room);
        if !self.is_loop(&chain, around.rules, limited) {
            return;
        }
        if self.over.len() >= LOOPS {
            self.more += 1;
            return;
        }
        // A chain that something else broke off does not go on.
        let ended = if ended == Ended::Ongoing { Ended::Unknown } else { ended };
        let found = chain.report(&self.name, self.signature(&chain), ended);
        self.over.push(Over { found, chain });
    }

    /// The input has ended: all loops of the subject.
    pub(in crate::detect) fn finish(&mut self, now: Option<i64>, around: &mut Around<'_>) -> Vec<Over> {
        if let Some((when, told)) = self.pending.take()
            && !self.has_starts
        {
            self.pending = Some((when.clone(), told));
            self.begins(&when, false, None, around);
        }
        let failed_again = self.run.as_ref().is_some_and(|run| run.tentative && run.failed);
        if failed_again {
            self.suspended = false;
        }
        if self.pending.is_none()
            && let Some(when) = self.stop.take()
        {
            self.asked_for(&when, around);
        }
        let ended = self.ended(now);
        match self.run.take() {
            Some(run) if run.tentative && !failed_again => {}
            Some(run) => self.count(&run, around),
            None => {}
        }
        let chain = std::mem::take(&mut self.chain);
        if self.is_loop(&chain, around.rules, false) {
            let found = chain.report(&self.name, self.signature(&chain), ended);
            self.over.push(Over { found, chain });
        }
        std::mem::take(&mut self.over)
    }
}
