//! What must be true of a scenario as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::console::{Command, Console, When};
use super::error::Error;
use super::fence::is_clean_path;
use super::output::names;
use super::shell::{Scan, Target, scan};
use super::{Kind, Scenario, Step, StepKind};
use crate::expect::{Claim, ClaimKind, Diagnostic, Source, Window};
use crate::mapping::is_below;
use crate::time::{IncidentTime, Span};
use crate::timeline::brief;

/// How many periods (or cycles) of the loop an absence must outlast to mean anything.
const PERIODS: u32 = 3;

/// Incident paths that are always the run's own.
const OWN: &[&str] = &["/etc/systemd", "/run/systemd", "/var/log", "/home"];

/// Top-level directories of which the run owns only the files that a scenario names.
const SHARED: &[&str] = &[
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin", "sys", "tmp", "usr",
    "var",
];

/// What a command may always write to.
const SINKS: &[&str] = &["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"];

/// Names that the shell or its environment sets.
const ENVIRONMENT: &[&str] = &[
    "HOME", "PATH", "PWD", "OLDPWD", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TERM", "TMPDIR", "HOSTNAME", "UID",
    "EUID", "PPID", "IFS", "OPTARG", "OPTIND", "RANDOM", "SECONDS", "LINENO", "MAINPID", "EDITOR",
];

type Found = std::result::Result<(), Error>;

/// The paths that a unit listens on, and those of links to them.
fn socket_paths(unit: &str) -> impl Iterator<Item = String> {
    const KEYS: [&str; 5] = ["ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "Symlinks"];
    let values = unit.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        KEYS.contains(&key.trim()).then_some(value)
    });
    let paths = values.flat_map(str::split_whitespace);
    paths.filter(|path| path.starts_with('/') && is_clean_path(path)).map(str::to_owned)
}

impl Scenario {
    /// The incident paths that lie in the run's own part of the file system: some always do, the others are the
    /// top-level directories of the scenario's files and programs. In directories that the host needs, such as
    /// `/usr`, it is the files alone.
    pub fn own_paths(&self) -> Vec<String> {
        let mut own: Vec<String> = OWN.iter().map(|path| (*path).to_owned()).collect();
        let programs = self.programs().flat_map(|block| block.program.path.iter().chain(&block.program.log_file));
        let files = self.files().map(|file| &file.path);
        let pid_files = self.pid_files();
        let sockets: Vec<String> = self.units().flat_map(|unit| socket_paths(unit.text())).collect();
        for path in programs.chain(files).chain(&self.settings.directory).chain(&pid_files).chain(&sockets) {
            let top = path.trim_start_matches('/').split('/').next().unwrap_or_default();
            let path = if SHARED.contains(&top) { path.clone() } else { format!("/{top}") };
            if !own.iter().any(|own| is_below(&path, own)) {
                own.push(path);
            }
        }
        own
    }

    /// The PID files of the scenario's units. Without a directory they are in `/run` (systemd.service(5), `PIDFile=`).
    pub fn pid_files(&self) -> Vec<String> {
        let lines = self.units().flat_map(|unit| unit.text().lines());
        lines
            .filter_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "PIDFile"))
            .map(|(_, path)| path.trim())
            // What a specifier stands for is not known before the unit is loaded.
            .filter(|path| !path.is_empty() && !path.contains('%'))
            .map(|path| if path.starts_with('/') { path.to_owned() } else { format!("/run/{path}") })
            .collect()
    }

    /// Checks that every `never … for D` outlasts three periods of the loop, now that the period is known.
    ///
    /// # Errors
    ///
    /// The first that does not: it would hold of a loop that goes on.
    pub fn check_absence(&self, period: Span) -> Result<(), Error> {
        let least = period.saturating_mul(u64::from(PERIODS));
        for (source, claim) in self.claims() {
            if let ClaimKind::Never { window: Some(Window::For(span)), .. } = &claim.kind
                && *span < least
            {
                let diagnostic = Diagnostic::new(
                    claim.span.clone(),
                    format!(
                        "an absence of {} proves nothing about a loop with a period of {}",
                        brief(*span),
                        brief(period)
                    ),
                    format!("expected `for {}` or longer: three periods", brief(least)),
                );
                return Err(Error::new(source, diagnostic));
            }
        }
        Ok(())
    }

    /// Checks that commands and scripts write into the run's own directories only, as far as can be seen. In a machine of
    /// its own a run may write wherever it likes.
    ///
    /// # Errors
    ///
    /// The first that does not.
    pub fn check_writes(&self) -> Result<(), Error> {
        let scans: Vec<Scan> = self.commands().map(|command| scan(&command.text)).collect();
        writes(self, &scans)
    }

    /// The error of a console block whose `at=` has passed when the run reaches it.
    pub fn late(&self, console: &Console, now: IncidentTime) -> Option<Error> {
        let (When::At(at), Some(place)) = (console.when, &console.when_at) else { return None };
        (at < now).then(|| {
            let diagnostic = Diagnostic::new(
                place.span.clone(),
                format!("it is {now} when the run comes here"),
                "this time has passed",
            )
            .help("the blocks before it take that long; give it a later time, or `after=SPAN`");
            Error::new(&place.source, diagnostic)
        })
    }

    /// All claims with the texts they stand in.
    fn claims(&self) -> impl Iterator<Item = (&Arc<Source>, &Claim)> {
        self.expects().flat_map(|expect| expect.claims.iter().map(|claim| (&expect.source, claim)))
    }

    /// All that is typed, the extended scenarios first.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.consoles().flat_map(|console| &console.commands)
    }

    /// The blocks of this document alone.
    fn own_steps(&self) -> &[Step] {
        self.steps.get(self.inherited..).unwrap_or_default()
    }
}

/// Checks a scenario with all it extends.
pub(super) fn check(scenario: &Scenario) -> Found {
    let scans: Vec<Scan> = scenario.commands().map(|command| scan(&command.text)).collect();
    programs(scenario)?;
    claims(scenario)?;
    windows(scenario)?;
    times(scenario)?;
    bound_names(scenario, &scans)
}

/// Programs that can be installed and run.
fn programs(scenario: &Scenario) -> Found {
    for block in scenario.programs() {
        let wrong = |key: &str, message: String, label: &str| {
            // The key's line, if it has one; else the beginning of the block.
            let text = block.location.text();
            let start = block.location.span.start;
            let mut at = start;
            let span = text
                .split_inclusive('\n')
                .find_map(|line| {
                    let found = line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
                    let span = at..at + line.trim_end().len();
                    at += line.len();
                    found.then_some(span)
                })
                .unwrap_or(start..start);
            Error::new(&block.location.source, Diagnostic::new(span, message, label))
        };
        let program = &block.program;
        if program.path.is_empty() {
            let message = format!("the program `{}` is installed nowhere", block.name);
            return Err(wrong("path", message, "expected `path = \"/…\"`"));
        }
        let paths = program.path.iter().map(|path| ("path", path));
        for (key, path) in paths.chain(program.log_file.iter().map(|path| ("log-file", path))) {
            if !is_clean_path(path) {
                let message = format!("`{path}` is not the absolute path of a file");
                return Err(wrong(key, message, "expected a path from `/` on, without `.` and `..`"));
            }
        }
        if let Some(path) = program.answers.keys().find(|path| !path.starts_with('/')) {
            return Err(wrong("answers", format!("`{path}` is not a path"), "expected paths from `/` on"));
        }
        if program.startup_cpu.is_some_and(|percent| percent > 100) {
            let message = "a program cannot use more than a whole processor".into();
            return Err(wrong("startup-cpu", message, "expected 0 to 100"));
        }
    }
    Ok(())
}

/// A scenario claims something, and of units that there are.
fn claims(scenario: &Scenario) -> Found {
    if !scenario.own_steps().iter().any(|step| matches!(step.kind, StepKind::Expect(_))) {
        let end = scenario.source.text().trim_end().len();
        let diagnostic = Diagnostic::new(end..end, "a scenario that claims nothing", "expected an `expect` block")
            .help("a scenario without claims cannot fail");
        return Err(Error::new(&scenario.source, diagnostic));
    }
    let known: BTreeSet<&str> = scenario.units().map(|unit| unit.unit()).collect();
    for (source, claim) in scenario.claims() {
        if scenario.unit.is_none() && claim.speaks_of_default_unit() {
            let diagnostic = Diagnostic::new(claim.span.clone(), "the claim is about a unit", "no block has a unit")
                .help("add an ```ini unit=NAME.service block");
            return Err(Error::new(source, diagnostic));
        }
        // A unit that a command or a file mentions may be made by it.
        let is_mentioned = |name: &str| {
            scenario.commands().any(|command| command.text.contains(name))
                || scenario.files().any(|file| file.path.contains(name) || file.text().contains(name))
        };
        if let Some(name) = claim.units().into_iter().find(|name| !known.contains(name) && !is_mentioned(name)) {
            let known: Vec<&str> = known.iter().copied().collect();
            let diagnostic = Diagnostic::new(
                claim.span.clone(),
                format!("there is no unit `{name}`"),
                match known[..] {
                    [] => "no block has a unit".to_owned(),
                    _ => format!("expected `unit` or one of {}", known.join(", ")),
                },
            );
            return Err(Error::new(source, diagnostic));
        }
    }
    Ok(())
}

/// Absences that are long enough as far as that can be known here; a fix that ends with one.
fn windows(scenario: &Scenario) -> Found {
    for (source, claim) in scenario.claims() {
        if let ClaimKind::Never { window: Some(Window::Cycles(cycles)), .. } = &claim.kind
            && *cycles < PERIODS
        {
            let diagnostic = Diagnostic::new(
                claim.span.clone(),
                format!("an absence of {cycles} cycles proves nothing"),
                format!("expected `for {PERIODS} cycles` or more"),
            );
            return Err(Error::new(source, diagnostic));
        }
    }
    let last = scenario.own_steps().iter().rev().find_map(|step| match &step.kind {
        StepKind::Expect(expect) => Some((step, expect)),
        _ => None,
    });
    if let (Kind::Fix, Some((step, expect))) = (scenario.kind, last) {
        let is_bounded_never = |claim: &Claim| matches!(&claim.kind, ClaimKind::Never { window: Some(_), .. });
        if !expect.claims.iter().any(is_bounded_never) {
            let diagnostic = Diagnostic::new(
                step.location.first_line(),
                "the fix does not show that the loop has stopped",
                "expected a `never … for SPAN` in its last block",
            )
            .help("for example `never restart scheduled for 5min`");
            return Err(Error::new(&step.location.source, diagnostic));
        }
    }
    Ok(())
}

/// Times do not go back.
fn times(scenario: &Scenario) -> Found {
    let mut now = scenario.settings.clock;
    let mut before: Option<&Console> = None;
    for console in scenario.consoles() {
        match console.when {
            When::Now => {}
            When::After(span) => now += span,
            When::At(at) if at >= now => now = at,
            When::At(at) => {
                let Some(place) = &console.when_at else { continue };
                let mut diagnostic = Diagnostic::new(
                    place.span.clone(),
                    format!("time goes back to {at}"),
                    format!("expected {now} or later"),
                );
                match before.and_then(|before| before.when_at.as_ref()) {
                    Some(earlier) if Arc::ptr_eq(&earlier.source, &place.source) => {
                        diagnostic = diagnostic.related(earlier.span.clone(), "the last time before it");
                    }
                    Some(earlier) => {
                        diagnostic = diagnostic.help(format!("the last time before it stands in {earlier}"))
                    }
                    None => diagnostic = diagnostic.help("the scenario's `clock` is where it begins"),
                }
                return Err(Error::new(&place.source, diagnostic));
            }
        }
        if console.when != When::Now {
            before = Some(console);
        }
    }
    Ok(())
}

/// Every `[NAME]` is bound before it is used, and used after it is bound.
fn bound_names(scenario: &Scenario, scans: &[Scan]) -> Found {
    /// Where a name is bound, and whether it is used after that.
    struct Bound<'a> {
        source: &'a Arc<Source>,
        span: std::ops::Range<usize>,
        is_used: bool,
    }
    let mut bound: BTreeMap<String, Bound<'_>> = BTreeMap::new();
    let mut scans = scans.iter();
    let mut assigned: BTreeSet<&str> = BTreeSet::new();
    for step in &scenario.steps {
        match &step.kind {
            StepKind::Console(console) => {
                for command in &console.commands {
                    let Some(scan) = scans.next() else { continue };
                    assigned.extend(scan.assigned.iter().map(String::as_str));
                    for (name, _) in &scan.names {
                        match bound.get_mut(name) {
                            Some(bound) => bound.is_used = true,
                            None if assigned.contains(name.as_str()) || ENVIRONMENT.contains(&name.as_str()) => {}
                            None => return Err(never_bound(command, name, &bound.keys().cloned().collect::<Vec<_>>())),
                        }
                    }
                    for line in &command.output {
                        for (name, at) in names(&line.text) {
                            let span = line.span.start + at.start..line.span.start + at.end;
                            bound.entry(name).and_modify(|bound| bound.is_used = true).or_insert(Bound {
                                source: &command.location.source,
                                span,
                                is_used: false,
                            });
                        }
                    }
                }
            }
            StepKind::Expect(expect) => {
                for var in expect.claims.iter().flat_map(Claim::vars) {
                    let Some(bound) = bound.get_mut(&var.name) else {
                        let diagnostic = Diagnostic::new(
                            var.span.clone(),
                            format!("`[{}]` is not bound", var.name),
                            "no console output above has it",
                        )
                        .help("a `[NAME]` is bound where it first stands in the output of a `console` block");
                        return Err(Error::new(&expect.source, diagnostic));
                    };
                    bound.is_used = true;
                }
            }
            _ => {}
        }
    }
    match bound.iter().find(|(_, bound)| !bound.is_used) {
        None => Ok(()),
        Some((name, bound)) => {
            let diagnostic =
                Diagnostic::new(bound.span.clone(), format!("`[{name}]` is never used"), "it is bound here").help(
                    format!("use it as `${name}` in a command or `[{name}]` in a claim, or write `[..]` for any text"),
                );
            Err(Error::new(bound.source, diagnostic))
        }
    }
}

fn never_bound(command: &Command, name: &str, known: &[String]) -> Error {
    // The command's text is the document's without the prompts of continuation lines; look for the name itself.
    let text = command.location.text();
    let at = [format!("${name}"), format!("${{{name}")]
        .iter()
        .find_map(|needle| text.find(needle.as_str()).map(|at| at..at + needle.len()))
        .unwrap_or(0..text.len());
    let span = command.location.span.start + at.start..command.location.span.start + at.end;
    let diagnostic = Diagnostic::new(span, format!("`${name}` is never bound"), "no output above has it in brackets");
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let diagnostic = match crate::expect::nearest(name, &known) {
        Some(near) => diagnostic.help(format!("did you mean `${near}`?")),
        None => {
            diagnostic.help(format!("write `[{name}]` in the output of a command before it, or assign it in the shell"))
        }
    };
    Error::new(&command.location.source, diagnostic)
}

/// Commands and scripts write into the run's own directories only.
fn writes(scenario: &Scenario, scans: &[Scan]) -> Found {
    let own = scenario.own_paths();
    for (command, scan) in scenario.commands().zip(scans) {
        if let Some(target) = scan.targets.iter().find(|target| is_foreign(target, &own)) {
            let text = command.location.text();
            let at = text.find(target.path.as_str()).map_or(0..text.len(), |at| at..at + target.path.len());
            let start = command.location.span.start;
            return Err(foreign(&command.location.source, start + at.start..start + at.end, target, &own));
        }
    }
    for file in scenario.files().filter(|file| file.is_shell) {
        if let Some(target) = scan(file.text()).targets.iter().find(|target| is_foreign(target, &own)) {
            let start = file.location.span.start;
            let span = start + target.span.start..start + target.span.end;
            return Err(foreign(&file.location.source, span, target, &own));
        }
    }
    Ok(())
}

fn foreign(source: &Arc<Source>, span: std::ops::Range<usize>, target: &Target, own: &[String]) -> Error {
    let diagnostic = Diagnostic::new(
        span,
        format!("this would write to `{}` on the host", target.path),
        "not in the run's own directories",
    )
    .help(format!("a scenario may write below {}, and to /dev/null; with --isolate anywhere", own.join(", ")));
    Error::new(source, diagnostic)
}

/// Whether a target is known to lie outside of the run's own directories.
fn is_foreign(target: &Target, own: &[String]) -> bool {
    if !target.path.starts_with('/') {
        return false;
    }
    // What follows a substitution is not known; what stands before it must be enough.
    let path = resolve(&target.path);
    let is_sink = target.is_whole && (SINKS.contains(&path.as_str()) || path.starts_with("/dev/fd/"));
    !is_sink && !own.iter().any(|own| is_below(&path, own))
}

/// The path without `.`, `..` and doubled slashes.
fn resolve(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
