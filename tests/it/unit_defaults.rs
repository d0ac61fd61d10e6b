//! The defaults of settings, row by row of `fixtures/systemd/defaults.json`: what `show` says of units that set nothing.

use std::collections::BTreeMap;

use relapse::unit::{Profile, Unit, environment};

use crate::manager::Rig;
use crate::unit::{report, table};

/// Properties of a service that sets nothing but its program, of a oneshot one, and of sockets.
fn shown(profile: Profile) -> BTreeMap<&'static str, BTreeMap<&'static str, String>> {
    let units = [
        ("plain", "plain.service", "[Service]\nExecStart=/bin/sleep 1000\n"),
        ("oneshot", "oneshot.service", "[Service]\nExecStop=/bin/true\nRemainAfterExit=yes\n"),
        ("dbus", "dbus.service", "[Service]\nBusName=a.b\nExecStart=/bin/sleep 1000\n"),
        ("notify", "notify.service", "[Service]\nType=notify\nExecStart=/bin/sleep 1000\n"),
        ("watchdog", "watchdog.service", "[Service]\nWatchdogSec=5\nExecStart=/bin/sleep 1000\n"),
        ("store", "store.service", "[Service]\nFileDescriptorStoreMax=1\nExecStart=/bin/sleep 1000\n"),
        ("stop", "stop.service", "[Service]\nTimeoutStopSec=7\nKillSignal=USR1\nExecStart=/bin/sleep 1000\n"),
        ("socket", "plain.socket", "[Socket]\nListenStream=80\n"),
        ("accepting", "each.socket", "[Socket]\nListenStream=81\nAccept=yes\n"),
    ];
    let files: Vec<(&str, &str)> = units.iter().map(|(_, name, text)| (*name, *text)).collect();
    let mut rig = Rig::with(profile, &files);
    units
        .iter()
        .map(|(kind, name, _)| {
            rig.ask(relapse::manager::Request::Show { unit: (*name).to_owned() });
            (*kind, rig.world.properties(name).unwrap_or_default().into_iter().collect())
        })
        .collect()
}

#[test]
fn every_default_is_what_a_unit_that_sets_nothing_shows() {
    let table = table("defaults");
    let rows = table.as_object().expect("rows");
    let (old, new) = (shown(Profile::V252), shown(Profile::V257));
    let mut failures = Vec::new();
    for (row, wanted) in rows {
        let text = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
        let property = row.strip_prefix("socket ").unwrap_or(row);
        let of = |kind: &str, key: &str| old[kind].get(key).cloned().unwrap_or_else(|| format!("no {key}"));
        let is = |kind: &str, key: &str, wanted: &str| {
            let got = of(kind, key);
            if got == wanted { Vec::new() } else { vec![format!("{row}: {kind}: {key}={got}, not {wanted}")] }
        };
        let wrong: Vec<String> = match row.as_str() {
            "Type" => [("plain", "simple"), ("dbus", "dbus"), ("oneshot", "oneshot")]
                .iter()
                .flat_map(|(kind, wanted)| is(kind, "Type", wanted))
                .collect(),
            "TimeoutStartUSec" => {
                [is("plain", row, "1min 30s"), is("oneshot", row, "infinity"), is("notify", row, "1min 30s")].concat()
            }
            "TimeoutAbortUSec" => [is("plain", row, "1min 30s"), is("stop", row, "7s")].concat(),
            "RestartKillSignal" => [is("plain", row, "15"), is("stop", row, "10")].concat(),
            "NotifyAccess" => [("plain", "none"), ("notify", "main"), ("watchdog", "main"), ("store", "main")]
                .iter()
                .flat_map(|(kind, wanted)| is(kind, row, wanted))
                .collect(),
            // Of a service that never ran.
            "WatchdogUSec" => is("plain", row, "0"),
            // 252 does not know them.
            "RestartSteps" | "RestartMaxDelayUSec" | "RestartMode" => {
                let got = new["plain"].get(row.as_str());
                let unknown = is("plain", row, &format!("no {row}"));
                if got == Some(&text) { unknown } else { vec![format!("{row}={got:?} on 257, not {text}")] }
            }
            "PATH" => {
                let unit = Unit::parse("x.service", "[Service]\nExecStart=/bin/echo ${PATH}\n", Profile::V252);
                let command = unit.service.expect("a service").exec_start.remove(0);
                let block: Vec<(String, String)> = relapse::manager::MANAGER_ENVIRONMENT
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect();
                let got = environment::expand(&command, &block).pop().unwrap_or_default();
                let (all, split) = text.split_once(" (Debian split-usr build: plus ").expect("both builds");
                let wanted = format!("{all}{}", split.trim_end_matches(')'));
                if got == wanted { Vec::new() } else { vec![format!("PATH={got}, not {wanted}")] }
            }
            "manager timer accuracy" => {
                let got = relapse::manager::TIMER_ACCURACY.to_string();
                if got == text { Vec::new() } else { vec![format!("{row} {got}")] }
            }
            // 252 does not know them.
            "socket PollLimitIntervalSec (>=255)" | "socket PollLimitBurst (>=255)" => {
                let (key, wanted) = match row.contains("Burst") {
                    true => ("PollLimitBurst", [("socket", "15"), ("accepting", "150")]),
                    false => ("PollLimitIntervalUSec", [("socket", "2s"), ("accepting", "2s")]),
                };
                let mut wrong = is("socket", key, &format!("no {key}"));
                for (kind, wanted) in wanted {
                    let got = new[kind].get(key).map(String::as_str);
                    if got != Some(wanted) {
                        wrong.push(format!("{row}: {kind}: {key}={got:?} on 257, not {wanted}"));
                    }
                }
                wrong
            }
            "socket TriggerLimitIntervalSec" => is("socket", "TriggerLimitIntervalUSec", &text),
            "socket TriggerLimitBurst" => [is("socket", property, "20"), is("accepting", property, "200")].concat(),
            "socket Backlog" => is("socket", property, "2147483647"),
            "socket FileDescriptorName" => {
                [is("socket", property, "plain.socket"), is("accepting", property, "connection")].concat()
            }
            // The table names what `show` numbers.
            "SyslogFacility" | "SyslogLevel" => {
                let number = text.split_once('(').map_or(text.as_str(), |(_, rest)| rest.trim_end_matches(')'));
                is("plain", row, number)
            }
            _ if row.starts_with("socket ") => is("socket", property, &text),
            _ => is("plain", row, &text),
        };
        failures.extend(wrong);
    }
    report(&failures, rows.len());
}
