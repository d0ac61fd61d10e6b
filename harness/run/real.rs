//! Real programs in the place of stand-ins: `--real NAME=PATH`.
//!
//! The real program is executed by the incident's path, so that it is called as the incident's was. The application that
//! it serves is the run's own: it speaks the control protocol, asks what it is to be, and says what it and its server do, as
//! a stand-in does.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::incident::Incident;
use super::layout::Layout;
use super::{ClockKind, Fault, ManagerKind, Options};
use crate::control::Note;
use crate::scenario::{Scenario, StepKind};

/// What the real server serves.
const APPLICATION: &str = include_str!("../../fixtures/uvicorn/app/main.py");

/// The word after which a command line names the application, `MODULE:NAME`.
const SERVER: &str = "uvicorn";

/// Whether the clock is one that real programs can live with.
///
/// # Errors
///
/// [`Fault::RealTime`] if it is not the wall's; [`Fault::RealOnSystemd`].
pub(super) fn check(options: &Options) -> Result<(), Fault> {
    let Some(program) = options.real.keys().next() else { return Ok(()) };
    if options.manager == ManagerKind::Systemd {
        return Err(Fault::RealOnSystemd { program: program.clone() });
    }
    let why = match options.clock {
        ClockKind::Real | ClockKind::Scaled(1) => return Ok(()),
        ClockKind::Virtual => "it sleeps on timers of its own, which lock-step cannot move",
        ClockKind::Scaled(_) => "what takes it a second would be taken for many",
    };
    Err(Fault::RealTime { program: program.clone(), clock: options.clock, why })
}

/// Puts the real programs where the scenario has its stand-ins, and the application where they look for it.
pub(super) fn install(scenario: &Scenario, incident: &mut Incident, options: &Options) -> Result<(), Fault> {
    for block in scenario.programs() {
        let Some(file) = options.real.get(&block.name) else { continue };
        for path in &block.program.path {
            incident.layout.install_real(path, file)?;
        }
        incident.real.insert(block.name.clone());
    }
    if incident.real.is_empty() {
        return Ok(());
    }
    let brought: BTreeSet<&str> = scenario.files().map(|file| file.path.as_str()).collect();
    for module in modules(scenario) {
        let file = format!("{}.py", module.replace('.', "/"));
        for directory in scenario.directories() {
            let path = format!("{}/{file}", directory.trim_end_matches('/'));
            if !brought.contains(path.as_str()) && incident.layout.is_own(&path) {
                incident.layout.write(&path, APPLICATION.as_bytes())?;
            }
        }
    }
    Ok(())
}

/// The Python modules that command lines of the scenario have served.
fn modules(scenario: &Scenario) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut scan = |text: &str| {
        let words: Vec<&str> = text.split_ascii_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        let named = words.windows(2).filter(|pair| pair[0].rsplit('/').next() == Some(SERVER));
        found.extend(named.filter_map(|pair| module(pair[1])).map(str::to_owned));
    };
    for step in &scenario.steps {
        match &step.kind {
            StepKind::Unit(unit) => scan(unit.text()),
            StepKind::File(file) => scan(file.text()),
            StepKind::Console(console) => console.commands.iter().for_each(|command| scan(&command.text)),
            StepKind::Expect(_) | StepKind::Program(_) => {}
        }
    }
    found
}

/// The module of `MODULE:NAME`, if the word is that.
fn module(word: &str) -> Option<&str> {
    let (module, name) = word.split_once(':')?;
    let is_name = |part: &str| {
        !part.starts_with(|c: char| c.is_ascii_digit())
            && !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    (module.split('.').all(is_name) && name.split('.').all(is_name)).then_some(module)
}

impl Layout {
    /// Makes a path of the incident the real program.
    fn install_real(&self, path: &str, file: &Path) -> io::Result<()> {
        let target = |file: &Path| file.to_string_lossy().into_owned();
        self.symlink(path, &target(file))?;
        // Python looks for its environment beside the name that it is called by, before it follows any link.
        let environment = file.parent().and_then(Path::parent).filter(|top| top.join("pyvenv.cfg").is_file());
        let place = path.rsplit_once('/').and_then(|(bin, _)| Some(bin.rsplit_once('/')?.0));
        if let (Some(environment), Some(place)) = (environment, place) {
            for part in ["pyvenv.cfg", "lib", "lib64"] {
                if environment.join(part).exists() {
                    self.symlink(&format!("{place}/{part}"), &target(&environment.join(part)))?;
                }
            }
        }
        Ok(())
    }
}

/// `--host` and `--port` of a command line.
fn asked(argv: &[String]) -> (String, u16) {
    let value = |key: &str| {
        argv.iter().enumerate().find_map(|(index, arg)| match arg.strip_prefix(key)? {
            "" => argv.get(index + 1).map(String::as_str),
            rest => rest.strip_prefix('='),
        })
    };
    let port = value("--port").and_then(|port| port.parse().ok()).unwrap_or(8000);
    (value("--host").unwrap_or("127.0.0.1").to_owned(), port)
}

/// What a line of a real server without an application says: one that binds before it imports says nothing else about its
/// port (`Config.bind_socket` of uvicorn's `config.py`).
pub(super) fn refused(argv: &[String], line: &str) -> Option<Note> {
    let (number, _) = line.strip_prefix("ERROR:")?.trim_start().strip_prefix("[Errno ")?.split_once("] ")?;
    let errno = Errno::from_raw(number.parse().ok()?);
    let (address, port) = asked(argv);
    Some(Note::Refused { address, port, errno: format!("{errno:?}") })
}

impl Incident {
    /// Whether a command line is one of a real program.
    pub(super) fn is_real(&self, argv: &[String]) -> bool {
        !self.real.is_empty()
            && self.stand_ins.iter().any(|known| self.real.contains(&known.role.name) && known.is_meant(argv))
    }
}
