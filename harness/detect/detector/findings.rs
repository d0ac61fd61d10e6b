//! What the whole input comes to: one entry a loop, however many views there are of it.

use super::super::banner::Found;
use super::super::chain::Chain;
use super::super::report::{Report, Signature};
use super::super::subject::{Around, Kind, Over, Subject};
use super::State;

/// So many loops are reported.
const LOOPS: usize = 1000;

impl State {
    pub(super) fn report(mut self) -> Report {
        let now = self.axis.now;
        let mut around = Around { rules: self.rules, room: &mut self.room, boots: self.boots, order: self.order };
        let mut more = 0;
        let (mut managed, mut programs, mut unnamed) = (Vec::new(), Vec::new(), Vec::new());
        let mut subjects: Vec<Subject> = self.subjects.into_values().collect();
        subjects.sort_by(|a, b| a.name.cmp(&b.name));
        let mut rivals = Vec::new();
        for subject in &mut subjects {
            let found = subject.finish(now, &mut around);
            more += subject.more;
            if subject.kind == Kind::Managed {
                managed.extend(found);
            } else if !subject.is_explained() {
                let list = if subject.unnamed { &mut unnamed } else { &mut programs };
                list.extend(found);
                rivals.extend(subject.ports.iter().map(|port| (subject.name.clone(), *port)));
            }
        }
        let mut kept = one_of_each_fight(managed);
        for mut over in one_of_each_fight(programs) {
            // Another one has the port in turn.
            let takes_turns = over.chain.bound < over.chain.starts
                && over.chain.port().flatten().is_some_and(|port| {
                    rivals.iter().any(|(name, rival)| *rival == port && *name != over.found.subject)
                });
            if takes_turns {
                over.found.signature = Signature::DuplicateOwner;
            }
            let is_known = |known: &Over| known.found.subject == over.found.subject || is_the_same(known, &over);
            if !kept.iter().any(is_known) {
                kept.push(over);
            }
        }
        for Found { over, .. } in self.banners.finish(now, &mut around) {
            if !kept.iter().any(|known| is_another_line(known, &over)) {
                kept.push(over);
            }
        }
        // Of these only what they end with is known.
        for over in unnamed {
            if !kept.iter().any(|known| is_the_same(known, &over)) {
                kept.push(over);
            }
        }
        kept.sort_by(|a, b| (a.chain.order, &a.found.subject).cmp(&(b.chain.order, &b.found.subject)));
        more += kept.len().saturating_sub(LOOPS) as u64;
        Report { loops: kept.into_iter().take(LOOPS).map(|over| over.found).collect(), more }
    }
}

/// Of two that take turns on one port, the one that fails more often.
fn one_of_each_fight(all: Vec<Over>) -> Vec<Over> {
    let mut kept: Vec<Over> = Vec::new();
    for over in all {
        let turns = |chain: &Chain| chain.bound > 0 && chain.bound < chain.starts;
        let rival = kept.iter_mut().find(|known| {
            let port = known.chain.port().flatten();
            port.is_some()
                && port == over.chain.port().flatten()
                && turns(&known.chain)
                && turns(&over.chain)
                && known.found.subject != over.found.subject
                && overlap(known, &over)
        });
        match rival {
            Some(rival) => {
                if over.chain.bound > rival.chain.bound {
                    *rival = over;
                }
                if rival.found.signature > Signature::DuplicateOwner {
                    rival.found.signature = Signature::DuplicateOwner;
                }
            }
            None => kept.push(over),
        }
    }
    kept
}

/// Whether two loops overlap in time; without stamps they do.
fn overlap(a: &Over, b: &Over) -> bool {
    let bounds = |over: &Over| Some((over.chain.first_at()?, over.chain.heard.or(over.chain.last_at())?));
    let (Some((a_first, a_last)), Some((b_first, b_last))) = (bounds(a), bounds(b)) else { return true };
    let slack = a.chain.period().unwrap_or(0).max(b.chain.period().unwrap_or(0)).saturating_mul(2);
    a_first <= b_last.saturating_add(slack) && b_first <= a_last.saturating_add(slack)
}

/// Whether a program's loop is another view of one that is known, at the same time: for the same port, or for none that is
/// another and with the same period and as many starts.
fn is_the_same(known: &Over, other: &Over) -> bool {
    let alike = || periods_are_alike(known, other).is_none_or(|alike| alike && starts_are_alike(known, other));
    let same = match (known.chain.port(), other.chain.port()) {
        (Some(Some(a)), Some(Some(b))) => a == b,
        (None, Some(_)) => false,
        _ => alike(),
    };
    same && overlap(known, other)
}

/// Whether a line repeats because of a loop that is known; it may be one that not each run says.
fn is_another_line(known: &Over, other: &Over) -> bool {
    let of_it = known.found.subject == other.found.subject;
    let alike = || periods_are_alike(known, other).is_none_or(|alike| alike || starts_are_alike(known, other));
    overlap(known, other) && (of_it || alike())
}

/// None without stamps.
fn periods_are_alike(known: &Over, other: &Over) -> Option<bool> {
    let (a, b) = (known.found.period_us?.median, other.found.period_us?.median);
    Some(a.abs_diff(b) <= a.max(b) / 4)
}

fn starts_are_alike(known: &Over, other: &Over) -> bool {
    known.found.starts.abs_diff(other.found.starts) <= 2
}
