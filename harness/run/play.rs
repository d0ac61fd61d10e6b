//! Plays a scenario: its blocks from top to bottom, in incident time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::console::CommandOutcome;
use super::incident::{Incident, Reached, StandIn};
use super::stage::Stage;
use super::{Fault, Output};
use crate::control::{Notify, ServerRole, Sigterm};
use crate::expect::{Context, Diagnostic, Monitor, Source, Verdict as ClaimVerdict, is_main_start};
use crate::program::arm_script;
use crate::report::{ClaimOutcome, Failure, FailureKind, Loop, PhaseOutcome, PhaseState};
use crate::scenario::{
    Bind, Bindings, Command, Console, Expect, Kind, OnTerm, Program, Says, Scenario, StepKind, When, compare,
    compare_but_for_numbers,
};
use crate::time::{IncidentTime, Span};
use crate::timeline::{Event, EventKind};

/// What came of playing the blocks.
#[derive(Default)]
pub(super) struct Played {
    pub(super) claims: Vec<ClaimOutcome>,
    pub(super) failures: Vec<Failure>,
    /// Whether what failed belongs to an extended scenario.
    pub(super) failed_before_own: bool,
    pub(super) phases: Vec<PhaseOutcome>,
    pub(super) outputs: Vec<Output>,
    /// All that commands printed, for the artefacts.
    pub(super) console: String,
    /// How many events there were when the scenario's own first command began.
    pub(super) loop_end: Option<usize>,
    /// How many there were when the first of its own commands began that does more than look.
    pub(super) first_action: Option<usize>,
}

/// Commands that change nothing.
const LOOKS: &[&str] = &[
    "cat",
    "curl",
    "date",
    "echo",
    "fuser",
    "grep",
    "head",
    "journalctl",
    "ls",
    "lsof",
    "netstat",
    "pgrep",
    "pidof",
    "ps",
    "sleep",
    "ss",
    "stat",
    "tail",
    "wc",
];
/// The same of systemctl.
const LOOKS_OF_SYSTEMCTL: &[&str] =
    &["cat", "is-active", "is-enabled", "is-failed", "list-jobs", "list-units", "show", "status"];

/// Whether a command only looks, as far as its first words tell.
fn only_looks(command: &str) -> bool {
    let mut words = command.split_ascii_whitespace().skip_while(|word| *word == "sudo");
    let first = words.next().unwrap_or_default();
    let looks = match first {
        "systemctl" => words.next().is_some_and(|verb| LOOKS_OF_SYSTEMCTL.contains(&verb)),
        first => LOOKS.contains(&first),
    };
    let writes = command.replace("2>&1", "").replace(">/dev/null", "");
    looks && !writes.contains(['>', ';', '&'])
}

/// A stand-in as the program block describes it, with what the version is known to do.
pub(super) fn stand_in(name: &str, program: &Program) -> StandIn {
    // uvicorn up to 0.48 installs its handlers before the import and exits 1; from 0.50 on it imports first and
    // exits 3, as the parent of workers does, too (measured with 0.40 and 0.54).
    let modern = program.version.as_deref().and_then(minor).is_some_and(|minor| minor >= 50);
    let binds_first = program.bind == Bind::BeforeStartup;
    let sigterm = match program.sigterm {
        Some(OnTerm::Default) => Sigterm::Default,
        Some(OnTerm::Ignore) => Sigterm::Ignore,
        Some(OnTerm::Defer) => Sigterm::Defer,
        None if modern => Sigterm::Default,
        None => Sigterm::Defer,
    };
    let mut names: Vec<String> =
        program.path.iter().filter_map(|path| path.rsplit('/').next()).map(str::to_owned).collect();
    names.extend(program.argv0.clone());
    if names.is_empty() {
        names.push(name.to_owned());
    }
    let startup =
        program.startup.iter().flat_map(|entry| std::iter::repeat_n(entry.span, entry.times as usize)).collect();
    StandIn {
        names,
        words: program.module.iter().cloned().collect(),
        role: ServerRole {
            name: name.to_owned(),
            startup: Span::ZERO,
            startup_cpu: program.startup_cpu.unwrap_or(0),
            log_file: program.log_file.clone(),
            on_start: program.on_start.clone(),
            on_shutdown: program.on_shutdown.clone(),
            teardown: program.teardown.unwrap_or(Span::from_millis(40)),
            bind_before_startup: binds_first,
            fd: program.fd.map(i32::from),
            exit_on_bind_error: program.exit_on_bind_error.unwrap_or(if modern { 3 } else { 1 }),
            sigterm,
            handlers_after: program.sigterm_ready_after.unwrap_or(Span::from_millis(150)),
            answer: program.answer.unwrap_or(Span::ZERO),
            answers: program.answers.iter().map(|(path, length)| (path.clone(), length.0)).collect(),
            reuse_port: program.reuse_port,
            v6_only: program.v6_only.unwrap_or(true),
            child: program.child,
            notice: program.shutdown.unwrap_or(Span::from_millis(100)),
            notify: match program.notify {
                None => Notify::Nothing,
                Some(Says::Ready) => Notify::Ready,
                Some(Says::Silent) => Notify::Silent,
            },
        },
        startup,
        starts: 0,
    }
}

fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

struct Player<'a> {
    scenario: &'a Scenario,
    incident: &'a mut dyn Stage,
    played: &'a mut Played,
    directory: String,
    variables: Bindings,
    commands: u32,
    block_end: IncidentTime,
    /// Outputs of the scenario's own commands, for a check.
    answers: Vec<(String, String)>,
    /// Whether the block that is played belongs to an extended scenario.
    inherited: bool,
    /// Outputs are taken as they come.
    update: bool,
}

/// Plays all blocks, or up to the first that fails.
pub(super) fn play(
    scenario: &Scenario,
    incident: &mut dyn Stage,
    played: &mut Played,
    update: bool,
) -> Result<(), Fault> {
    let start = incident.now();
    played.phases = scenario
        .phases
        .iter()
        .map(|phase| PhaseOutcome {
            title: phase.title.clone(),
            state: PhaseState::NotReached,
            time: None,
            commands: 0,
            claims: 0,
        })
        .collect();
    let mut player = Player {
        scenario,
        incident,
        played,
        directory: scenario.settings.directory.clone().unwrap_or_else(|| "/home".to_owned()),
        variables: Bindings::new(),
        commands: 0,
        block_end: start,
        answers: Vec::new(),
        inherited: true,
        update,
    };
    let result = player.blocks();
    player.end_phase(result.is_err());
    result
}

impl Player<'_> {
    fn blocks(&mut self) -> Result<(), Fault> {
        let mut last_action = None;
        let scenario = self.scenario;
        for (index, step) in scenario.steps.iter().enumerate() {
            self.inherited = index < scenario.inherited;
            if !self.inherited && self.played.loop_end.is_none() && scenario.inherited > 0 {
                self.played.loop_end = Some(self.incident.timeline().events().len());
                if !self.loop_is_short_enough() {
                    return Ok(());
                }
            }
            self.begin_phase(step.phase);
            match &step.kind {
                StepKind::Program(block) => {
                    let new = stand_in(&block.name, &block.program);
                    self.incident.describe(new, &block.program.path)?;
                }
                StepKind::Unit(unit) => self.incident.write_unit(&unit.path(), unit.text())?,
                StepKind::File(file) => self.incident.write_file(&file.path, file.text(), file.is_shell)?,
                StepKind::Console(console) => {
                    if !self.console(&step.location.source, console)? {
                        return Ok(());
                    }
                    if !self.inherited {
                        last_action = Some(self.incident.timeline().events().len());
                    }
                }
                StepKind::Expect(expect) => {
                    if !self.expect(expect)? {
                        return Ok(());
                    }
                }
            }
            self.block_end = self.incident.now();
        }
        match scenario.kind {
            Kind::NonFix => self.check_cycles(last_action),
            Kind::Check => self.check_answers(),
            _ => {}
        }
        Ok(())
    }

    fn begin_phase(&mut self, phase: Option<usize>) {
        let Some(index) = phase.filter(|index| self.played.phases[*index].time.is_none()) else { return };
        self.end_phase(false);
        let now = self.incident.now();
        let phase = &mut self.played.phases[index];
        phase.time = Some((now, now));
        phase.state = PhaseState::Passed;
        self.incident.event(EventKind::Phase { title: phase.title.clone() });
    }

    fn end_phase(&mut self, fault: bool) {
        let now = self.incident.now();
        let failed = fault || !self.played.failures.is_empty();
        if let Some(phase) = self.played.phases.iter_mut().rev().find(|phase| phase.time.is_some()) {
            phase.time = phase.time.map(|(began, _)| (began, now));
            if failed {
                phase.state = PhaseState::Failed;
            }
        }
    }

    fn phase(&mut self) -> Option<&mut PhaseOutcome> {
        self.played.phases.iter_mut().rev().find(|phase| phase.time.is_some())
    }

    fn fail(&mut self, failure: Failure) {
        self.played.failed_before_own |= self.inherited && self.scenario.inherited > 0;
        self.played.failures.push(failure);
    }

    /// Now that the period is known: an absence shorter than three of it would prove nothing.
    fn loop_is_short_enough(&mut self) -> bool {
        if !matches!(self.scenario.kind, Kind::Fix | Kind::Limit | Kind::NonFix) {
            return true;
        }
        let unit = self.scenario.unit.clone().unwrap_or_default();
        let seen = Loop::of(self.incident.timeline().events(), &unit);
        let Some(period) = seen.period else { return true };
        match self.scenario.check_absence(period.median) {
            Ok(()) => true,
            Err(error) => {
                let now = self.incident.now();
                self.fail(Failure::of_error(&error, Some(now)));
                false
            }
        }
    }

    /// A non-fix shows that the loop goes on: at least three further starts, or attempts at one, after its last action.
    fn check_cycles(&mut self, since: Option<usize>) {
        let (Some(since), Some(unit)) = (since, &self.scenario.unit) else { return };
        let further = &self.incident.timeline().events()[since..];
        let starts = further.iter().filter(|event| is_main_start(event, unit)).count();
        // Where ExecStartPre= refuses every start there is no main process, and yet a loop.
        let is_restart = |event: &&Event| matches!(&event.kind, EventKind::RestartIn { unit: of, .. } if of == unit);
        let starts = starts.max(further.iter().filter(is_restart).count());
        if starts < 3 {
            let last = self.scenario.steps.last().map_or(0..0, |step| step.location.span.clone());
            let message =
                format!("a non-fix shows at least three further cycles after its last action, this one shows {starts}");
            let diagnostic = Diagnostic::new(last, message, "the scenario ends here")
                .help("let the last block claim something over more cycles, such as `never … for 4 cycles`");
            let now = self.incident.now();
            self.fail(Failure::of_document(&self.scenario.source, diagnostic, Some(now)));
        }
    }

    /// A check answers differently before and after, unless it says that it cannot tell.
    fn check_answers(&mut self) {
        let mut first: BTreeMap<&str, &str> = BTreeMap::new();
        let (mut repeated, mut differs) = (false, false);
        let to_the_letter = self.incident.prints_to_the_letter() || !self.scenario.settings.cannot_tell;
        for (command, answer) in &self.answers {
            match first.get(command.as_str()) {
                Some(before) => {
                    repeated = true;
                    differs |= if to_the_letter { before != answer } else { is_other(before, answer) };
                }
                None => {
                    first.insert(command, answer);
                }
            }
        }
        let cannot_tell = self.scenario.settings.cannot_tell;
        let message = match (repeated, differs, cannot_tell) {
            (false, ..) => "a check asks the same before and after: no command of this scenario is typed twice",
            (true, false, false) => "a check answers differently before and after, this one answers the same",
            (true, true, true) => "this check says that it cannot tell, but it answers differently before and after",
            _ => return,
        };
        let last = self.scenario.steps.last().map_or(0..0, |step| step.location.span.clone());
        let diagnostic = Diagnostic::new(last, message, "the scenario ends here");
        let now = self.incident.now();
        self.fail(Failure::of_document(&self.scenario.source, diagnostic, Some(now)));
    }

    /// True if all commands did as written.
    fn console(&mut self, source: &Arc<Source>, console: &Console) -> Result<bool, Fault> {
        let at = match console.when {
            When::Now => None,
            When::At(at) => Some(at),
            When::After(span) => Some(self.block_end + span),
        };
        if let Some(at) = at {
            let now = self.incident.now();
            if self.incident.is_virtual()
                && let Some(error) = self.scenario.late(console, now)
            {
                self.fail(Failure::of_error(&error, Some(now)));
                return Ok(false);
            }
            self.incident.wait_until(at)?;
        }
        for command in &console.commands {
            self.commands += 1;
            if let Some(phase) = self.phase() {
                phase.commands += 1;
            }
            let line = command.location.line();
            if !self.inherited && self.played.first_action.is_none() && !only_looks(&command.text) {
                self.played.first_action = Some(self.incident.timeline().events().len());
            }
            self.incident.event(EventKind::Command { command: command.text.clone(), line });
            let budget = self.incident.now() + self.scenario.settings.budget;
            let number = self.commands;
            let outcome = self.incident.command(number, &command.text, &self.directory, &self.variables, budget)?;
            let now = self.incident.now();
            let Some(outcome) = outcome else {
                let message =
                    format!("the command did not end within {} of incident time", self.scenario.settings.budget);
                let diagnostic = Diagnostic::new(command.location.span.clone(), message, "still running")
                    .help("put `timeout SPAN` before it, or raise `budget` in the header");
                self.fail(Failure {
                    kind: FailureKind::Violated,
                    ..Failure::of_document(source, diagnostic, Some(now))
                });
                return Ok(false);
            };
            self.incident.event(EventKind::CommandEnded {
                command: command.text.clone(),
                line,
                status: outcome.status,
            });
            self.played.console.push_str(&format!("$ {}\n{}", command.text, outcome.output));
            if !self.inherited {
                self.answers.push((command.text.clone(), outcome.output.clone()));
                let (text, bound) = (outcome.output.clone(), self.variables.clone());
                self.played.outputs.push(Output { command: command.clone(), text, bound });
            }
            if !self.compare(source, command, &outcome, now) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True if the command printed and returned what is written; binds the names in it.
    fn compare(
        &mut self,
        source: &Arc<Source>,
        command: &Command,
        outcome: &CommandOutcome,
        now: IncidentTime,
    ) -> bool {
        let place = command.location.span.clone();
        let compared = match compare(&command.output, &outcome.output, &self.variables) {
            Err(_) if !self.incident.prints_to_the_letter() => {
                compare_but_for_numbers(&command.output, &outcome.output, &self.variables)
            }
            compared => compared,
        };
        if outcome.status != command.status {
            let mut failure = Failure::of_status(source, place, command.status, outcome.status, now);
            if let Err(mismatch) = compared {
                failure.detail = mismatch.diff;
            }
            self.fail(failure);
            return false;
        }
        match compared {
            Ok(bindings) => {
                self.variables.extend(bindings);
                true
            }
            Err(_) if self.update && !self.inherited => true,
            Err(mismatch) => {
                self.fail(Failure::of_output(source, place, &mismatch.diff, now));
                false
            }
        }
    }

    /// True if all claims of the block hold.
    fn expect(&mut self, expect: &Expect) -> Result<bool, Fault> {
        let now = self.incident.settle()?;
        let context = Context {
            unit: self.scenario.unit.clone().unwrap_or_default(),
            vars: self.variables.clone(),
            budget: self.scenario.settings.budget,
            slack: self.incident.slack(),
        };
        let mut monitor = match Monitor::begin(&expect.claims, context, self.incident.timeline(), now) {
            Ok(monitor) => monitor,
            Err(diagnostic) => {
                self.fail(Failure::of_document(&expect.source, diagnostic, Some(now)));
                return Ok(false);
            }
        };
        while monitor.is_open() && !monitor.is_violated() {
            let Some(deadline) = monitor.next_deadline() else { break };
            let reached = self.incident.go_on(deadline, &mut |timeline| {
                monitor.follow(timeline);
                !monitor.is_open() || monitor.is_violated()
            })?;
            monitor.follow(self.incident.timeline());
            if reached == Reached::Limit {
                let now = self.incident.now();
                monitor.advance(now);
            }
        }
        let path = self.scenario.source.path();
        self.played.claims.extend(monitor.claims().iter().map(|judged| ClaimOutcome::of(judged, &expect.source, path)));
        let held = monitor.claims().iter().filter(|judged| judged.verdict == ClaimVerdict::Holds).count();
        if let Some(phase) = self.phase() {
            phase.claims += held;
        }
        for judged in monitor.claims().iter().filter(|judged| judged.verdict == ClaimVerdict::Violated) {
            self.fail(Failure::of_claim(judged, &expect.source));
        }
        Ok(!monitor.is_violated())
    }
}

/// Whether answers differ in more than their numbers.
fn is_other(one: &str, other: &str) -> bool {
    let words = |text: &str| text.split(|c: char| c.is_ascii_digit() || c.is_whitespace()).collect::<String>();
    words(one) != words(other)
}

impl Incident {
    /// Writes a file of a scenario. Whoever reads it may be a program of the host, so it is mapped.
    pub(super) fn write_file(&mut self, path: &str, text: &str, is_shell: bool) -> Result<(), Fault> {
        let text = arm_script(&self.layout.mapping.to_host(text), is_shell);
        Ok(self.layout.write(path, text.as_bytes())?)
    }
}
