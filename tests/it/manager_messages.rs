//! What the manager logs, row by row of `fixtures/systemd/journal_messages.tsv`: text, priority, MESSAGE_ID and fields of
//! each message must come out of some play, in each version that has it.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use relapse::manager::{
    Config, Effect, Host, Input, JobMode, JobVerb, KillWhom, Manager, Message, PathKind, Pid, Process, Request,
};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{FileEntry, Files, Profile};
use relapse::world::Program;

use crate::manager::Rig;
use crate::unit::table;

/// Units of a play, and what happens to them.
type Play = (&'static [(&'static str, &'static str)], fn(&mut Rig));

/// Starts `a.service`, and lets ten seconds pass.
fn starts(rig: &mut Rig) {
    rig.start("a.service");
    rig.run("10s");
}

/// Starts it and stops it after a second.
fn starts_and_stops(rig: &mut Rig) {
    rig.start("a.service");
    rig.run("1s");
    rig.stop("a.service");
    rig.run("10s");
}

/// Starts and stops it, and lets it be started again when `/x` is no longer there: it keeps the invocation of its run.
fn starts_again_without(rig: &mut Rig) {
    rig.world.machine_mut().files.insert("/x".into(), Vec::new());
    rig.keep("a.service");
    starts_and_stops(rig);
    rig.world.machine_mut().files.remove("/x");
    starts(rig);
}

const PLAYS: &[Play] = &[
    (&[("a.swap", "[Unit]\nDescription=Swap\n[Swap]\nWhat=/swap\n")], |rig| {
        rig.start("a.swap");
    }),
    (
        &[(
            "a.service",
            "[Unit]\nConditionPathExists=/x\n[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n",
        )],
        starts_again_without,
    ),
    (
        &[(
            "a.service",
            "[Unit]\nAssertPathExists=/x\n[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n",
        )],
        starts_again_without,
    ),
    (
        &[
            (
                "a.service",
                "[Unit]\nRequires=b.service\nAfter=b.service\n[Service]\nExecStart=/bin/sleep 1000\n[Install]\n\
                 WantedBy=multi-user.target\n",
            ),
            ("b.service", "[Unit]\nAssertPathExists=/x\n[Service]\nType=oneshot\nExecStart=/bin/true\n"),
        ],
        starts_again_without,
    ),
    (
        &[
            (
                "a.service",
                "[Unit]\nJobTimeoutSec=2\nAfter=b.service\n[Service]\nExecStart=/bin/sleep 1000\n[Install]\n\
                 WantedBy=multi-user.target\n",
            ),
            ("b.service", "[Service]\nType=notify\nExecStart=/bin/sleep 1000\n"),
        ],
        |rig| {
            rig.keep("a.service");
            starts_and_stops(rig);
            // It is never ready, and a waits for it.
            rig.start("b.service");
            starts(rig);
        },
    ),
    (
        &[
            ("a.service", "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=2\n"),
            ("b.service", "[Unit]\nAfter=a.service\n[Service]\nExecStart=/bin/sleep 1000\nExecStop=/bin/sleep 5\n"),
        ],
        |rig| {
            rig.start("b.service");
            rig.start("a.service");
            rig.run("1s");
            rig.stop("b.service");
            // It waits for b, and meanwhile the timer fires.
            rig.stop("a.service");
            rig.run("10s");
        },
    ),
    (
        &[("a.service", "[Unit]\nDescription=A\n[Service]\nExecStart=/bin/sh -c 'sleep 3; exit 1'\nRestart=always\n")],
        |rig| {
            starts(rig);
            starts_and_stops(rig);
            rig.start("a.service");
            rig.run("1s");
            rig.restart("a.service");
            rig.run("3050ms");
            rig.start("a.service");
        },
    ),
    (&[("a.service", "[Service]\nExecStart=/bin/sleep 1000\n")], |rig| {
        rig.start("a.service");
        rig.ask(Request::Kill { unit: "a.service".into(), whom: KillWhom::All, signal: 10 });
        rig.run("1s");
        starts_and_stops(rig);
    }),
    (&[("a.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")], starts),
    (&[("a.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n")], starts),
    (&[("a.service", "[Service]\nExecStart=/bin/sh -c dump\n")], starts),
    (&[("a.service", "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=10ms\n")], starts),
    (&[("a.service", "[Service]\nExecCondition=/bin/false\nExecStart=/bin/sleep 1000\n")], starts),
    (&[("a.service", "[Service]\nExecCondition=/bin/sh -c 'exit 255'\nExecStart=/bin/sleep 1000\n")], starts),
    (&[("a.service", "[Service]\nExecCondition=/bin/sh -c 'kill -KILL $$$$'\nExecStart=/bin/sleep 1000\n")], starts),
    (&[("a.service", "[Service]\nExecStartPre=/bin/false\nExecStart=/bin/sleep 1000\n")], starts),
    (&[("a.service", "[Service]\nExecStartPre=/bin/sh -c 'kill -KILL $$$$'\nExecStart=/bin/sleep 1000\n")], starts),
    (&[("a.service", "[Unit]\nConditionPathExists=!/\n[Service]\nExecStart=/bin/sleep 1000\n")], |rig| {
        rig.world.machine_mut().files.insert("/x".into(), Vec::new());
        starts(rig);
    }),
    (&[("a.service", "[Unit]\nAssertPathExists=/nonexistent\n[Service]\nExecStart=/bin/sleep 1000\n")], starts),
    (
        &[
            (
                "a.service",
                "[Unit]\nJobTimeoutSec=2\nAfter=b.service\nWants=b.service\n[Service]\nExecStart=/bin/sleep 9\n",
            ),
            ("b.service", "[Service]\nType=notify\nExecStart=/bin/sleep 1000\n"),
        ],
        starts,
    ),
    (
        &[
            ("a.service", "[Unit]\nRequires=b.service\nAfter=b.service\n[Service]\nExecStart=/bin/sleep 9\n"),
            ("b.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n"),
        ],
        starts,
    ),
    (
        &[("a.service", "[Unit]\nJobTimeoutSec=2\n[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; serve'\n")],
        starts_and_stops,
    ),
    (&[("a.service", "[Service]\nExecReload=/bin/true\nExecStart=/bin/sleep 1000\n")], |rig| {
        rig.start("a.service");
        rig.job(JobVerb::Reload, "a.service");
        rig.run("1s");
    }),
    (&[("a.service", "[Service]\nExecReload=/bin/false\nExecStart=/bin/sleep 1000\n")], |rig| {
        rig.start("a.service");
        rig.job(JobVerb::Reload, "a.service");
        rig.run("1s");
    }),
    (
        &[("a.service", "[Service]\nTimeoutStartSec=2\nExecReload=/bin/sleep 1000\nExecStart=/bin/sleep 1000\n")],
        |rig| {
            rig.start("a.service");
            rig.job(JobVerb::Reload, "a.service");
            rig.run("5s");
        },
    ),
    (&[("a.service", "[Service]\nType=notify\nTimeoutStartSec=2\nExecStart=/bin/sleep 1000\n")], starts),
    (
        &[(
            "a.service",
            "[Service]\nType=notify\nTimeoutStartSec=2\nTimeoutStartFailureMode=abort\nExecStart=/bin/sleep 1000\n",
        )],
        starts,
    ),
    (
        &[(
            "a.service",
            "[Service]\nType=notify\nTimeoutStartSec=2\nTimeoutStartFailureMode=kill\nExecStart=/bin/sleep 1000\n",
        )],
        starts,
    ),
    (
        &[("a.service", "[Service]\nTimeoutStopSec=2\nExecStart=/bin/sleep 1000\nExecStop=/bin/sleep 1000\n")],
        starts_and_stops,
    ),
    (&[("a.service", "[Service]\nTimeoutStopSec=2\nExecStart=/bin/sh -c 'trap \"\" TERM; serve'\n")], starts_and_stops),
    (
        &[("a.service", "[Service]\nTimeoutStopSec=2\nSendSIGKILL=no\nExecStart=/bin/sh -c 'trap \"\" TERM; serve'\n")],
        |rig| {
            starts_and_stops(rig);
            rig.start("a.service");
            rig.run("1s");
        },
    ),
    (
        &[(
            "a.service",
            "[Service]\nTimeoutStopSec=2\nTimeoutAbortSec=2\nTimeoutStopFailureMode=abort\n\
             ExecStart=/bin/sh -c 'trap \"\" TERM; trap \"\" ABRT; serve'\n",
        )],
        starts_and_stops,
    ),
    (
        &[("a.service", "[Service]\nTimeoutStopSec=2\nExecStart=/bin/sleep 1000\nExecStopPost=/bin/sleep 1000\n")],
        starts_and_stops,
    ),
    (
        &[(
            "a.service",
            "[Service]\nKillSignal=SIGINT\nTimeoutStopSec=2\n\
             ExecStart=/bin/sh -c 'while :; do sleep 1000 & wait $$!; done'\n",
        )],
        starts_and_stops,
    ),
    (&[("a.service", "[Service]\nRuntimeMaxSec=2\nExecStart=/bin/sleep 1000\n")], starts),
    (&[("a.service", "[Service]\nWatchdogSec=2\nExecStart=/bin/sleep 1000\n")], starts),
    (&[("a.service", "[Service]\nWatchdogSec=2\nExecStart=/bin/sh -c 'notify WATCHDOG=trigger; serve'\n")], starts),
    (&[("a.service", "[Service]\nKillMode=process\nExecStart=/bin/sh -c 'sleep 1000 & serve'\n")], |rig| {
        starts_and_stops(rig);
        rig.start("a.service");
        rig.run("1s");
    }),
    (&[("a.service", "[Service]\nEnvironmentFile=/nonexistent\nExecStart=/bin/sleep 1000\n")], starts),
    (&[("a.service", "[Service]\nExecStart=/nonexistent/bin\n")], starts),
    (
        &[
            ("a.service", "[Unit]\nOnFailure=b.service\n[Service]\nExecStart=/bin/false\n"),
            ("b.service", "[Service]\nExecStart=/bin/sleep 9\n"),
        ],
        starts,
    ),
    (
        &[(
            "a.service",
            "K=before\n[Foo]\nA=1\n[Service]\nBogus=1\nnonsense\n=v\nRestart=Always\nRestartSec=soon\nSendSIGHUP=maybe\n\
             FileDescriptorStoreMax=x\nType=daemon\nKillMode=all\nKillSignal=SIGFOO\nEnvironment=1\n\
             ExecStart=/bin/sleep 1000\n",
        )],
        starts,
    ),
    (&[("a.service", "[Service]\nExecStart=relative/path\n")], starts),
    (
        &[
            ("s.socket", "[Socket]\nListenStream=127.0.0.1:8100\n"),
            ("s.service", "[Service]\nExecStart=/bin/sh -c 'accept; serve'\n"),
        ],
        |rig| {
            rig.start("s.socket");
            rig.stop("s.socket");
            rig.start("s.service");
            rig.start("s.socket");
            rig.stop("s.service");
            rig.run("1s");
        },
    ),
    (
        &[
            ("s.socket", "[Socket]\nListenStream=127.0.0.1:8100\n"),
            ("s.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/true\n"),
        ],
        |rig| {
            rig.start("s.socket");
            rig.world.connect("s.socket");
            rig.run("5s");
        },
    ),
    (&[("s.socket", "[Socket]\nListenStream=127.0.0.1:8100\n")], |rig| {
        rig.start("s.socket");
        rig.run("1s");
    }),
    (
        &[
            ("s.socket", "[Socket]\nListenStream=127.0.0.1:8100\n"),
            ("s.service", "[Service]\nExecStart=/bin/sh -c 'accept; serve'\n"),
        ],
        |rig| {
            let holder: Program = crate::manager_shell::shell("bind 8100; serve", false);
            rig.world.start_process(holder);
            rig.run("100ms");
            rig.start("s.socket");
            rig.run("1s");
        },
    ),
];

/// Rows that no play can bring out, by event and text, and why. One that comes out after all fails the test.
const NOT_LOGGED: &[(&str, &str)] = &[
    (
        "Stopped (with error) {ident}.",
        "stop jobs that fail are those of mounts and swaps, on systemd too, and they have words of their own",
    ),
    (
        "{unit}: Main process exited, code={code}, status={n}/{NAME} (success)",
        "it is for debugging: after `systemctl log-level debug` it is one of the hundreds of lines of that level",
    ),
];

struct Row {
    event: String,
    priorities: Vec<u8>,
    name: String,
    id: String,
    template: String,
    fields: Vec<String>,
    versions: String,
}

fn rows() -> Vec<Row> {
    let text = include_str!("../../fixtures/systemd/journal_messages.tsv");
    let priority = |name: &str| match name {
        "err" => 3,
        "warning" => 4,
        "notice" => 5,
        "info" => 6,
        "debug" => 7,
        other => panic!("no priority {other}"),
    };
    text.lines()
        .skip(1)
        .map(|line| {
            let [event, priorities, name, id, template, fields, versions, _] = line.split('\t').collect::<Vec<_>>()[..]
            else {
                panic!("{line}");
            };
            // `notice/warning`, or `debug; info when …; notice when …`.
            let words = priorities.split(['/', ';']);
            let first = |part: &str| priority(part.split_whitespace().next().unwrap_or_default());
            let priorities = words.map(first).collect();
            Row {
                event: event.into(),
                priorities,
                name: name.into(),
                id: id.into(),
                template: template.into(),
                fields: fields.split(' ').filter(|field| !field.is_empty()).map(str::to_owned).collect(),
                versions: versions.into(),
            }
        })
        .collect()
}

/// The template as a pattern.
fn pattern(template: &str) -> Regex {
    let mut pattern = String::from("^");
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        pattern.push_str(&regex::escape(before));
        let (name, after) = after.split_once('}').expect("a closed brace");
        pattern.push_str(match name {
            "n" | "pid" | "signo" | "line" => r"\d+",
            "unit" => r"[\w@-]+\.\w+",
            "!" => "!?",
            "jobtype" | "jobresult" | "result" | "key" | "section" | "Type" => r"[\w-]+",
            "NAME" | "SIGNAME" | "EXITNAME" | "NAME|n/a" => r"[A-Z0-9_+]+|n/a",
            _ => ".+",
        });
        rest = after;
    }
    pattern.push_str(&regex::escape(rest));
    pattern.push('$');
    let grouped = pattern.replace(r"[A-Z0-9_+]+|n/a", r"(?:[A-Z0-9_+]+|n/a)");
    Regex::new(&grouped).expect("a pattern")
}

/// Whether the row holds for a version.
fn holds_for(row: &Row, profile: Profile) -> bool {
    match row.versions.split([';', ' ', ',']).next().unwrap_or_default() {
        "252" | "252.38" => profile == Profile::V252,
        // Rows of which the older text is for 252.0 alone.
        "252.0" => false,
        "257" | "257.13" | ">=257" => profile >= Profile::V257,
        _ => true,
    }
}

fn played(profile: Profile) -> Vec<Message> {
    let mut all = Vec::new();
    for (units, happens) in PLAYS {
        let mut rig = Rig::with(profile, units);
        happens(&mut rig);
        rig.run("1s");
        all.extend(rig.log.into_iter().map(|(_, message)| message));
    }
    all
}

/// A machine whose only process uses processor time and survives everything, as one does that waits for a broken disk.
struct Undead {
    files: Files,
    alive: bool,
}

impl Host for Undead {
    fn fork(&mut self) -> Pid {
        self.alive = true;
        1001
    }
    fn unit_files(&self) -> &Files {
        &self.files
    }
    fn stat(&self, _: &str) -> Option<PathKind> {
        Some(PathKind::File { executable: true, empty: false })
    }
    fn processes(&self, _: &str) -> Vec<Process> {
        let process = Process { pid: 1001, comm: "stuck".into(), parent: 1 };
        self.alive.then_some(process).into_iter().collect()
    }
    fn cpu_time(&self, _: &str) -> Span {
        Span::from_secs(3)
    }
}

/// What is said of a process that nothing kills, until the manager gives up.
fn undead(profile: Profile) -> Vec<Message> {
    let boot = IncidentTime::from_micros(1_768_565_940_000_000);
    let mut host = Undead { files: Files::default(), alive: false };
    let content = b"[Service]\nExecStart=/bin/stuck\nTimeoutStopSec=1\n".to_vec();
    let path = "/etc/systemd/system/stuck.service".to_owned();
    host.files.entries.insert(path, FileEntry::Regular { content, generation: 1 });
    let mut manager = Manager::new(Config { profile, boot, timer_phase: Span::ZERO, seed: 1 });
    let job = |verb| Request::Job { verb, unit: "stuck.service".into(), mode: JobMode::Replace };
    let mut effects = manager.step(boot, &mut host, Input::Boot);
    effects.extend(manager.step(boot, &mut host, Input::Request { id: 1, request: job(JobVerb::Start) }));
    effects.extend(manager.step(boot, &mut host, Input::Request { id: 2, request: job(JobVerb::Stop) }));
    while let Some(at) = manager.next_deadline() {
        effects.extend(manager.step(at, &mut host, Input::Elapsed));
    }
    let logged = |effect| if let Effect::Journal(message) = effect { Some(message) } else { None };
    effects.into_iter().filter_map(logged).collect()
}

#[test]
fn every_message_of_the_table_is_logged_with_its_priority_id_and_fields() {
    let rows = rows();
    let mut failures = Vec::new();
    let mut quiet: BTreeSet<&str> = BTreeSet::new();
    for profile in [Profile::V252, Profile::V257, Profile::V260] {
        let mut messages = played(profile);
        messages.extend(undead(profile));
        for row in rows.iter().filter(|row| holds_for(row, profile)) {
            let pattern = pattern(&row.template);
            let name = format!("{profile:?} {} | {}", row.event, row.template);
            let found: Vec<&Message> = messages.iter().filter(|message| pattern.is_match(&message.text)).collect();
            if let Some((_, reason)) = NOT_LOGGED.iter().find(|(template, _)| *template == row.template) {
                quiet.insert(&row.template);
                if !found.is_empty() {
                    failures.push(format!("{name}: is logged, but was given up since {reason}"));
                }
                continue;
            }
            let good = |message: &&&Message| {
                let has = |field: &String| match field.as_str() {
                    "UNIT" => message.unit.is_some(),
                    "INVOCATION_ID" => message.invocation_id.is_some(),
                    field if field.ends_with('?') => true,
                    // Some rows give the value of ERRNO.
                    field => {
                        let (name, value) = field.split_once('=').unwrap_or((field, ""));
                        let mut fields = message.fields.iter();
                        fields.any(|(known, has)| *known == name && (value.is_empty() || *has == value))
                    }
                };
                row.priorities.contains(&message.priority)
                    && message.message_id.unwrap_or_default() == row.id
                    && row.fields.iter().all(has)
            };
            if found.iter().find(good).is_none() {
                failures.push(match found.first() {
                    None => format!("{name}: not logged"),
                    Some(message) => format!(
                        "{name}: wanted {:?} {:?} {:?}, got {} {:?} {:?} {:?} {:?}",
                        row.priorities,
                        row.id,
                        row.fields,
                        message.priority,
                        message.message_id,
                        message.fields,
                        message.unit.is_some(),
                        message.invocation_id.is_some()
                    ),
                });
            }
        }
    }
    assert_eq!(quiet.len(), NOT_LOGGED.len(), "a row that was given up is in the table");
    crate::unit::report(&failures, rows.len());
}

#[test]
fn every_message_id_belongs_to_one_kind_of_message() {
    let ids = table("message_ids");
    let ids: BTreeMap<&str, &str> =
        ids.as_object().expect("ids").iter().map(|(name, id)| (name.as_str(), id.as_str().expect("text"))).collect();
    let rows = rows();
    for row in rows.iter().filter(|row| !row.name.is_empty()) {
        assert_eq!(ids.get(row.name.as_str()).copied(), Some(row.id.as_str()), "{}", row.template);
    }
    // Every ID that comes out of a play is one of the table, on a message whose row has it.
    let mut used = BTreeSet::new();
    for message in played(Profile::V252) {
        let Some(id) = message.message_id else { continue };
        let name = ids.iter().find(|(_, known)| **known == id).map(|(name, _)| *name);
        let name = name.unwrap_or_else(|| panic!("{id} is in no table: {}", message.text));
        used.insert(name);
        let row = rows.iter().find(|row| pattern(&row.template).is_match(&message.text) && row.name == name);
        let listed = row.is_some() || name == "INVALID_CONFIGURATION";
        assert!(listed, "{name}: {} is no message of the table with this ID", message.text);
    }
    let unused: Vec<&str> = ids.keys().copied().filter(|name| !used.contains(name)).collect();
    // The kernel's memory, the CPU time of a service that used more than a second, and the boot are not played.
    assert_eq!(unused, ["OUT_OF_MEMORY", "RESOURCES", "STARTUP_FINISHED"]);
}
