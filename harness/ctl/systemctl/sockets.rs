//! `list-sockets`, and the lists of unit types of which this machine has none (systemctl(1)).

use crate::ctl::{Output, View, glob};
use crate::unit::name::{self, suffix};

use super::options::Options;
use super::properties::Properties;
use super::table::Table;

/// One address of a socket unit.
struct Address {
    listen: String,
    kind: String,
    unit: String,
    activates: Option<String>,
}

impl Address {
    /// Up to 252 in the order of the bytes; later what is no path comes first.
    fn rank(&self, version: u32) -> (bool, &str, &str, &str) {
        (version >= 254 && self.listen.starts_with('/'), &self.listen, &self.kind, &self.unit)
    }
}

/// The loaded units of a type that the options and patterns select.
fn units(suffix_wanted: &str, options: &Options, view: &dyn View) -> Vec<String> {
    let type_name = suffix_wanted.trim_start_matches('.');
    if !options.types.is_empty() && !options.types.iter().any(|wanted| wanted == type_name) {
        return Vec::new();
    }
    let mangled = |word: &String| {
        if name::is_glob(word) {
            return word.clone();
        }
        name::mangle(word, suffix_wanted).map_or_else(|_| word.clone(), |mangled| mangled.name)
    };
    let patterns: Vec<String> = options.operands.iter().map(mangled).collect();
    let fits = |unit: &String| {
        let properties = Properties::of(view, unit);
        let states = [properties.get("LoadState"), properties.get("ActiveState"), properties.get("SubState")];
        match options.states.as_slice() {
            [] => options.all || !matches!(properties.get("ActiveState"), "inactive" | "failed"),
            wanted => wanted.iter().any(|state| states.contains(&state.as_str())),
        }
    };
    let named = |unit: &String| patterns.is_empty() || patterns.iter().any(|pattern| glob::matches(pattern, unit));
    view.units().into_iter().filter(|unit| suffix(unit) == suffix_wanted && named(unit)).filter(fits).collect()
}

fn finish(table: Table, what: &str, output: &mut Output, options: &Options) {
    let count = table.len();
    table.print(output, options);
    if options.legend {
        output.say("");
        output.say(format!("{count} {what} listed."));
        if !options.all {
            output.say(format!("Pass --all to see loaded but inactive {what}, too."));
        }
    }
}

/// `list-sockets`.
pub(super) fn sockets(output: &mut Output, options: &Options, version: u32, view: &dyn View) {
    let mut addresses: Vec<Address> = Vec::new();
    for unit in units(".socket", options, view) {
        let properties = Properties::of(view, &unit);
        let activates = properties.words("Triggers").first().map(|&unit| unit.to_owned());
        for listen in properties.all("Listen") {
            let (listen, kind) = listen.rsplit_once(" (").unwrap_or((listen, ""));
            addresses.push(Address {
                listen: listen.to_owned(),
                kind: kind.trim_end_matches(')').to_owned(),
                unit: unit.clone(),
                activates: activates.clone(),
            });
        }
    }
    addresses.sort_by(|a, b| a.rank(version).cmp(&b.rank(version)));
    let mut table = Table::new(if options.show_types {
        vec!["LISTEN", "TYPE", "UNIT", "ACTIVATES"]
    } else {
        vec!["LISTEN", "UNIT", "ACTIVATES"]
    });
    for Address { listen, kind, unit, activates } in addresses {
        let kind = options.show_types.then_some(Some(kind));
        table.push(std::iter::once(Some(listen)).chain(kind).chain([Some(unit), activates]).collect());
    }
    finish(table, "sockets", output, options);
}

/// `list-timers`, `list-paths` and `list-automounts`: what the manager does not run it does not list. `Err` is a unit
/// of the type that is loaded all the same.
pub(super) fn none_of(verb: &str, output: &mut Output, options: &Options, view: &dyn View) -> Result<(), String> {
    let (suffix, what, head) = match verb {
        "list-timers" => (".timer", "timers", vec!["NEXT", "LEFT", "LAST", "PASSED", "UNIT", "ACTIVATES"]),
        "list-paths" => (".path", "paths", vec!["PATH", "CONDITION", "UNIT", "ACTIVATES"]),
        _ => (".automount", "automounts", vec!["WHAT", "WHERE", "MOUNTED", "IDLE TIMEOUT", "UNIT"]),
    };
    match units(suffix, options, view).into_iter().next() {
        Some(unit) => Err(unit),
        None => {
            finish(Table::new(head), what, output, options);
            Ok(())
        }
    }
}
