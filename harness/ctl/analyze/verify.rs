//! `systemd-analyze verify`.

use std::collections::{BTreeSet, HashSet};

use super::desk::{Desk, Said};
use super::{Output, Shelf, USAGE};
use crate::manager::RequestErrorKind;
use crate::unit::name::{self, NameKind};
use crate::unit::{ExecCommand, LoadState, Profile, Unit, UnitType};

/// Whether a program (an absolute path, or a name to be searched) can be executed; else errno's text why not.
pub type Programs<'a> = &'a dyn Fn(&str) -> Result<(), &'static str>;

/// Whose warnings make the verification fail (systemd-analyze(1), `--recursive-errors=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recursive {
    /// Those of the units that were named; nothing else is looked at.
    No,
    /// The same, after everything that they refer to was loaded.
    One,
    /// Those of every unit that was loaded.
    Yes,
}

/// The instance that a template is verified with.
const INSTANCE: &str = "i";

pub(super) fn verify(
    shelf: &Shelf,
    units: &[String],
    recursive: Option<Recursive>,
    programs: Option<Programs<'_>>,
) -> Output {
    let mut output = Output::default();
    let mut desk = Desk::new(shelf);
    let mut warned: HashSet<String> = HashSet::new();
    let mut before: HashSet<(String, String)> = HashSet::new();
    let mut names = Vec::new();
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for asked in units {
        let Some(asked) = instance_of(asked) else {
            output.complain(format!("Failed to prepare filename {asked}: Invalid argument"));
            output.code = USAGE;
            continue;
        };
        let said = desk.load(&asked);
        let id = desk.property(&asked, "Id");
        for Said { unit, priority, text, about_line } in said {
            if recursive == Some(Recursive::No) && unit != id {
                continue;
            }
            if about_line && priority <= 4 {
                warned.insert(unit.clone());
            }
            output.complain(&text);
            before.insert((unit, text));
        }
        missing.extend(desk.missing());
        let unit = crate::unit::load(&shelf.files, &asked, shelf.profile);
        if unit.load_state == LoadState::Loaded {
            names.push((asked, unit));
        } else {
            output.complain(unit.load_error.as_deref().unwrap_or("The unit cannot be loaded."));
            output.code = output.code.max(1);
        }
    }
    // What may exist elsewhere is taken for granted.
    let mut files = shelf.files.clone();
    if !shelf.complete {
        for name in &missing {
            files.insert(format!("/usr/lib/systemd/system/{name}"), stand_in(name));
        }
    }
    let mut failed = false;
    for (asked, unit) in &names {
        if recursive != Some(Recursive::No) {
            let (said, refused) = Desk::with_files(shelf, &files).start(asked);
            for said in said {
                // To ask for a start is to load everything again.
                if said.priority <= 5 && !before.contains(&(said.unit, said.text.clone())) {
                    output.complain(said.text);
                }
            }
            // Nobody asks by hand here.
            if let Some(error) = refused.filter(|error| error.kind != RequestErrorKind::OnlyByDependency) {
                if let Some(what) = transaction_error(&error.message) {
                    output.complain(format!("Requested transaction contains {what}: {}", error.message));
                }
                output.complain(format!("{0}: Failed to create {0}/start: {1}", unit.name, error.message));
                failed = true;
            }
        }
        failed |= !socket(&mut output, shelf, unit);
        for command in commands(unit, shelf.profile).into_iter().filter(|command| !command.ignore_failure) {
            if let Some(Err(errno)) = programs.map(|find| find(&command.path)) {
                output.complain(format!("{}: Command {} is not executable: {errno}", unit.name, command.path));
                failed = true;
            }
        }
    }
    let guilty = match recursive {
        None => false,
        Some(Recursive::Yes | Recursive::No) => !warned.is_empty(),
        Some(Recursive::One) => names.iter().any(|(asked, _)| warned.contains(asked)),
    };
    if failed || guilty {
        output.code = output.code.max(1);
    }
    output
}

/// The name with which a unit is loaded; `None` if it is no unit's.
fn instance_of(asked: &str) -> Option<String> {
    match name::kind(asked)? {
        NameKind::Template => name::with_instance(asked, INSTANCE),
        NameKind::Plain | NameKind::Instance => Some(asked.to_owned()),
    }
}

/// What the manager says of a transaction that it cannot build, before it says so to its client.
fn transaction_error(message: &str) -> Option<&'static str> {
    if message.starts_with("Transaction order is cyclic") {
        Some("an unfixable cyclic ordering dependency")
    } else if message.starts_with("Transaction contains conflicting jobs") {
        Some("unmergeable jobs")
    } else {
        None
    }
}

/// A unit of this name that nothing is wrong with.
fn stand_in(name: &str) -> &'static str {
    match UnitType::of(name) {
        Some(UnitType::Service) => "[Service]\nExecStart=/bin/true\n",
        Some(UnitType::Socket) => "[Socket]\nListenStream=/run/stand-in\n",
        _ => "[Unit]\n",
    }
}

/// Whether the service that a socket is for can be loaded.
fn socket(output: &mut Output, shelf: &Shelf, unit: &Unit) -> bool {
    let Some(socket) = &unit.socket else { return true };
    let service = match &socket.service {
        Some(service) => service.clone(),
        None if socket.accept => format!("{}@internal.service", name::stem(&unit.name)),
        None => format!("{}.service", name::stem(&unit.name)),
    };
    let other = crate::unit::load(&shelf.files, &service, shelf.profile);
    if other.load_state == LoadState::Loaded || (other.load_state == LoadState::NotFound && !shelf.complete) {
        return true;
    }
    output.complain(format!("{}: service {service} not loaded, socket cannot be started.", unit.name));
    false
}

/// The commands whose programs are looked for: the first of each list, all of them since 256.
fn commands(unit: &Unit, profile: Profile) -> Vec<&ExecCommand> {
    let most = if profile >= Profile::V257 { usize::MAX } else { 1 };
    unit.service.iter().flat_map(super::exec::lists).flat_map(|(_, list)| list.iter().take(most)).collect()
}
