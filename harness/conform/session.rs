//! Many cases on both managers, several machines at a time.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::agree::agree;
use super::case::{Answer, Case};
use super::compare::{Difference, Kind, compare};
use super::{embedded, known, machine};
use crate::run::{Cancel, Container, ContainerSetup, Options, Unavailable};
use crate::unit::Profile;

/// What systemd answered, and the first line of `systemctl --version`; or why it gave no answer that counts.
type Asked = Result<(Answer, String), String>;

/// A case, and what came of asking.
type Answered = (Case, Asked);

/// How often a machine is made, if it does not come up.
const TRIES: usize = 3;
/// How many further takes there are of a case that differs in moments alone.
const MORE_TAKES: usize = 3;

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// How many cases that answer the same in every take are wanted.
    pub cases: usize,
    /// Machines with systemd side by side.
    pub jobs: usize,
    /// How often each case is run there.
    pub takes: usize,
    /// What they are.
    pub setup: ContainerSetup,
    /// Ends it early.
    pub cancel: Cancel,
}

/// What became of a case.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// What.
    pub verdict: Verdict,
}

/// Whether the two managers did the same.
#[derive(Debug)]
pub enum Verdict {
    /// They did, but for differences that are known: the reasons.
    Agrees {
        /// What systemd answered.
        theirs: Box<Answer>,
        /// First line of `systemctl --version`.
        version: String,
        /// Why what differs may differ.
        known: Vec<String>,
    },
    /// They did not.
    Differs(Box<Differs>),
    /// Systemd itself did something else in every take, or its machine did not answer: such a case says nothing.
    Unstable(String),
}

/// Two answers that are not the same.
#[derive(Debug)]
pub struct Differs {
    /// What systemd answered.
    pub theirs: Answer,
    /// What the embedded manager made of it; `None` if it came to no end, which `wrong` says.
    pub ours: Option<Answer>,
    /// First line of `systemctl --version`.
    pub version: String,
    /// In what they differ, without what is known.
    pub wrong: Vec<Difference>,
}

/// Whose rules a machine follows, from the first line of `systemctl --version`.
pub fn profile(version: &str) -> Profile {
    Profile::of_version(version.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(252))
}

/// Plays cases until as many as wanted are stable, and tells what became of each as soon as it is known.
///
/// # Errors
///
/// [`Unavailable`] if no machine with systemd can be made here.
pub fn run(
    plan: &Plan,
    cases: impl Iterator<Item = Case> + Send,
    mut tell: impl FnMut(Outcome),
) -> Result<(), Unavailable> {
    // One to begin with: what it takes is there, whatever may be wrong with another one later.
    drop(Container::boot(&plan.setup)?);
    let desk = Desk { state: Mutex::new(State { cases, begun: 0, unstable: 0, open: 0 }), changed: Condvar::new() };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let (answered, answers) = channel::<Answered>();
        let (told, outcomes) = channel();
        for _ in 0..plan.jobs.clamp(1, 256).min(plan.cases.max(1)) {
            let (answered, desk) = (answered.clone(), &desk);
            scope.spawn(move || ask(plan, desk, &answered));
        }
        // The other half needs the processor, and would only disturb itself if there were more of it.
        let answers = std::sync::Arc::new(Mutex::new(answers));
        for _ in 0..processors {
            let (answers, told, desk) = (std::sync::Arc::clone(&answers), told.clone(), &desk);
            scope.spawn(move || judge(plan, desk, &answers, &told));
        }
        drop((answered, told));
        outcomes.into_iter().for_each(&mut tell);
    });
    Ok(())
}

/// Which case is next, and how many there are to be.
struct Desk<I> {
    state: Mutex<State<I>>,
    changed: Condvar,
}

struct State<I> {
    cases: I,
    begun: usize,
    unstable: usize,
    /// Begun, and not known to be stable or not.
    open: usize,
}

impl<I: Iterator<Item = Case>> Desk<I> {
    fn lock(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A case to be played; `None` once enough are stable.
    fn next(&self, plan: &Plan) -> Option<Case> {
        let mut state = self.lock();
        loop {
            if plan.cancel.is_set() {
                return None;
            }
            if state.begun - state.unstable < plan.cases {
                let case = state.cases.next()?;
                state.begun += 1;
                state.open += 1;
                return Some(case);
            }
            if state.open == 0 {
                return None;
            }
            // Those that are open may turn out to be unstable.
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self, stable: bool) {
        let mut state = self.lock();
        state.open -= 1;
        state.unstable += usize::from(!stable);
        self.changed.notify_all();
    }
}

/// Has systemd answer.
fn ask<I: Iterator<Item = Case>>(plan: &Plan, desk: &Desk<I>, answered: &Sender<Answered>) {
    while let Some(case) = desk.next(plan) {
        let answer = theirs(&case, plan.takes, plan);
        let stable = answer.is_ok();
        if answered.send((case, answer)).is_err() {
            return;
        }
        if !stable {
            desk.close(false);
        }
    }
}

/// What systemd answers in every one of so many takes; or why there is no such thing.
pub(super) fn theirs(case: &Case, takes: usize, plan: &Plan) -> Asked {
    let mut answers = Vec::new();
    let mut version = String::new();
    for _ in 0..takes.max(1) {
        let mut tries = 0;
        let played = loop {
            if plan.cancel.is_set() {
                return Err("it was asked to end".to_owned());
            }
            tries += 1;
            match machine::play(case, &plan.setup, &plan.cancel) {
                // A machine that does not come up, on a host that is busy with others, is made again.
                Err(_) if tries < TRIES => {}
                played => break played,
            }
        };
        let (answer, said) = played.map_err(|trouble| trouble.to_string())?;
        answers.push(answer);
        version = said;
    }
    Ok((agree(case, &answers)?, version))
}

/// Has the embedded manager answer, and compares.
fn judge<I: Iterator<Item = Case>>(
    plan: &Plan,
    desk: &Desk<I>,
    answers: &Mutex<Receiver<Answered>>,
    told: &Sender<Outcome>,
) {
    loop {
        let next = answers.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((case, answer)) = next else { return };
        let verdict = match answer {
            Err(why) => Verdict::Unstable(why),
            Ok((theirs, version)) => {
                let verdict = decide(plan, &case, theirs, version);
                desk.close(!matches!(verdict, Verdict::Unstable(_)));
                verdict
            }
        };
        if told.send(Outcome { case, verdict }).is_err() {
            return;
        }
    }
}

fn decide(plan: &Plan, case: &Case, answer: Answer, version: String) -> Verdict {
    let differs = |answer: Answer, version: String| differences(case, answer, version, &plan.cancel);
    let mut verdict = differs(answer, version);
    // What differs must do so against further takes: it is systemd that may have been late in the others.
    for _ in 0..MORE_TAKES {
        let Verdict::Differs(found) = &verdict else { break };
        let late = |wrong: &Difference| matches!(wrong.kind, Kind::Moment | Kind::End);
        let only_late = found.wrong.iter().all(late);
        let more = theirs(case, 1, plan);
        verdict = match more.and_then(|(more, version)| Ok((agree(case, &[found.theirs.clone(), more])?, version))) {
            Ok((both, version)) => differs(both, version),
            Err(why) => return Verdict::Unstable(why),
        };
        if !only_late {
            break;
        }
    }
    verdict
}

/// Compares what systemd has answered with what the embedded manager does.
pub fn differences(case: &Case, theirs: Answer, version: String, cancel: &Cancel) -> Verdict {
    let options = Options { cancel: cancel.clone(), ..Options::default() };
    let profile = profile(&version);
    let (ours, wrong) = match embedded::play(case, profile, Some(&theirs), &options) {
        Ok(ours) => {
            let wrong = compare(case, &theirs, &ours);
            (Some(ours), wrong)
        }
        Err(fault) => (None, vec![Difference::fault(&fault.to_string())]),
    };
    let mut accepted = Vec::new();
    let mut left = VecDeque::from(wrong);
    left.retain(|difference| match known::find(difference, profile) {
        Some(known) => {
            accepted.push(known.why.clone());
            false
        }
        None => true,
    });
    if left.is_empty() {
        return Verdict::Agrees { theirs: Box::new(theirs), version, known: accepted };
    }
    Verdict::Differs(Box::new(Differs { theirs, ours, version, wrong: left.into() }))
}
