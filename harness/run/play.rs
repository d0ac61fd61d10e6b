//! Plays a scenario: its blocks from top to bottom, in incident time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clock::ClockKind;
use super::incident::{Incident, Reached, StandIn};
use super::{Fault, Options};
use crate::control::{ServerRole, Sigterm};
use crate::expect::{Context, Diagnostic, Judged, Monitor, Source, Verdict as ClaimVerdict, is_main_start};
use super::console::CommandOutcome;
use crate::scenario::{Bind, Command, Console, Error, Expect, Kind, OnTerm, Program, Scenario, StepKind, When, compare};
use crate::time::{IncidentTime, Span};
use crate::timeline::EventKind;

/// Why a scenario did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Where in which file.
    pub source: Arc<Source>,
    /// The frame to show.
    pub diagnostic: Diagnostic,
    /// Index of the event around which the timeline is shown.
    pub event: Option<usize>,
    /// Whether the failing block belongs to an extended scenario.
    pub inherited: bool,
}

/// What came of playing the blocks.
pub(super) struct Played {
    /// The judged claims: (source, whether inherited, claim).
    pub(super) claims: Vec<(Arc<Source>, bool, Judged)>,
    pub(super) failure: Option<Failure>,
    /// What could only be found wrong with the document by running it.
    pub(super) error: Option<Error>,
    /// What each command really printed: (byte range of its expected output in its source, the output).
    pub(super) outputs: Vec<(Arc<Source>, std::ops::Range<usize>, String)>,
    /// All that commands printed, for the artefacts.
    pub(super) console: String,
}

/// A stand-in as the program block describes it, with what the version is known to do.
pub(super) fn stand_in(name: &str, program: &Program) -> StandIn {
    // uvicorn up to 0.48 installs its handlers before the import and exits 1; from 0.50 on it imports first and
    // exits 3 (measured with 0.40 and 0.54).
    let modern = program.version.as_deref().and_then(minor).is_some_and(|minor| minor >= 50);
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
    let startup = program.startup.iter().flat_map(|entry| std::iter::repeat_n(entry.span, entry.times as usize)).collect();
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
            bind_before_startup: program.bind == Bind::BeforeStartup,
            exit_on_bind_error: program.exit_on_bind_error.unwrap_or(if modern { 3 } else { 1 }),
            sigterm,
            handlers_after: program.sigterm_ready_after.unwrap_or(Span::from_millis(150)),
            notice: program.shutdown.unwrap_or(Span::from_millis(100)),
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
    incident: &'a mut Incident,
    directory: String,
    variables: BTreeMap<String, String>,
    commands: u32,
    block_end: IncidentTime,
    played: Played,
}

/// Plays all blocks, or up to the first that fails.
pub(super) fn play(scenario: &Scenario, incident: &mut Incident, options: &Options) -> Result<Played, Fault> {
    let start = incident.now();
    let mut player = Player {
        scenario,
        incident,
        directory: scenario.settings.directory.clone().unwrap_or_else(|| "/home".to_owned()),
        variables: BTreeMap::new(),
        commands: 0,
        block_end: start,
        played: Played { claims: Vec::new(), failure: None, error: None, outputs: Vec::new(), console: String::new() },
    };
    player.blocks(options)?;
    Ok(player.played)
}

impl Player<'_> {
    fn blocks(&mut self, options: &Options) -> Result<(), Fault> {
        let mut phase = None;
        let mut quiet_since = None;
        for (index, step) in self.scenario.steps.iter().enumerate() {
            let inherited = index < self.scenario.inherited;
            if step.phase != phase {
                phase = step.phase;
                if let Some(title) = phase.and_then(|phase| self.scenario.phases.get(phase)) {
                    self.incident.event(EventKind::Phase { title: title.title.clone() });
                }
            }
            match &step.kind {
                StepKind::Program(block) => {
                    let new = stand_in(&block.name, &block.program);
                    let known = &mut self.incident.stand_ins;
                    match known.iter_mut().find(|stand_in| stand_in.role.name == block.name) {
                        // A later description of the same program goes on where the earlier one was.
                        Some(old) => *old = StandIn { starts: old.starts, ..new },
                        None => known.push(new),
                    }
                    for path in &block.program.path {
                        self.incident.layout.install(path)?;
                    }
                }
                StepKind::Unit(unit) => self.incident.layout.write(&unit.path(), unit.text().as_bytes())?,
                StepKind::File(file) => self.incident.write_file(&file.path, file.text())?,
                StepKind::Console(console) => {
                    let source = &step.location.source;
                    if !self.console(source, console, inherited, options)? {
                        return Ok(());
                    }
                    if !inherited {
                        quiet_since = Some(self.incident.timeline.events().len());
                    }
                }
                StepKind::Expect(expect) => {
                    if !self.expect(expect, inherited)? {
                        return Ok(());
                    }
                }
            }
            self.block_end = self.incident.now();
        }
        self.check_cycles(quiet_since);
        Ok(())
    }

    /// A non-fix shows that the loop goes on: at least three further starts after its last action.
    fn check_cycles(&mut self, since: Option<usize>) {
        let (Kind::NonFix, Some(since), Some(unit)) = (self.scenario.kind, since, &self.scenario.unit) else { return };
        let starts =
            self.incident.timeline.events().iter().skip(since).filter(|event| is_main_start(event, unit)).count();
        if starts < 3 {
            let last = self.scenario.steps.last().map_or(0..0, |step| step.location.span.clone());
            self.fail(
                Arc::clone(&self.scenario.source),
                Diagnostic::new(
                    last,
                    format!("a non-fix must show at least three further cycles after its last action, this one shows {starts}"),
                    "the scenario ends here",
                )
                .help("let the last block claim something over more cycles, such as `never … for 4 cycles`"),
                None,
                false,
            );
        }
    }

    fn fail(&mut self, source: Arc<Source>, diagnostic: Diagnostic, event: Option<usize>, inherited: bool) {
        self.played.failure.get_or_insert(Failure { source, diagnostic, event, inherited });
    }

    /// True if all commands did as written.
    fn console(
        &mut self,
        source: &Arc<Source>,
        console: &Console,
        inherited: bool,
        options: &Options,
    ) -> Result<bool, Fault> {
        let at = match console.when {
            When::Now => None,
            When::At(at) => Some(at),
            When::After(span) => Some(self.block_end + span),
        };
        if let Some(at) = at {
            let now = self.incident.now();
            if self.incident.clock.is_virtual()
                && let Some(error) = self.scenario.late(console, now)
            {
                self.played.error.get_or_insert(error);
                return Ok(false);
            }
            self.incident.run_until(at, |_| false)?;
        }
        for command in &console.commands {
            self.commands += 1;
            let line = command.location.line();
            self.incident.event(EventKind::Command { command: command.text.clone(), line });
            let budget = self.incident.now() + self.scenario.settings.budget;
            let number = self.commands;
            let outcome = self.incident.command(number, &command.text, &self.directory, &self.variables, budget)?;
            let Some(outcome) = outcome else {
                let diagnostic = Diagnostic::new(
                    command.location.span.clone(),
                    format!("the command did not end within {} of incident time", self.scenario.settings.budget),
                    "still running",
                )
                .help("put `timeout SPAN` before it, or raise `budget` in the header");
                self.fail(Arc::clone(source), diagnostic, None, inherited);
                return Ok(false);
            };
            self.incident.event(EventKind::CommandEnded {
                command: command.text.clone(),
                line,
                status: outcome.status,
            });
            self.played.console.push_str(&format!("$ {}\n{}", command.text, outcome.output));
            if options.update {
                self.played.outputs.push((Arc::clone(source), command.output_span.clone(), outcome.output.clone()));
            }
            if !self.compare(source, command, &outcome, inherited, options) {
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
        inherited: bool,
        options: &Options,
    ) -> bool {
        let place = command.location.span.clone();
        if outcome.status != command.status {
            let message = format!("the command returned {}, not {}", outcome.status, command.status);
            let diagnostic = Diagnostic::new(place, message, "this command").help(match outcome.output.trim_end() {
                "" => "it printed nothing".to_owned(),
                output => format!("it printed:\n{output}"),
            });
            self.fail(Arc::clone(source), diagnostic, None, inherited);
            return false;
        }
        match compare(&command.output, &outcome.output, &self.variables) {
            Ok(bindings) => {
                self.variables.extend(bindings);
                true
            }
            Err(_) if options.update => true,
            Err(mismatch) => {
                let diagnostic = Diagnostic::new(place, "the command printed something else", "this command")
                    .help(format!("what is written (-) and what came (+):\n{}", mismatch.diff));
                self.fail(Arc::clone(source), diagnostic, None, inherited);
                false
            }
        }
    }

    /// True if all claims of the block hold.
    fn expect(&mut self, expect: &Expect, inherited: bool) -> Result<bool, Fault> {
        let now = self.incident.now();
        let context = Context {
            unit: self.scenario.unit.clone().unwrap_or_default(),
            vars: self.variables.clone(),
            budget: self.scenario.settings.budget,
        };
        let mut monitor = match Monitor::begin(&expect.claims, context, &self.incident.timeline, now) {
            Ok(monitor) => monitor,
            Err(diagnostic) => {
                self.fail(Arc::clone(&expect.source), diagnostic, None, inherited);
                return Ok(false);
            }
        };
        while monitor.is_open() && !monitor.is_violated() {
            let Some(deadline) = monitor.next_deadline() else { break };
            let reached = self.incident.run_until(deadline, |incident| {
                monitor.follow(&incident.timeline);
                !monitor.is_open() || monitor.is_violated()
            })?;
            monitor.follow(&self.incident.timeline);
            if reached == Reached::Limit {
                let now = self.incident.now();
                monitor.advance(now);
            }
        }
        let violated = monitor.claims().iter().find(|judged| judged.verdict == ClaimVerdict::Violated);
        if let Some(judged) = violated {
            let claim = &judged.claim;
            let diagnostic =
                Diagnostic::new(claim.span.clone(), format!("violated: {}", claim.text), judged.reason.clone());
            let event = judged.evidence.last().copied();
            self.fail(Arc::clone(&expect.source), diagnostic, event, inherited);
        }
        let holds = !monitor.is_violated();
        let source = &expect.source;
        self.played
            .claims
            .extend(monitor.claims().iter().map(|judged| (Arc::clone(source), inherited, judged.clone())));
        Ok(holds)
    }
}

impl Incident {
    /// Writes a file of a scenario: a script meets the host's shell, so it is mapped.
    pub(super) fn write_file(&mut self, path: &str, text: &str) -> Result<(), Fault> {
        let text = if text.starts_with("#!") { self.layout.mapping.to_host(text) } else { text.to_owned() };
        Ok(self.layout.write(path, text.as_bytes())?)
    }
}

/// Whether lateness may explain what a wall clock has seen.
pub(super) fn is_inconclusive(kind: ClockKind, latest: Span) -> bool {
    // systemd's own timers are up to 250 ms late; what exceeds that is the machine's doing.
    kind != ClockKind::Virtual && latest > Span::from_millis(250)
}
