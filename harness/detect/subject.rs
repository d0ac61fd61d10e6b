//! One subject: its runs, and the chains they make.

use super::chain::{Chain, Rules, When};
use super::explainers::Explainers;
use super::fact::{Cause, Fact};
use super::report::{Ended, Loop, Signature};
use super::stamp::SECOND;

/// Without a manager's word a start follows its run's end within this time, or nobody restarts it.
const SHORT: i64 = 120 * SECOND;
/// A run shorter than this does not hold, however short the others are.
const LEAST_HOLD: i64 = 60 * SECOND;
/// So many loops of one subject are kept.
const LOOPS: usize = 64;

/// What a subject is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A manager tells of it.
    #[default]
    Managed,
    /// A program of which only its own lines are seen.
    Program,
    /// A line that repeats; `given` by the user or found.
    Banner { given: bool },
}

/// A run.
#[derive(Clone, Debug)]
struct Run {
    when: When,
    order: u64,
    pid: Option<u32>,
    /// Nobody asked for it.
    auto: bool,
    /// Only its preparations are seen so far.
    starting: bool,
    /// Its end, if that was seen.
    ended: Option<Option<i64>>,
    failed: bool,
    cause: Option<Cause>,
    bind: Option<Option<u16>>,
    serves: bool,
    /// It follows a stop that was asked for, within a loop: part of it only if it fails, too.
    tentative: bool,
}

/// A loop that is over, with what is needed to set it beside others.
#[derive(Clone, Debug)]
pub(super) struct Over {
    pub found: Loop,
    pub chain: Chain,
}

/// What a subject needs to know of its surroundings.
pub(super) struct Around<'a> {
    pub rules: Rules,
    /// How many more gaps may be kept.
    pub room: &'a mut usize,
    /// How often the machine has come up so far.
    pub boots: u64,
    /// The place in the input.
    pub order: u64,
}

/// A unit, a program, or a line.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    pub name: String,
    pub kind: Kind,
    chain: Chain,
    run: Option<Run>,
    /// A restart that is scheduled, and whether a stop was told of since.
    pending: Option<(When, bool)>,
    counter: Option<u64>,
    /// A stop that was told of with nothing to say what it is for.
    stop: Option<When>,
    /// The last restart was told of without its number.
    uncounted: bool,
    /// A stop was asked for within a loop.
    suspended: bool,
    /// It ends by itself, or something else than its end starts it.
    pub triggered: bool,
    /// Its starts have PIDs of their own.
    pub has_pids: bool,
    /// Its name is that of the line that ends it.
    pub unnamed: bool,
    /// A living process starts others below its name.
    pub workers: bool,
    /// Its starts are those of such a process.
    masters: bool,
    /// Whether any run was seen before.
    known: bool,
    /// Whether it has starts of its own, beside counter lines.
    has_starts: bool,
    boots: u64,
    /// All of its runs, whatever became of them.
    pub runs: u64,
    /// Ports that it could not have.
    pub ports: Vec<u16>,
    /// The units that started before its starts: theirs is the loop, or there is none.
    explainers: Option<Explainers>,
    /// Its last place in the input.
    pub seen: u64,
    /// How long ago its last restart was, when it was told of.
    pub age: Option<u64>,
    over: Vec<Over>,
    /// Loops beyond those that are kept.
    pub more: u64,
    last: Option<(Fact, When)>,
}

impl Subject {
    pub(super) fn new(name: String, kind: Kind) -> Self {
        Self { name, kind, ..Self::default() }
    }

    /// Whether it must be kept when room is short.
    pub(super) fn matters(&self) -> bool {
        !self.over.is_empty() || self.chain.autos >= 2
    }

    /// Notes which units may have started it this time.
    pub(super) fn explain(&mut self, units: &[(String, u64)]) {
        self.explainers.get_or_insert_default().start(units);
    }

    /// Whether all of its starts are those of units.
    pub(super) fn is_explained(&self) -> bool {
        self.explainers.as_ref().is_some_and(Explainers::explain)
    }

    /// How many starts of it are counted or open.
    pub(super) fn starts(&self) -> u64 {
        self.chain.starts + u64::from(self.run.is_some())
    }

    /// A bind error of that run was none of its own.
    pub(super) fn unbind(&mut self, order: u64) {
        if let Some(run) = self.run.as_mut().filter(|run| run.order == order) {
            run.bind = None;
        } else {
            self.chain.unbind();
        }
    }

    /// The run, if its lines may still come: its place in the input, whether it is open, and whether a bind error is known.
    pub(super) fn current(&self) -> Option<(u64, bool, bool)> {
        self.run.as_ref().map(|run| (run.order, run.ended.is_none(), run.bind.is_some()))
    }

    pub(super) fn take(&mut self, fact: Fact, pid: Option<u32>, when: &When, around: &mut Around<'_>) {
        if self.is_a_repetition(&fact, when) || self.is_an_afterthought(&fact, when) {
            return;
        }
        self.seen = around.order;
        if self.boots != around.boots {
            self.boots = around.boots;
            self.asked_for(when, around);
            (self.run, self.pending, self.counter) = (None, None, None);
        }
        match &fact {
            Fact::Starting => self.begins(when, true, pid, around),
            Fact::Started => self.begins(when, false, pid, around),
            Fact::Spawned => {
                // It is the manager's own doing unless somebody asked for the end before.
                if self.run.is_some() {
                    self.pending = Some((when.clone(), true));
                }
                self.begins(when, false, pid, around);
            }
            Fact::ProgramStarts { pid: Some(_) } if self.masters => {}
            Fact::MasterStarts { pid: printed } => {
                self.masters = true;
                self.begins(when, false, pid.or(*printed), around);
            }
            Fact::ProgramStarts { pid: printed } => self.begins(when, false, pid.or(*printed), around),
            Fact::Stopping | Fact::Leaves => self.asked_for(when, around),
            Fact::Stopped => self.stopped(when, around),
            Fact::Exited(cause) => self.ends(cause.clone(), when, cause.is_some()),
            Fact::Result(cause) => self.result(cause.clone(), when),
            Fact::Sign(cause) => self.sign(cause.clone()),
            Fact::StartFailed => self.ends(None, when, true),
            Fact::Scheduled { counter } => self.scheduled(*counter, when, around),
            Fact::Limited => self.limited(when, around),
            Fact::Finished => {
                self.triggered = true;
                self.run = None;
            }
            Fact::Bind { port } => self.bind(*port, pid, when, around),
            Fact::Serves => {
                if let Some(run) = self.run.as_mut().filter(|run| run.ended.is_none()) {
                    run.serves = true;
                }
            }
            Fact::HasWorkers => self.workers = true,
        }
        self.chain.heard = self.chain.heard.max(when.at);
        self.last = Some((fact, when.clone()));
    }

    /// The same line twice in a row.
    fn is_a_repetition(&self, fact: &Fact, when: &When) -> bool {
        let Some((last, then)) = &self.last else { return false };
        let counted =
            matches!(fact, Fact::Started | Fact::Spawned | Fact::Starting | Fact::Scheduled { .. } | Fact::Exited(_));
        // Without stamps and counters nothing tells two from one.
        let told_apart = when.moment.is_some() || matches!(fact, Fact::Scheduled { counter: Some(_) });
        let (Some(at), Some(before)) = (when.at, then.at) else {
            return counted && told_apart && last == fact && when.moment == then.moment;
        };
        counted && last == fact && at == before && when.moment == then.moment
    }

    /// Version 219 says `Starting` right after `Started`.
    fn is_an_afterthought(&self, fact: &Fact, when: &When) -> bool {
        let Some((Fact::Started, then)) = &self.last else { return false };
        *fact == Fact::Starting && then.at.zip(when.at).is_none_or(|(then, at)| (at - then).abs() <= SECOND)
    }

    fn begins(&mut self, when: &When, starting: bool, pid: Option<u32>, around: &mut Around<'_>) {
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
    fn asked_for(&mut self, when: &When, around: &mut Around<'_>) {
        self.pending = None;
        if self.run.as_ref().is_some_and(|run| run.tentative) {
            let held = self.holds(when.at);
            self.run = None;
            if held {
                self.close(Ended::Recovered, false, around);
            }
            return;
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

    fn stopped(&mut self, when: &When, around: &mut Around<'_>) {
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

    fn ends(&mut self, cause: Option<Cause>, when: &When, failed: bool) {
        let Some(run) = &mut self.run else { return };
        if run.ended.is_none() {
            run.ended = Some(when.at);
        }
        run.failed |= failed;
        self.sign(cause);
    }

    fn result(&mut self, cause: Option<Cause>, when: &When) {
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

    fn sign(&mut self, cause: Option<Cause>) {
        let Some(run) = &mut self.run else { return };
        if cause.is_some() && matches!(run.cause, None | Some(Cause::ExitCode { .. } | Cause::Signal { .. })) {
            run.cause = cause;
        }
    }

    fn scheduled(&mut self, counter: Option<u64>, when: &When, around: &mut Around<'_>) {
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

    fn limited(&mut self, when: &When, around: &mut Around<'_>) {
        self.pending = None;
        self.commit(when.at, true, around);
        self.close(Ended::StartLimit, true, around);
    }

    fn bind(&mut self, port: Option<u16>, pid: Option<u32>, when: &When, around: &mut Around<'_>) {
        if self.kind == Kind::Program && pid.is_some() && self.run.as_ref().is_none_or(|run| run.pid != pid) {
            self.begins(when, false, pid, around);
        }
        if let Some(run) = &mut self.run {
            run.bind = Some(run.bind.flatten().or(port));
        }
    }

    /// Counts a run that is over, because the next begins or the manager gives up.
    fn commit(&mut self, until: Option<i64>, goes_on: bool, around: &mut Around<'_>) {
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

    fn count(&mut self, run: &Run, around: &mut Around<'_>) {
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
    fn holds(&self, now: Option<i64>) -> bool {
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
    fn ended(&self, now: Option<i64>) -> Ended {
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

    fn is_loop(&self, chain: &Chain, rules: Rules, limited: bool) -> bool {
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
    fn close(&mut self, ended: Ended, limited: bool, around: &mut Around<'_>) {
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
    pub(super) fn finish(&mut self, now: Option<i64>, around: &mut Around<'_>) -> Vec<Over> {
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

    /// Takes over what was told of the same unit under another name.
    pub(super) fn absorb(&mut self, earlier: Subject) {
        if self.chain.starts == 0 && self.run.is_none() && self.over.is_empty() {
            let (name, kind, pending, counter, seen) =
                (std::mem::take(&mut self.name), self.kind, self.pending.take(), self.counter, self.seen);
            *self = Subject { name, kind, pending, counter, seen, ..earlier };
        }
    }
}
