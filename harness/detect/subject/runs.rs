//! How runs begin and end.

use super::super::chain::When;
use super::super::fact::Cause;
use super::super::report::Ended;
use super::super::stamp::SECOND;
use super::{Around, Kind, Run, Subject};

/// Without a manager's word a start follows its run's end within this time, or nobody restarts it.
const SHORT: i64 = 120 * SECOND;

impl Subject {
    pub(super) fn begins(&mut self, when: &When, starting: bool, pid: Option<u32>, around: &mut Around<'_>) {
        if let Some(run) = self.run.as_mut() {
            if run.starting && run.ended.is_none() && !starting {
                // The same run, further on: it is counted from where its program starts.
                run.when = when.clone();
                run.starting = false;
                self.has_starts = true;
                return;
            }
            if self.kind != Kind::Managed && pid.is_some() && run.pid == pid && run.ended.is_none() {
                return;
            }
        }
        if self.pending.is_none() && self.stop.take().is_some() {
            self.asked_for(when, around);
        }
        let pending = self.pending.take();
        let follows = self.follows(when, pid);
        let auto = pending.is_some() || follows;
        self.commit(when.at, auto, around);
        let first_of_all = !std::mem::replace(&mut self.known, true);
        self.has_starts |= !starting;
        if self.suspended {
            let gap = when.at.zip(self.chain.last_at()).map(|(at, last)| at - last);
            if gap.is_some_and(|gap| gap >= around.rules.hold) {
                self.close(Ended::Unknown, false, around);
            }
        } else if !auto && self.chain.starts > 0 {
            let ended = self.ended(when.at);
            self.close(ended, false, around);
        }
        let auto = auto && !self.suspended && (self.chain.starts > 0 || first_of_all);
        if self.chain.starts == 0 {
            self.chain.order = around.order;
        }
        self.chain.counters |= pending.is_some() && self.kind == Kind::Managed;
        self.runs += 1;
        self.run = Some(Run {
            when: when.clone(),
            order: around.order,
            pid,
            auto,
            starting,
            ended: None,
            failed: false,
            cause: None,
            bind: None,
            serves: false,
            tentative: self.suspended,
        });
    }

    /// Whether a start is nobody's wish, by what is known of the run before it.
    fn follows(&self, when: &When, pid: Option<u32>) -> bool {
        let Some(run) = &self.run else { return false };
        match self.kind {
            Kind::Managed => {
                let since = run.ended.flatten().zip(when.at).map(|(end, at)| at - end);
                run.failed && !run.starting && since.is_none_or(|since| since <= SHORT)
            }
            Kind::Program => (pid.is_some() && pid != run.pid) || run.ended.is_some() || run.bind.is_some(),
            Kind::Banner { .. } => true,
        }
    }

    /// A stop that somebody asked for, or the machine's own: no restart follows from it.
    pub(super) fn asked_for(&mut self, when: &When, around: &mut Around<'_>) {
        self.pending = None;
        if self.run.as_ref().is_some_and(|run| run.tentative) {
            let held = self.holds(when.at);
            self.run = None;
            if held {
                self.close(Ended::Recovered, false, around);
            }
            return;
        }
        if self.suspended && self.run.is_none() {
            return; // It was asked for before.
        }
        let ended = self.ended(when.at);
        if let Some(run) = self.run.take() {
            self.count(&run, around);
        }
        let chain = std::mem::take(&mut self.chain);
        let is_loop = self.is_loop(&chain, around.rules, false);
        self.chain = chain;
        if !is_loop || ended == Ended::Recovered {
            self.close(ended, false, around);
        } else {
            self.suspended = true;
        }
    }

    pub(super) fn stopped(&mut self, when: &When, around: &mut Around<'_>) {
        match (&mut self.pending, &self.run) {
            (Some((_, told)), _) if !*told => *told = true,
            (Some(_), _) => self.asked_for(when, around),
            (None, Some(run)) if run.ended.is_some() && run.failed => {
                // During the wait for the next restart; of that there would have been a word, or it is yet to come.
                self.stop = self.chain.counters.then(|| when.clone());
            }
            (None, Some(_)) => self.asked_for(when, around),
            (None, None) => {}
        }
    }

    pub(super) fn ends(&mut self, cause: Option<Cause>, when: &When, failed: bool) {
        let Some(run) = &mut self.run else { return };
        if run.ended.is_none() {
            run.ended = Some(when.at);
        }
        run.failed |= failed;
        self.sign(cause);
    }

    pub(super) fn result(&mut self, cause: Option<Cause>, when: &When) {
        let Some(run) = &mut self.run else { return };
        if run.ended.is_none() {
            run.ended = Some(when.at);
        }
        run.failed = true;
        match (&run.cause, &cause) {
            (Some(Cause::CoreDump { .. }), Some(Cause::CoreDump { .. })) | (_, None) => {}
            _ => run.cause = cause,
        }
    }

    pub(super) fn sign(&mut self, cause: Option<Cause>) {
        let Some(run) = &mut self.run else { return };
        if cause.is_some() && matches!(run.cause, None | Some(Cause::ExitCode { .. } | Cause::Signal { .. })) {
            run.cause = cause;
        }
    }

    pub(super) fn scheduled(&mut self, counter: Option<u64>, when: &When, around: &mut Around<'_>) {
        let near = |other: &When| other.at.zip(when.at).is_none_or(|(a, b)| (a - b).abs() <= SECOND);
        let told = match self.stop.take() {
            Some(stop) if near(&stop) => true,
            Some(_) => {
                self.asked_for(when, around);
                return;
            }
            None => false,
        };
        if counter.is_some() && self.uncounted && self.pending.as_ref().is_some_and(|(before, _)| near(before)) {
            // Versions 239 to 245 have two lines for one restart.
            self.uncounted = false;
            self.counter = counter;
            return;
        }
        self.uncounted = counter.is_none();
        if let Some((before, _)) = self.pending.take() {
            // Nothing but the counter is shown: it stands for the start.
            self.pending = Some((before.clone(), true));
            self.begins(&before, false, None, around);
            self.has_starts = false;
        }
        if let (Some(now), Some(before)) = (counter, self.counter)
            && now <= before
            && !self.has_starts
            && !self.is_loop(&self.chain, around.rules, false)
        {
            // Counted anew: by a boot, or by somebody's start.
            self.run = None;
            self.close(Ended::Unknown, false, around);
            self.known = true;
        }
        self.counter = counter.or(self.counter);
        if let Some(run) = self.run.as_mut().filter(|run| run.ended.is_none()) {
            run.ended = Some(when.at);
        }
        self.pending = Some((when.clone(), told));
    }

    pub(super) fn limited(&mut self, when: &When, around: &mut Around<'_>) {
        self.pending = None;
        self.commit(when.at, true, around);
        self.close(Ended::StartLimit, true, around);
    }

    pub(super) fn bind(&mut self, port: Option<u16>, pid: Option<u32>, when: &When, around: &mut Around<'_>) {
        if self.kind == Kind::Program && pid.is_some() && self.run.as_ref().is_none_or(|run| run.pid != pid) {
            self.begins(when, false, pid, around);
        }
        if let Some(run) = &mut self.run {
            run.bind = Some(run.bind.flatten().or(port));
        }
    }
}
