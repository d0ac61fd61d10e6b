//! What systemd and its journal say, asked once each: whoever asks systemd wakes it, and it does then what was due.

use std::collections::BTreeSet;
use std::path::Path;

use super::ask::{Answer, account, ask};
use crate::diagnose::{Facts, PROPERTIES, Service, SocketUnit, Units, Unseen, digest, parse_show};
use crate::journal::Record;

/// Fields of the journal that are looked at.
const FIELDS: &str = "--output-fields=MESSAGE,MESSAGE_ID,N_RESTARTS,JOB_TYPE,JOB_RESULT,EXIT_CODE,EXIT_STATUS,UNIT_RESULT,\
UNIT,USER_UNIT,_PID,_COMM,_CMDLINE,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,SYSLOG_IDENTIFIER,PRIORITY";
/// So many records of each unit.
const RECORDS: &str = "--lines=1000";
/// So many units are looked into.
const MOST: usize = 16;
/// Who has been refused of late, whatever systemd thinks of its unit.
const REFUSED: &str = "--grep=[Aa]ddress already in use|EADDRINUSE";

fn unseen(what: impl Into<String>, remedy: &str) -> Unseen {
    Unseen { what: what.into(), remedy: remedy.to_owned() }
}

/// Fills in units and journals.
///
/// # Errors
///
/// If a unit was asked for that cannot be asked about, or that there is not.
pub(super) fn units(facts: &mut Facts) -> Result<(), String> {
    let scope: &[&str] = if facts.user_manager { &["--user"] } else { &[] };
    let shown = match show(facts, scope) {
        Ok(shown) => shown,
        Err(why) if facts.unit.is_some() => return Err(why),
        // sd_booted(3).
        Err(_) if !Path::new("/run/systemd/system").is_dir() => {
            facts.units = Units::None;
            facts.unseen.push(unseen("Units: systemd does not run here.", "Sockets and processes were looked at."));
            return Ok(());
        }
        Err(why) => {
            facts.units = Units::Unseen;
            let remedy =
                if facts.asker == 0 { "" } else { "Run it as root, or where the system's bus can be reached." };
            facts.unseen.push(unseen(format!("Units: {why}."), remedy));
            return Ok(());
        }
    };
    (facts.services, facts.sockets) = shown;
    for service in &mut facts.services {
        if service.uid.is_none() {
            service.uid = user_id(&service.user);
        }
    }
    if let Some(unit) = &facts.unit {
        let missing = facts.services.iter().any(|service| service.id == *unit && service.load_state == "not-found");
        let known = facts.services.iter().any(|service| service.id == *unit)
            || facts.sockets.iter().any(|socket| socket.id == *unit);
        if missing || !known {
            return Err(format!(
                "there is no unit {unit}; `systemctl list-units --all '*.service'` lists what there is{}",
                if facts.user_manager { "" } else { ", and --user asks the user's own manager" }
            ));
        }
    }
    facts.version = version();
    let mut suspects = suspects(facts);
    if facts.unit.is_none() {
        suspects.extend(refused(facts, scope));
    }
    let more = suspects.len().saturating_sub(MOST);
    if more > 0 {
        let what = format!("The journals of {more} more units that were restarted or have failed.");
        facts.unseen.push(unseen(what, "Name the unit that matters: relapse diagnose UNIT."));
    }
    let mut nothing = Vec::new();
    for unit in suspects.into_iter().take(MOST) {
        match records(&unit, scope) {
            Ok(records) if records.is_empty() => nothing.push(unit),
            Ok(records) => {
                facts.journals.insert(unit.clone(), digest(&unit, &records));
            }
            Err(why) => {
                facts.unseen.push(unseen(format!("The journal of {unit}: {why}."), ""));
            }
        }
    }
    if !nothing.is_empty() {
        let what = format!("The journal of {}: nothing in it can be read.", nothing.join(", "));
        let remedy = if facts.asker == 0 {
            "Causes are guesses then."
        } else {
            "Run it as root, or as a member of the group systemd-journal. Causes are guesses then."
        };
        facts.unseen.push(unseen(what, remedy));
    }
    Ok(())
}

fn show(facts: &Facts, scope: &[&str]) -> Result<(Vec<Service>, Vec<SocketUnit>), String> {
    let property = format!("--property={PROPERTIES}");
    let mut arguments = scope.to_vec();
    arguments.extend(["show", "--no-pager", &property]);
    match &facts.unit {
        Some(unit) => arguments.extend(["--", unit, "*.socket"]),
        None => arguments.extend(["--", "*.service", "*.socket"]),
    }
    let monotonic = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map(|now| {
            u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1000
        })
        .map_err(|errno| format!("no clock: {errno}"))?;
    let Answer { code, out, err, cut } = ask("systemctl", &arguments)?;
    if code != Some(0) && out.trim().is_empty() {
        let said = err.lines().next().unwrap_or("it says nothing").trim_end_matches('.').to_owned();
        return Err(format!("systemd does not answer: {said}"));
    }
    if cut {
        return Err("systemctl says more than can be taken in".to_owned());
    }
    Ok(parse_show(&out, (facts.now, monotonic)))
}

/// `systemd 252 (252.38-1~deb12u1)`; this asks no manager.
fn version() -> Option<u16> {
    let answer = ask("systemctl", &["--version"]).ok()?;
    answer.out.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn user_id(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    account(name).map(|(_, uid)| uid)
}

/// Units whose journal is worth reading.
fn suspects(facts: &Facts) -> BTreeSet<String> {
    let asked = |id: &str| facts.unit.as_deref() == Some(id);
    let services = facts.services.iter().filter(|service| {
        asked(&service.id)
            || service.waits()
            || (service.n_restarts > 0 && service.active_state != "inactive")
            || (service.active_state == "failed" && service.restart != "no")
    });
    let sockets = facts
        .sockets
        .iter()
        .filter(|socket| asked(&socket.id) || (socket.active_state == "failed" && facts.unit.is_none()));
    services.map(|service| service.id.clone()).chain(sockets.map(|socket| socket.id.clone())).collect()
}

/// Services that systemd sees running, and in which somebody was refused an address in the last quarter of an hour.
fn refused(facts: &Facts, scope: &[&str]) -> BTreeSet<String> {
    let mut arguments = scope.to_vec();
    arguments.extend(["--quiet", "--no-pager", "--output=json", "--since=-15min", "--lines=200", REFUSED, FIELDS]);
    let Ok(answer) = ask("journalctl", &arguments) else { return BTreeSet::new() };
    let field = if facts.user_manager { "_SYSTEMD_USER_UNIT" } else { "_SYSTEMD_UNIT" };
    let records = answer.out.lines().filter_map(|line| Record::from_json(line).ok());
    let units = records.filter_map(|record| record.get(field).map(str::to_owned));
    units.filter(|unit| facts.services.iter().any(|service| service.id == *unit && service.main_pid > 0)).collect()
}

fn records(unit: &str, scope: &[&str]) -> Result<Vec<Record>, String> {
    // `--user -u` is not what asks for a user's unit.
    let which = if scope.is_empty() { "--unit=" } else { "--user-unit=" };
    let which = format!("{which}{unit}");
    let mut arguments = vec!["--quiet", "--no-pager", "--boot", "--output=json", RECORDS, FIELDS];
    arguments.push(&which);
    let answer = ask("journalctl", &arguments)?;
    let records: Vec<Record> = answer.out.lines().filter_map(|line| Record::from_json(line).ok()).collect();
    if records.is_empty() && answer.code != Some(0) && !answer.err.trim().is_empty() {
        return Err(answer.err.lines().next().unwrap_or_default().trim_end_matches('.').to_owned());
    }
    Ok(records)
}
