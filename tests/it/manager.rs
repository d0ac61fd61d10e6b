//! A machine for the manager's tests: unit files as text, a clock under the test's hand, and the journal as lines.

use relapse::manager::{Config, InvocationId, JobId, JobMode, JobResult, JobVerb, Message, Pid, Reply, Request};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{FileEntry, Files, Profile};
use relapse::world::{Happened, World};

use crate::manager_shell::launch;

/// 2026-01-16 00:00:00 UTC.
pub(crate) const BOOT: IncidentTime = IncidentTime::from_micros(1_768_521_600_000_000);

/// A machine with units.
pub(crate) struct Rig {
    pub(crate) world: World,
    /// What the manager logged, with the time since the rig was set up.
    pub(crate) log: Vec<(Span, Message)>,
    /// Answers to requests.
    pub(crate) replies: Vec<Reply>,
    /// Jobs that have ended.
    pub(crate) jobs: Vec<(JobId, String, JobResult)>,
    /// Starts of programs by ExecStart=.
    pub(crate) starts: Vec<(Span, Pid)>,
    generation: u64,
    origin: IncidentTime,
}

impl Rig {
    /// A booted machine under systemd 252.
    pub(crate) fn new(units: &[(&str, &str)]) -> Self {
        Self::with(Profile::V252, units)
    }

    /// A booted machine under the systemd of the profile.
    pub(crate) fn with(profile: Profile, units: &[(&str, &str)]) -> Self {
        let config = Config { profile, boot: BOOT, timer_phase: Span::ZERO, seed: 1 };
        let world = World::new(config, Files::default(), Box::new(|spawn, _| launch(spawn)));
        let mut world = world;
        world.machine_mut().unknown_accounts.insert("nobodyknows".into());
        let mut rig = Self {
            world,
            log: Vec::new(),
            replies: Vec::new(),
            jobs: Vec::new(),
            starts: Vec::new(),
            generation: 0,
            origin: BOOT,
        };
        for (name, text) in units {
            rig.write(name, text);
        }
        rig.world.boot();
        rig.run("10s");
        rig.forget();
        rig
    }

    /// Forgets what has happened so far; times count from now on.
    pub(crate) fn forget(&mut self) {
        self.log.clear();
        self.replies.clear();
        self.jobs.clear();
        self.starts.clear();
        self.origin = self.world.now();
    }

    /// Writes a file below /etc/systemd/system.
    pub(crate) fn write(&mut self, name: &str, text: &str) {
        self.generation += 1;
        let entry = FileEntry::Regular { content: text.as_bytes().to_vec(), generation: self.generation };
        self.world.machine_mut().unit_files.entries.insert(format!("/etc/systemd/system/{name}"), entry);
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: &str) {
        self.world.run_for(Span::parse(span).expect("a time span"));
        self.collect();
    }

    fn collect(&mut self) {
        for (at, happened) in self.world.take_happened() {
            let at = at.since(self.origin);
            match happened {
                Happened::Logged(message) => self.log.push((at, message)),
                Happened::Replied(_, reply) => self.replies.push(reply),
                Happened::JobRemoved(job, unit, result) => self.jobs.push((job, unit, result)),
                Happened::Started { pid, role: relapse::manager::ExecRole::Start, .. } => self.starts.push((at, pid)),
                Happened::Started { .. } | Happened::Ended { .. } | Happened::Bound(..) => {}
            }
        }
    }

    /// A client's request; its answer.
    pub(crate) fn ask(&mut self, request: Request) -> Reply {
        self.world.request(request);
        self.collect();
        self.replies.last().cloned().expect("every request is answered")
    }

    pub(crate) fn job(&mut self, verb: JobVerb, unit: &str) -> Reply {
        self.ask(Request::Job { verb, unit: unit.to_owned(), mode: JobMode::Replace })
    }

    pub(crate) fn start(&mut self, unit: &str) -> Reply {
        self.job(JobVerb::Start, unit)
    }

    pub(crate) fn stop(&mut self, unit: &str) -> Reply {
        self.job(JobVerb::Stop, unit)
    }

    pub(crate) fn restart(&mut self, unit: &str) -> Reply {
        self.job(JobVerb::Restart, unit)
    }

    /// Keeps a unit loaded, as those are that a target wants.
    pub(crate) fn keep(&mut self, unit: &str) {
        self.ask(Request::Enable { units: vec![unit.to_owned()], runtime: false });
        self.ask(Request::DaemonReload);
    }

    /// How the last job of a unit ended, if it has.
    pub(crate) fn result_of(&self, unit: &str) -> Option<JobResult> {
        self.jobs.iter().rev().find(|(_, of, _)| of == unit).map(|(_, _, result)| *result)
    }

    /// A property, as `systemctl show` would print it; the look itself loads the unit.
    pub(crate) fn show(&mut self, unit: &str, property: &str) -> String {
        self.ask(Request::Show { unit: unit.to_owned() });
        let rows = self.world.properties(unit).unwrap_or_default();
        let row = rows.into_iter().find(|(name, _)| *name == property);
        row.unwrap_or_else(|| panic!("{unit} has no property {property}")).1
    }

    /// `ActiveState/SubState/Result`.
    pub(crate) fn state(&mut self, unit: &str) -> String {
        ["ActiveState", "SubState", "Result"].map(|property| self.show(unit, property)).join("/")
    }

    /// `<PRIORITY> TEXT` of everything logged about the unit since the last call of this or `forget`.
    pub(crate) fn journal(&mut self, unit: &str) -> Vec<String> {
        let (mine, others) =
            std::mem::take(&mut self.log).into_iter().partition(|(_, m)| m.unit.as_deref() == Some(unit));
        self.log = others;
        let lines = |(_, message): (Span, Message)| format!("<{}> {}", message.priority, without_pids(&message.text));
        let mine: Vec<(Span, Message)> = mine;
        mine.into_iter().map(lines).collect()
    }

    /// When the manager logged a text that contains this, in microseconds since `forget`.
    pub(crate) fn times(&self, part: &str) -> Vec<u64> {
        self.log.iter().filter(|(_, m)| m.text.contains(part)).map(|(at, _)| at.as_micros()).collect()
    }
}

#[test]
fn a_program_that_fails_is_started_again_after_restart_sec_on_the_grid() {
    let mut rig = Rig::new(&[(
        "a.service",
        "[Unit]\nDescription=A\n[Service]\nExecStart=/bin/sh -c 'sleep 0.4; exit 3'\nRestart=always\nRestartSec=1s\n",
    )]);
    rig.start("a.service");
    rig.run("1.5s");
    assert_eq!(
        rig.journal("a.service"),
        [
            "<6> Started a.service - A.",
            "<5> a.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
            "<4> a.service: Failed with result 'exit-code'.",
            "<6> a.service: Scheduled restart job, restart counter is at 1.",
            "<6> Stopped a.service - A.",
            "<6> Started a.service - A.",
        ]
    );
    let starts: Vec<u64> = rig.starts.iter().map(|(at, _)| at.as_micros()).collect();
    assert_eq!(starts, [0, 1_500_000], "0.4 s and 1 s, up to the next quarter of a second");
}

#[test]
fn the_machine_boots_into_what_set_default_said() {
    let mut rig =
        Rig::new(&[("a.service", "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=graphical.target\n")]);
    let graphical = |rig: &mut Rig| rig.show("graphical.target", "ActiveState");
    assert_eq!(graphical(&mut rig), "active");
    let lines =
        vec!["Created symlink /etc/systemd/system/default.target → /lib/systemd/system/multi-user.target.".to_owned()];
    assert_eq!(rig.ask(Request::SetDefault { unit: "multi-user.target".into() }), Reply::UnitFiles(lines));
    rig.ask(Request::Reboot);
    rig.run("10s");
    assert_eq!(graphical(&mut rig), "inactive");
    assert_eq!(rig.show("multi-user.target", "ActiveState"), "active");
    let refused = rig.ask(Request::SetDefault { unit: "a.service".into() });
    assert!(matches!(&refused, Reply::Error(error) if error.message == "Invalid argument"), "{refused:?}");
}

#[test]
fn a_client_that_wakes_the_manager_lets_an_elapsed_timer_fire_early() {
    let unit = "[Service]\nExecStart=/bin/sh -c 'sleep 0.4; exit 3'\nRestart=always\nRestartSec=1s\n";
    let mut rig = Rig::new(&[("a.service", unit)]);
    rig.start("a.service");
    rig.run("1.41s");
    assert_eq!(rig.starts.len(), 1, "the deadline was at 1.4 s, but nobody looked");
    rig.show("a.service", "NRestarts");
    assert_eq!(rig.starts.len(), 2, "the look wakes the manager");
}

#[test]
fn two_runs_with_the_same_seed_give_the_same_journal_and_other_seeds_other_invocation_ids() {
    let run = |seed| {
        let config = Config { profile: Profile::V252, boot: BOOT, timer_phase: Span::ZERO, seed };
        let mut world = World::new(config, Files::default(), Box::new(|spawn, _| launch(spawn)));
        let content = b"[Service]\nExecStart=/bin/false\nRestart=always\n".to_vec();
        let path = "/etc/systemd/system/a.service".to_owned();
        world.machine_mut().unit_files.entries.insert(path, FileEntry::Regular { content, generation: 1 });
        world.boot();
        world.request(Request::Job { verb: JobVerb::Start, unit: "a.service".into(), mode: JobMode::Replace });
        world.run_for(Span::from_secs(5));
        world.take_happened()
    };
    assert_eq!(run(7), run(7));
    let ids = |happened: Vec<(IncidentTime, Happened)>| -> Vec<InvocationId> {
        happened
            .into_iter()
            .filter_map(|(_, happened)| match happened {
                Happened::Logged(message) => message.invocation_id,
                _ => None,
            })
            .collect()
    };
    let (one, two) = (ids(run(7)), ids(run(8)));
    assert_eq!(one.len(), two.len());
    assert!(one.iter().zip(&two).all(|(a, b)| a != b && a.len() == 32));
}

/// The text with PID for every number that stands after `process` or `PID`.
pub(crate) fn without_pids(text: &str) -> String {
    let mut out = Vec::new();
    for word in text.split(' ') {
        let digits = word.trim_end_matches(',');
        let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let after_process = matches!(out.last(), Some(&"process" | &"PID"));
        out.push(match number && after_process {
            true if word.ends_with(',') => "PID,",
            true => "PID",
            false => word,
        });
    }
    out.join(" ")
}
