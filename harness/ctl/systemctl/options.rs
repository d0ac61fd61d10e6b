//! systemctl's command line (systemctl(1)).

use crate::ctl::Output;
use crate::ctl::getopt::{Getopt, Spec, Takes};
use crate::ctl::guess;
use crate::journal::Format;
use crate::manager::{JobMode, KillWhom};
use crate::unit::install::PresetMode;
use crate::unit::signal;

use super::dependencies::Direction;
use super::glyphs::Glyphs;

/// The command line, read.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) verb: String,
    pub(super) operands: Vec<String>,
    pub(super) types: Vec<String>,
    pub(super) states: Vec<String>,
    /// `None`: all of them.
    pub(super) properties: Option<Vec<String>>,
    pub(super) value_only: bool,
    pub(super) all: bool,
    pub(super) full: bool,
    pub(super) quiet: bool,
    pub(super) legend: bool,
    pub(super) plain: bool,
    pub(super) no_block: bool,
    /// Or a word that names none.
    pub(super) job_mode: Result<JobMode, String>,
    /// Of `--what=`.
    pub(super) what: Vec<String>,
    pub(super) no_reload: bool,
    pub(super) now: bool,
    pub(super) runtime: bool,
    pub(super) force: bool,
    pub(super) lines: usize,
    pub(super) format: Format,
    pub(super) kill_whom: String,
    pub(super) signal: i32,
    pub(super) show_types: bool,
    pub(super) after: bool,
    pub(super) before: bool,
    pub(super) direction: Direction,
    pub(super) preset_mode: PresetMode,
    pub(super) wait: bool,
    /// Those of the locale.
    pub(super) glyphs: Glyphs,
}

impl Options {
    /// Whom `kill` means, if the word is one that the manager knows.
    pub(super) fn whom(&self) -> Option<KillWhom> {
        match self.kill_whom.as_str() {
            "main" => Some(KillWhom::Main),
            "control" => Some(KillWhom::Control),
            "all" => Some(KillWhom::All),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opt {
    Help,
    Version,
    Ignored,
    Refused(&'static str),
    Type,
    State,
    Failed,
    Property,
    Value,
    All,
    Full,
    Quiet,
    NoLegend,
    Legend,
    Plain,
    NoBlock,
    NoReload,
    Now,
    Runtime,
    Force,
    Lines,
    Output,
    KillWhom,
    Signal,
    JobMode,
    Mode(JobMode),
    What,
    Timestamp,
    ShowTypes,
    Reverse,
    After,
    Before,
    PresetMode,
    Wait,
}

const NO_USER: &str = "there is no user manager in an incident, only the system's";
const ONE_MACHINE: &str = "there is one machine in an incident";
const NO_TREE: &str = "the incident's unit directories are the only ones";
const NOT_MODELLED: &str = "the embedded manager has nothing of the kind";
const WAIT: &str = "a command that waits for a unit to end again would wait for ever in a restart loop";

const SPECS: &[Spec<Opt>] = &[
    ("help", Some('h'), Takes::Nothing, Opt::Help),
    ("version", None, Takes::Nothing, Opt::Version),
    ("type", Some('t'), Takes::Value, Opt::Type),
    ("property", Some('p'), Takes::Value, Opt::Property),
    ("all", Some('a'), Takes::Nothing, Opt::All),
    ("reverse", None, Takes::Nothing, Opt::Reverse),
    ("after", None, Takes::Nothing, Opt::After),
    ("before", None, Takes::Nothing, Opt::Before),
    ("show-types", None, Takes::Nothing, Opt::ShowTypes),
    ("failed", None, Takes::Nothing, Opt::Failed),
    ("full", Some('l'), Takes::Nothing, Opt::Full),
    ("job-mode", None, Takes::Value, Opt::JobMode),
    ("fail", None, Takes::Nothing, Opt::Mode(JobMode::Fail)),
    ("irreversible", None, Takes::Nothing, Opt::Mode(JobMode::ReplaceIrreversibly)),
    ("ignore-dependencies", None, Takes::Nothing, Opt::Mode(JobMode::IgnoreDependencies)),
    ("ignore-inhibitors", Some('i'), Takes::Nothing, Opt::Ignored),
    ("check-inhibitors", None, Takes::Value, Opt::Ignored),
    ("value", None, Takes::Nothing, Opt::Value),
    ("user", None, Takes::Nothing, Opt::Refused(NO_USER)),
    ("system", None, Takes::Nothing, Opt::Ignored),
    ("global", None, Takes::Nothing, Opt::Refused(NO_USER)),
    ("wait", None, Takes::Nothing, Opt::Wait),
    ("no-block", None, Takes::Nothing, Opt::NoBlock),
    ("legend", None, Takes::Value, Opt::Legend),
    ("no-legend", None, Takes::Nothing, Opt::NoLegend),
    ("no-pager", None, Takes::Nothing, Opt::Ignored),
    ("no-wall", None, Takes::Nothing, Opt::Ignored),
    ("dry-run", None, Takes::Nothing, Opt::Refused(NOT_MODELLED)),
    ("quiet", Some('q'), Takes::Nothing, Opt::Quiet),
    ("no-warn", None, Takes::Nothing, Opt::Ignored),
    ("root", None, Takes::Value, Opt::Refused(NO_TREE)),
    ("image", None, Takes::Value, Opt::Refused(NO_TREE)),
    ("force", Some('f'), Takes::Nothing, Opt::Force),
    ("no-reload", None, Takes::Nothing, Opt::NoReload),
    ("kill-whom", None, Takes::Value, Opt::KillWhom),
    ("kill-value", None, Takes::Value, Opt::Refused(NOT_MODELLED)),
    ("signal", Some('s'), Takes::Value, Opt::Signal),
    ("no-ask-password", None, Takes::Nothing, Opt::Ignored),
    ("host", Some('H'), Takes::Value, Opt::Refused(ONE_MACHINE)),
    ("machine", Some('M'), Takes::Value, Opt::Refused(ONE_MACHINE)),
    ("runtime", None, Takes::Nothing, Opt::Runtime),
    ("lines", Some('n'), Takes::Value, Opt::Lines),
    ("output", Some('o'), Takes::Value, Opt::Output),
    ("plain", None, Takes::Nothing, Opt::Plain),
    ("state", None, Takes::Value, Opt::State),
    ("recursive", Some('r'), Takes::Nothing, Opt::Refused(ONE_MACHINE)),
    ("with-dependencies", None, Takes::Nothing, Opt::Refused(NOT_MODELLED)),
    ("preset-mode", None, Takes::Value, Opt::PresetMode),
    ("firmware-setup", None, Takes::Nothing, Opt::Refused(NOT_MODELLED)),
    ("boot-loader-menu", None, Takes::Value, Opt::Refused(NOT_MODELLED)),
    ("boot-loader-entry", None, Takes::Value, Opt::Refused(NOT_MODELLED)),
    ("now", None, Takes::Nothing, Opt::Now),
    ("message", None, Takes::Value, Opt::Ignored),
    ("show-transaction", Some('T'), Takes::Nothing, Opt::Refused(NOT_MODELLED)),
    ("what", None, Takes::Value, Opt::What),
    ("reboot-argument", None, Takes::Value, Opt::Refused(NOT_MODELLED)),
    ("timestamp", None, Takes::Value, Opt::Timestamp),
    ("read-only", None, Takes::Nothing, Opt::Refused(NOT_MODELLED)),
    ("mkdir", None, Takes::Nothing, Opt::Refused(NOT_MODELLED)),
    ("marked", None, Takes::Nothing, Opt::Refused(NOT_MODELLED)),
    ("drop-in", None, Takes::Value, Opt::Refused(NOT_MODELLED)),
    ("when", None, Takes::Value, Opt::Refused(NOT_MODELLED)),
    ("stdin", None, Takes::Nothing, Opt::Refused(NOT_MODELLED)),
];

/// Options that 252 does not have, and the version that brought them.
const LATER: &[(&str, u32)] = &[("no-warn", 253), ("drop-in", 253), ("when", 254), ("kill-value", 254), ("stdin", 256)];

/// `-P`, which has no long name of its own.
const VALUE_OF: Spec<Opt> = ("", Some('P'), Takes::Value, Opt::Property);

/// How many words a verb takes after itself: at least, at most.
type Arity = (usize, usize);

const ANY: usize = usize::MAX;

/// The verbs that are answered, and how many words they take.
const VERBS: &[(&str, Arity)] = &[
    ("list-units", (0, ANY)),
    ("list-unit-files", (0, ANY)),
    ("list-automounts", (0, ANY)),
    ("list-paths", (0, ANY)),
    ("list-sockets", (0, ANY)),
    ("list-timers", (0, ANY)),
    ("list-jobs", (0, ANY)),
    ("clear-jobs", (0, 0)),
    ("cancel", (0, ANY)),
    ("start", (1, ANY)),
    ("stop", (1, ANY)),
    ("condstop", (1, ANY)),
    ("reload", (1, ANY)),
    ("restart", (1, ANY)),
    ("try-restart", (1, ANY)),
    ("condrestart", (1, ANY)),
    ("reload-or-restart", (1, ANY)),
    ("reload-or-try-restart", (1, ANY)),
    ("try-reload-or-restart", (1, ANY)),
    ("force-reload", (1, ANY)),
    ("condreload", (1, ANY)),
    ("isolate", (1, 1)),
    ("kill", (1, ANY)),
    ("clean", (1, ANY)),
    ("is-active", (1, ANY)),
    ("check", (1, ANY)),
    ("is-failed", (1, ANY)),
    ("show", (0, ANY)),
    ("cat", (1, ANY)),
    ("status", (0, ANY)),
    ("daemon-reload", (0, 0)),
    ("daemon-reexec", (0, 0)),
    ("reboot", (0, 1)),
    ("reset-failed", (0, ANY)),
    ("enable", (1, ANY)),
    ("disable", (1, ANY)),
    ("is-enabled", (1, ANY)),
    ("reenable", (1, ANY)),
    ("preset", (1, ANY)),
    ("mask", (1, ANY)),
    ("unmask", (1, ANY)),
    ("list-dependencies", (0, ANY)),
    ("set-default", (1, 1)),
    ("get-default", (0, 0)),
    ("is-system-running", (0, 0)),
];

/// Verbs that systemctl has and we refuse, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("edit", "there is no editor here; write UNIT.d/override.conf below /etc/systemd/system and run daemon-reload"),
    ("help", "there are no manual pages here"),
    ("list-machines", ONE_MACHINE),
    ("freeze", NOT_MODELLED),
    ("thaw", NOT_MODELLED),
    ("log-level", NOT_MODELLED),
    ("log-target", NOT_MODELLED),
    ("service-log-level", NOT_MODELLED),
    ("service-log-target", NOT_MODELLED),
    ("service-watchdogs", NOT_MODELLED),
    ("show-environment", NOT_MODELLED),
    ("set-environment", NOT_MODELLED),
    ("unset-environment", NOT_MODELLED),
    ("import-environment", NOT_MODELLED),
    ("halt", "a machine that is off ends the incident; use reboot"),
    ("poweroff", "a machine that is off ends the incident; use reboot"),
    ("kexec", "use reboot"),
    ("soft-reboot", "use reboot"),
    ("suspend", NOT_MODELLED),
    ("hibernate", NOT_MODELLED),
    ("hybrid-sleep", NOT_MODELLED),
    ("suspend-then-hibernate", NOT_MODELLED),
    ("sleep", NOT_MODELLED),
    ("default", NOT_MODELLED),
    ("rescue", NOT_MODELLED),
    ("emergency", NOT_MODELLED),
    ("exit", NOT_MODELLED),
    ("preset-all", "the distribution's units have no files here; name the units"),
    ("link", NOT_MODELLED),
    ("revert", NOT_MODELLED),
    ("switch-root", NOT_MODELLED),
    ("set-property", "write a drop-in and run daemon-reload"),
    ("add-wants", NOT_MODELLED),
    ("add-requires", NOT_MODELLED),
    ("bind", NOT_MODELLED),
    ("mount-image", NOT_MODELLED),
    ("whoami", NOT_MODELLED),
];

/// All verbs that systemctl has, in its order: of two that are as close to what was typed, the first one is meant.
const ALL_VERBS: &str = "list-units list-unit-files list-automounts list-paths list-sockets list-timers list-jobs \
    list-machines clear-jobs cancel start stop condstop reload restart try-restart reload-or-restart \
    reload-or-try-restart try-reload-or-restart force-reload condreload condrestart isolate kill clean freeze thaw \
    is-active check is-failed show cat status help daemon-reload daemon-reexec log-level log-target service-log-level \
    service-log-target service-watchdogs show-environment set-environment unset-environment import-environment halt \
    poweroff reboot kexec soft-reboot sleep suspend hibernate hybrid-sleep suspend-then-hibernate default rescue \
    emergency exit reset-failed enable disable is-enabled reenable preset preset-all mask unmask link revert \
    switch-root list-dependencies set-default get-default set-property is-system-running add-wants add-requires edit \
    bind mount-image whoami";

/// Verbs that 252 does not have, and the version that brought them.
const LATER_VERBS: &[(&str, u32)] = &[("list-paths", 254), ("soft-reboot", 254), ("sleep", 256), ("whoami", 254)];

fn exists(verb: &str, version: u32) -> bool {
    !LATER_VERBS.iter().any(|(later, since)| *later == verb && version < *since)
}

const UNIT_TYPES: [&str; 11] =
    ["service", "mount", "swap", "socket", "target", "device", "automount", "timer", "path", "slice", "scope"];
const LOAD_STATES: [&str; 7] = ["stub", "loaded", "not-found", "bad-setting", "error", "merged", "masked"];

impl Options {
    /// Reads the command line; `Err` is the output of one that is answered without the manager.
    pub(super) fn parse(args: &[String], version: u32) -> Result<Self, Output> {
        let specs: Vec<Spec<Opt>> = SPECS
            .iter()
            .filter(|(long, ..)| !LATER.iter().any(|(later, since)| later == long && version < *since))
            .chain(std::iter::once(&VALUE_OF))
            .copied()
            .collect();
        let mut options = Self::none();
        let mut getopt = Getopt::new("systemctl", &specs, args);
        while let Some(next) = getopt.next() {
            let (opt, value) = next.map_err(Output::refuse)?;
            options.apply(opt, getopt.last, value.as_deref().unwrap_or_default(), version)?;
        }
        let mut operands = std::mem::take(&mut getopt.operands);
        options.verb = if operands.is_empty() { "list-units".to_owned() } else { operands.remove(0) };
        options.operands = operands;
        options.check_verb(version)?;
        Ok(options)
    }

    /// No verb and the defaults.
    pub(super) fn none() -> Self {
        Self {
            verb: String::new(),
            operands: Vec::new(),
            types: Vec::new(),
            states: Vec::new(),
            properties: None,
            value_only: false,
            all: false,
            full: false,
            quiet: false,
            legend: true,
            plain: false,
            no_block: false,
            job_mode: Ok(JobMode::Replace),
            what: Vec::new(),
            no_reload: false,
            now: false,
            runtime: false,
            force: false,
            lines: 10,
            format: Format::Short,
            kill_whom: "all".to_owned(),
            signal: 15,
            show_types: false,
            after: false,
            before: false,
            direction: Direction::Forward,
            preset_mode: PresetMode::Full,
            wait: false,
            glyphs: Glyphs { utf8: true },
        }
    }

    fn apply(&mut self, opt: Opt, name: &str, text: &str, version: u32) -> Result<(), Output> {
        let words = |text: &str| text.split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        match opt {
            Opt::Help => return Err(help()),
            Opt::Version => return Err(crate::ctl::version_output(version)),
            Opt::Ignored => {}
            Opt::Refused(reason) => {
                return Err(Output::refuse(format!("systemctl: --{name} is not supported: {reason}")));
            }
            Opt::Type if text.is_empty() => return Err(Output::refuse("--type= requires arguments.")),
            Opt::Type => {
                for word in words(text) {
                    if word == "help" {
                        return Err(listing("Available unit types:", &UNIT_TYPES));
                    } else if UNIT_TYPES.contains(&word.as_str()) {
                        self.types.push(word);
                    } else if LOAD_STATES.contains(&word.as_str()) {
                        self.states.push(word);
                    } else {
                        let mut output = Output::refuse(format!("Unknown unit type or load state '{word}'."));
                        output.complain("Use -t help to see a list of allowed values.");
                        return Err(output);
                    }
                }
            }
            Opt::State if text.is_empty() => return Err(Output::refuse("--state= requires arguments.")),
            Opt::State => self.states.extend(words(text)),
            Opt::Failed => self.states.push("failed".to_owned()),
            Opt::Property => {
                self.value_only |= name.is_empty();
                self.properties.get_or_insert_default().extend(words(text));
            }
            Opt::Value => self.value_only = true,
            Opt::All => self.all = true,
            Opt::Full => self.full = true,
            Opt::Quiet => {
                self.quiet = true;
                self.legend = false;
            }
            Opt::NoLegend => self.legend = false,
            Opt::Legend => {
                self.legend = match text {
                    "1" | "yes" | "y" | "true" | "t" | "on" => true,
                    "0" | "no" | "n" | "false" | "f" | "off" => false,
                    _ => return Err(Output::refuse(format!("Failed to parse boolean argument to --legend: {text}."))),
                }
            }
            Opt::Plain => self.plain = true,
            Opt::NoBlock => self.no_block = true,
            Opt::NoReload => self.no_reload = true,
            Opt::Now => self.now = true,
            Opt::Runtime => self.runtime = true,
            Opt::Force => self.force = true,
            Opt::Lines => {
                self.lines = text
                    .parse::<u32>()
                    .ok()
                    .and_then(|n| usize::try_from(n).ok())
                    .ok_or_else(|| Output::refuse(format!("Failed to parse lines '{text}'")))?;
            }
            Opt::Output if text == "help" => {
                return Err(listing("", &Format::ALL.iter().map(|f| f.as_str()).collect::<Vec<_>>()));
            }
            Opt::Output => {
                self.format = text.parse().map_err(|_| Output::refuse(format!("Unknown output '{text}'.")))?;
                if matches!(self.format, Format::Json | Format::JsonPretty | Format::JsonSse | Format::JsonSeq) {
                    self.legend = false;
                    self.plain = true;
                }
            }
            Opt::KillWhom => self.kill_whom = text.to_owned(),
            Opt::Signal if text == "help" => {
                let names: Vec<String> = (0..=64).map(signal::name).collect();
                return Err(listing("", &names.iter().map(String::as_str).collect::<Vec<_>>()));
            }
            Opt::Signal => {
                self.signal = signal::from_name(text)
                    .ok_or_else(|| Output::refuse(format!("Failed to parse signal string \"{text}\".")))?;
            }
            Opt::JobMode => {
                // It is the manager that knows the modes.
                self.job_mode = JobMode::from_word(text).ok_or_else(|| text.to_owned());
            }
            Opt::Mode(mode) => self.job_mode = Ok(mode),
            Opt::What if text.is_empty() => {
                let hint = if version >= 254 { " (see --what=help)" } else { "" };
                return Err(Output::refuse(format!("--what= requires arguments{hint}.")));
            }
            Opt::What if text == "help" => {
                let words = ["runtime", "state", "cache", "logs", "configuration"];
                let later: &[&str] = if version >= 254 { &["fdstore", "all"] } else { &[] };
                return Err(listing("", &[&words, later].concat()));
            }
            Opt::What => self.what.extend(text.split(',').filter(|word| !word.is_empty()).map(str::to_owned)),
            Opt::ShowTypes => self.show_types = true,
            Opt::Reverse => self.direction = Direction::Reverse,
            Opt::After => {
                self.direction = Direction::After;
                self.after = true;
            }
            Opt::Before => {
                self.direction = Direction::Before;
                self.before = true;
            }
            Opt::PresetMode if text == "help" => return Err(listing("", &["full", "enable-only", "disable-only"])),
            Opt::PresetMode => {
                self.preset_mode = PresetMode::from_name(text)
                    .ok_or_else(|| Output::refuse(format!("Failed to parse preset mode: {text}.")))?;
            }
            Opt::Wait => self.wait = true,
            Opt::Timestamp if matches!(text, "pretty" | "utc") => {}
            Opt::Timestamp => {
                return Err(Output::refuse(format!(
                    "systemctl: --timestamp={text} is not supported, expected pretty or utc"
                )));
            }
        }
        Ok(())
    }

    fn check_verb(&self, version: u32) -> Result<(), Output> {
        let verb = self.verb.as_str();
        if let Some((_, reason)) = REFUSED.iter().find(|(name, _)| *name == verb && exists(name, version)) {
            return Err(Output::refuse(format!("systemctl: {verb} is not supported: {reason}")));
        }
        let Some((_, (least, most))) = VERBS.iter().find(|(name, _)| *name == verb && exists(name, version)) else {
            return Err(Output::refuse(if version < 254 {
                format!("Unknown command verb {verb}.")
            } else {
                let all = ALL_VERBS.split_ascii_whitespace().filter(|name| exists(name, version));
                match guess::closest(all, verb) {
                    Some(meant) => format!("Unknown command verb '{verb}', did you mean '{meant}'?"),
                    None => format!("Unknown command verb '{verb}'."),
                }
            }));
        };
        if self.wait && verb != "is-system-running" {
            return Err(Output::refuse(format!("systemctl: --wait is not supported: {WAIT}")));
        }
        // From 254 on, is-failed without a unit asks about the system.
        let least = if verb == "is-failed" && version >= 254 { 0 } else { *least };
        match self.operands.len() {
            0 if verb == "reload-or-restart" => Err(Output::refuse("List of units to restart/reload is required.")),
            count if count < least => Err(Output::refuse("Too few arguments.")),
            count if count > *most => Err(Output::refuse("Too many arguments.")),
            _ => Ok(()),
        }
    }
}

fn listing(title: &str, words: &[&str]) -> Output {
    let mut output = Output::default();
    if !title.is_empty() {
        output.say(title);
    }
    for word in words {
        output.say(word);
    }
    output
}

fn help() -> Output {
    let mut output = Output::default();
    output.say("systemctl [OPTIONS...] COMMAND ...");
    output.say("");
    output.say("Asks and commands the incident's manager. Commands that are supported:");
    output.say("");
    for (verb, (least, most)) in VERBS {
        let operands = match (least, most) {
            (0, 0) => "",
            (0, _) => " [UNIT...]",
            _ => " UNIT...",
        };
        output.say(format!("  {verb}{operands}"));
    }
    output
}
