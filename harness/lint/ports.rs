//! Two owners for one port, as far as unit files show them.

use super::program::Command;
use super::rules;
use super::sheet::Sheet;
use crate::unit::{ListenKind, Unit, load, name};

/// Where a program of a unit listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let Some(line) = sheet.main_line() else { return };
    let Some(address) = address(&line.command) else { return };
    let spot = line.spot.clone();
    let what = line.command.known.map(|known| known.name).unwrap_or_default();
    let stem = name::stem(&sheet.unit.name).to_owned();
    let socket = load(sheet.all, &format!("{stem}.socket"), sheet.options.profile);
    if let Some(listens) = taken_by(&socket, &sheet.unit.name, address.port) {
        let message = format!(
            "{} listens on {listens} for this unit, and {what} binds port {} itself, which is therefore taken at every start",
            socket.name, address.port
        );
        let fix = (what == "uvicorn").then(|| "--fd 3".to_owned());
        sheet.found(&rules::SOCKET_PORT, spot.clone(), message, "the socket unit has it", fix);
    }
    let others = others(sheet, &address);
    if !others.is_empty() {
        let (named, more) = (others.iter().take(3).cloned().collect::<Vec<_>>(), others.len().saturating_sub(3));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!(
            "on port {} {}{more} would start a server, too: one of them gets the port, and the others fail at each start",
            address.port,
            named.join(", ")
        );
        let fix = Some(format!("[Unit]\nConflicts={}", named.join(" ")));
        sheet.found(&rules::TWO_UNITS, spot.clone(), message, "also the port of another unit", fix);
    }
}

fn taken_by(socket: &Unit, service: &str, port: u16) -> Option<String> {
    let listens = socket.socket.as_ref()?;
    let for_it = listens.service.as_deref().is_none_or(|name| name == service);
    if !for_it || listens.accept {
        return None;
    }
    let same = |address: &str| address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()) == Some(port);
    let streams = listens.listen.iter().filter(|listen| listen.kind == ListenKind::Stream);
    streams.map(|listen| listen.address.clone()).find(|address| same(address))
}

/// Where a server that is known listens, if its command line says so and it binds by itself.
fn address(command: &Command) -> Option<Address> {
    let known = command.known?;
    let (host_names, port_names, host, port): (&[&str], &[&str], _, _) = match known.name {
        "uvicorn" if command.option(&["--fd", "--uds"]).is_none() => (&["--host"], &["--port"], "127.0.0.1", 8000),
        "flask run" => (&["--host", "-h"], &["--port", "-p"], "127.0.0.1", 5000),
        "python -m http.server" => {
            let bound = command.option(&["--bind", "-b"]).unwrap_or("0.0.0.0");
            let port = command.program.iter().skip(1).find_map(|word| word.parse::<u16>().ok()).unwrap_or(8000);
            return Some(Address { host: bound.to_owned(), port });
        }
        _ => return None,
    };
    let port = match command.option(port_names) {
        Some(text) => text.parse::<u16>().ok()?,
        None => port,
    };
    Some(Address { host: command.option(host_names).unwrap_or(host).to_owned(), port })
}

/// Whether two servers cannot both have their addresses.
fn overlap(a: &Address, b: &Address) -> bool {
    let any = |host: &str, other: &str| host == "0.0.0.0" && !other.contains(':');
    a.port == b.port && (a.host == b.host || any(&a.host, &b.host) || any(&b.host, &a.host))
}

/// Other services that listen there, and are not kept from running at the same time.
fn others(sheet: &Sheet<'_>, address: &Address) -> Vec<String> {
    let names = sheet.options.together.iter().map(String::as_str).filter(|name| *name != sheet.unit.name);
    let same = |name: &&str| {
        let other = load(sheet.all, name, sheet.options.profile);
        if other.name == sheet.unit.name
            || other.conflicts.contains(&sheet.unit.name)
            || sheet.unit.conflicts.contains(&other.name)
        {
            return false;
        }
        let Some([command]) = other.service.as_ref().map(|service| service.exec_start.as_slice()) else { return false };
        super::ports::address(&Command::of(command.argv.clone())).is_some_and(|its| overlap(address, &its))
    };
    names.filter(same).map(str::to_owned).collect()
}
