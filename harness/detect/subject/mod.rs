//! One subject: its runs, and the chains they make.

mod chains;
mod runs;

use super::chain::{Chain, Rules, When};
use super::explainers::Explainers;
use super::fact::{Cause, Fact};
use super::report::Loop;
use super::stamp::SECOND;

/// What a subject is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::detect) enum Kind {
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
pub(in crate::detect) struct Over {
    pub found: Loop,
    pub chain: Chain,
}

/// What a subject needs to know of its surroundings.
pub(in crate::detect) struct Around<'a> {
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
pub(in crate::detect) struct Subject {
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
    pub(in crate::detect) fn new(name: String, kind: Kind) -> Self {
        Self { name, kind, ..Self::default() }
    }

    /// Whether it must be kept when room is short.
    pub(in crate::detect) fn matters(&self) -> bool {
        !self.over.is_empty() || self.chain.autos >= 2
    }

    /// Notes which units may have started it this time.
    pub(in crate::detect) fn explain(&mut self, units: &[(String, u64)]) {
        self.explainers.get_or_insert_default().start(units);
    }

    /// Whether all of its starts are those of units.
    pub(in crate::detect) fn is_explained(&self) -> bool {
        // Not each run says each line.
        let each_is_seen = self.kind == Kind::Program;
        self.explainers.as_ref().is_some_and(|units| units.explain(each_is_seen))
    }

    /// How many starts of it are counted or open.
    pub(in crate::detect) fn starts(&self) -> u64 {
        self.chain.starts + u64::from(self.run.is_some())
    }

    /// A bind error of that run was none of its own.
    pub(in crate::detect) fn unbind(&mut self, order: u64) {
        if let Some(run) = self.run.as_mut().filter(|run| run.order == order) {
            run.bind = None;
        } else {
            self.chain.unbind();
        }
    }

    /// The run, if its lines may still come: its place in the input, whether it is open, and whether a bind error is known.
    pub(in crate::detect) fn current(&self) -> Option<(u64, bool, bool)> {
        self.run.as_ref().map(|run| (run.order, run.ended.is_none(), run.bind.is_some()))
    }

    pub(in crate::detect) fn take(&mut self, fact: Fact, pid: Option<u32>, when: &When, around: &mut Around<'_>) {
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

    /// Takes over what was told of the same unit under another name.
    pub(in crate::detect) fn absorb(&mut self, earlier: Subject) {
        if self.chain.starts == 0 && self.run.is_none() && self.over.is_empty() {
            let (name, kind, pending, counter, seen) =
                (std::mem::take(&mut self.name), self.kind, self.pending.take(), self.counter, self.seen);
            *self = Subject { name, kind, pending, counter, seen, ..earlier };
        }
    }
}
