//! The monitor: judges the claims of one block, event by event.

use std::collections::BTreeMap;

use super::claim::{Claim, ClaimKind, Subject};
use super::judged::{Judged, Verdict};
use super::matching::is_main_start;
use super::source::Diagnostic;
use super::state::{State, is_answered};
use crate::time::{IncidentTime, Span};
use crate::timeline::{Event, EventKind, Timeline};

/// What the claims of a block are said of.
#[derive(Clone, Debug)]
pub struct Context {
    /// The scenario's unit, by its full name: the default subject.
    pub unit: String,
    /// What console outputs have bound so far: name without brackets → word.
    pub vars: BTreeMap<String, String>,
    /// How long claims without a window of their own may take.
    pub budget: Span,
    /// What upper bounds in time are allowed beyond their word, where clocks are not exact.
    pub slack: Span,
}

/// Judges the claims of one block. Feed it every event from the block's start on, in order.
#[derive(Clone, Debug)]
pub struct Monitor {
    context: Context,
    start: IncidentTime,
    budget_ends: IncidentTime,
    state: State,
    seen: usize,
    starts: u32,
    claims: Vec<Judged>,
}

impl Monitor {
    /// Begins a block at `now`: `timeline` is all that happened before, and is what conditions see at first.
    ///
    /// # Errors
    ///
    /// A claim needs a `[NAME]` that is not bound, or that is not a PID where a process is meant.
    pub fn begin(
        claims: &[Claim],
        context: Context,
        timeline: &Timeline,
        now: IncidentTime,
    ) -> Result<Self, Diagnostic> {
        Self::resume(claims, context, State::of(timeline), timeline.events().len(), now)
    }

    /// As [`Monitor::begin`], with the state after the first `seen` events given.
    ///
    /// # Errors
    ///
    /// As [`Monitor::begin`].
    pub fn resume(
        claims: &[Claim],
        context: Context,
        state: State,
        seen: usize,
        now: IncidentTime,
    ) -> Result<Self, Diagnostic> {
        claims.iter().try_for_each(|claim| check_vars(claim, &context))?;
        let budget_ends = now + context.budget;
        let claims = claims.iter().map(|claim| Judged::new(claim, now, budget_ends, context.slack)).collect();
        let mut monitor = Self { context, start: now, budget_ends, state, seen, starts: 0, claims };
        for claim in &mut monitor.claims {
            claim.look(&monitor.state, &monitor.context, now, None);
        }
        monitor.close_companions(now);
        Ok(monitor)
    }

    /// The claims and their verdicts, in the order of the block.
    pub fn claims(&self) -> &[Judged] {
        &self.claims
    }

    /// When the block began.
    pub fn start(&self) -> IncidentTime {
        self.start
    }

    /// Whether a claim is undecided.
    pub fn is_open(&self) -> bool {
        self.claims.iter().any(|claim| claim.verdict == Verdict::Open)
    }

    /// Whether a claim is violated.
    pub fn is_violated(&self) -> bool {
        self.claims.iter().any(|claim| claim.verdict == Verdict::Violated)
    }

    /// The next moment at which a claim is decided by time alone; `None` once none is open.
    pub fn next_deadline(&self) -> Option<IncidentTime> {
        self.claims.iter().filter_map(|claim| claim.deadline(self.budget_ends, self.context.slack)).min()
    }

    /// Feeds the events that the timeline has got since the last call.
    pub fn follow(&mut self, timeline: &Timeline) {
        for event in timeline.events().iter().skip(self.seen) {
            self.feed(event);
        }
    }

    /// Feeds the next event. All claims that time alone decides before it are decided first.
    pub fn feed(&mut self, event: &Event) {
        self.settle(event.at, false);
        let index = self.seen;
        self.seen += 1;
        let down_since = self.state.down_since();
        self.state.apply(event);
        let is_start = is_main_start(event, &self.context.unit);
        self.starts += u32::from(is_start);
        for claim in self.claims.iter_mut().filter(|claim| claim.verdict == Verdict::Open) {
            if claim.has_cycles(self.starts) {
                claim.end(&self.state, &self.context, event.at);
                continue;
            }
            claim.observe(event, index, &self.context, is_start, self.starts);
            if let EventKind::Request { answer, sent, .. } = &event.kind {
                claim.request(is_answered(answer), down_since, *sent, event.at, index, self.context.slack);
            }
            if State::is_moved_by(&event.kind) {
                claim.look(&self.state, &self.context, event.at, Some(index));
            }
        }
        self.close_companions(event.at);
    }

    /// Says that nothing more will happen up to and including `now`: decides what time alone decides.
    pub fn advance(&mut self, now: IncidentTime) {
        self.settle(now, true);
        self.close_companions(now);
    }

    /// Decides the claims whose deadline lies before `now`, or at it if `inclusive`.
    fn settle(&mut self, now: IncidentTime, inclusive: bool) {
        while let Some(deadline) = self.next_deadline()
            && (deadline < now || (inclusive && deadline == now))
        {
            for claim in self
                .claims
                .iter_mut()
                .filter(|claim| claim.deadline(self.budget_ends, self.context.slack) == Some(deadline))
            {
                claim.expire(&self.state, &self.context, deadline, self.starts);
            }
            self.close_companions(deadline);
        }
    }

    /// `each cycle` and `outage` have no end of their own: they end with the block, which lasts as long as any
    /// other claim does, or until they have seen enough, whichever is later.
    fn close_companions(&mut self, now: IncidentTime) {
        let outage_only = self.claims.iter().all(|claim| matches!(claim.claim.kind, ClaimKind::Outage { .. }));
        let is_down = self.state.down_since().is_some();
        let mut open = self.claims.iter().filter(|claim| claim.verdict == Verdict::Open);
        let needs_more = open.any(|claim| outage_only || !claim.is_content(is_down));
        if !needs_more {
            for claim in self.claims.iter_mut().filter(|claim| claim.verdict == Verdict::Open) {
                claim.end(&self.state, &self.context, now);
            }
        }
    }
}

/// Names must be bound, and a process be named by a number.
fn check_vars(claim: &Claim, context: &Context) -> Result<(), Diagnostic> {
    for var in claim.vars() {
        if !context.vars.contains_key(&var.name) {
            return Err(Diagnostic::new(
                var.span.clone(),
                format!("`[{}]` is not bound", var.name),
                "no console output has bound it",
            )
            .help("a `[NAME]` is bound where it first stands in the output of a `console` block"));
        }
    }
    for event in claim.events() {
        if let Subject::Var(var) = &event.subject
            && let Some(value) = context.vars.get(&var.name)
            && value.parse::<u32>().is_err()
        {
            return Err(Diagnostic::new(
                var.span.clone(),
                format!("`[{}]` is `{value}`, which is not a PID", var.name),
                "expected the PID of a process",
            ));
        }
    }
    Ok(())
}
