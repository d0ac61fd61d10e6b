//! systemctl and the manager together: the command lines of the units that were generated at random and run on real
//! systemd 252 (`fixtures/systemd/cases.jsonl`) must print what it printed and end when it ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use relapse::conform::{Ended, TOLERANCE_MS, Times, compare};
use relapse::ctl::systemctl::{Step, Systemctl};
use relapse::ctl::{JobInfo, Output, UnitProcess, View};
use relapse::journal::{Journal, Machine, ManagerLine};
use relapse::manager::{Config, Host, JobId, JobResult, Reply, Spawn};
use relapse::time::{IncidentTime, Span};
use relapse::unit::{FileEntry, Files, Profile};
use relapse::world::{Act, Happened, Launch, Reaction, World};
use serde_json::Value;

use crate::cases::{self, DIR, text};
use crate::manager::BOOT;
use crate::manager_cases::{program, script_marker};
use crate::manager_shell::launch;

/// The model as systemctl looks at it.
struct Look<'a> {
    world: &'a World,
    machine: &'a Machine,
    journal: &'a Journal,
}

impl View for Look<'_> {
    fn now(&self) -> IncidentTime {
        self.world.now()
    }
    fn machine(&self) -> &Machine {
        self.machine
    }
    fn files(&self) -> &Files {
        &self.world.machine().unit_files
    }
    fn journal(&self) -> &Journal {
        self.journal
    }
    fn units(&self) -> Vec<String> {
        self.world.manager().units().into_iter().map(|row| row.name).collect()
    }
    fn jobs(&self) -> Vec<JobInfo> {
        let info = |job: relapse::manager::JobRow| JobInfo {
            id: job.id,
            unit: job.unit,
            job_type: job.kind.to_owned(),
            state: job.state.to_owned(),
        };
        self.world.manager().jobs().into_iter().map(info).collect()
    }
    fn properties(&self, unit: &str) -> Vec<(&'static str, String)> {
        self.world.properties(unit).unwrap_or_default()
    }
    fn processes(&self, unit: &str) -> Vec<UnitProcess> {
        let process = |p: relapse::manager::Process| UnitProcess { pid: p.pid, cmdline: p.comm.clone(), comm: p.comm };
        let waiting = self.world.manager().waiting_children(unit).into_iter();
        let waiting = waiting.map(|(pid, comm)| UnitProcess { pid, cmdline: comm.clone(), comm });
        self.world.machine().processes(unit).into_iter().map(process).chain(waiting).collect()
    }
    fn profile(&self) -> Profile {
        Profile::V252
    }
}

/// A command that was typed, and which one of the case it is.
struct Typed {
    index: usize,
    session: Systemctl,
    output: Option<(u64, Output)>,
}

struct Run<'a> {
    case: &'a Value,
    world: World,
    machine: Machine,
    journal: Journal,
    generation: u64,
    origin: IncidentTime,
    typed: Vec<Typed>,
}

impl<'a> Run<'a> {
    fn new(case: &'a Value) -> Self {
        let unit = format!("{}.service", text(case, "id"));
        let script = text(case, "prog").to_owned();
        let dumps = unit == "d799.service";
        let launcher = move |spawn: &Spawn, machine: &mut relapse::world::Machine| {
            let mine = spawn.argv.get(1).is_some_and(|argument| argument.ends_with("/prog.sh"));
            let code = spawn.environment.iter().find(|(name, _)| name == "CODE").map(|(_, value)| value.clone());
            let launched = match code {
                Some(code) => {
                    let mut spawn = spawn.clone();
                    Arc::make_mut(&mut spawn.argv).iter_mut().for_each(|word| *word = word.replace("$CODE", &code));
                    launch(&spawn)
                }
                None if mine => program(&script, spawn, machine),
                None => launch(spawn),
            };
            match launched {
                // The one machine that was set up to dump core.
                Launch::Runs(program) if dumps => {
                    Launch::Runs(program.on(6, Reaction::Do(vec![Act::End(relapse::manager::Exit::Dumped(6))])))
                }
                launched => launched,
            }
        };
        let config = Config { profile: Profile::V252, boot: BOOT, timer_phase: Span::from_millis(164), seed: 1 };
        let mut world = World::new(config, Files::default(), Box::new(launcher));
        let machine = world.machine_mut();
        machine.files.insert("/etc/passwd".into(), b"root".to_vec());
        machine.files.insert(format!("{DIR}/prog.sh"), script_marker());
        machine.unknown_accounts.extend(["nobodyknows".to_owned()]);
        let mut run = Self {
            case,
            world,
            machine: Machine {
                hostname: "semtest".to_owned(),
                machine_id: "0".repeat(32),
                boot_id: "1".repeat(32),
                boot: BOOT,
            },
            journal: Journal::new("2".repeat(32)),
            generation: 0,
            origin: BOOT,
            typed: Vec::new(),
        };
        run.write(&unit, text(case, "unit"));
        for (drop_in, content) in case["dropins"].as_object().expect("drop-ins") {
            run.write(&format!("{unit}.d/{drop_in}"), content.as_str().expect("text"));
        }
        run.world.boot();
        run.world.run_for(Span::from_secs(10));
        run.collect();
        run.origin = run.world.now();
        run
    }

    fn write(&mut self, name: &str, content: &str) {
        self.generation += 1;
        let content = content.replace("@DIR@", DIR).into_bytes();
        let entry = FileEntry::Regular { content, generation: self.generation };
        self.world.machine_mut().unit_files.entries.insert(format!("/etc/systemd/system/{name}"), entry);
    }

    /// Keeps what was logged, tells the commands of the jobs that have ended, and gives the replies.
    fn collect(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        let mut removed: Vec<(JobId, String, JobResult)> = Vec::new();
        for (at, happened) in self.world.take_happened() {
            match happened {
                Happened::Logged(message) => {
                    let fields: Vec<(&str, &str)> =
                        message.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                    let line = ManagerLine {
                        priority: message.priority,
                        message: &message.text,
                        message_id: message.message_id,
                        unit: message.unit.as_deref(),
                        invocation_id: message.invocation_id.as_deref(),
                        fields: &fields,
                        child: message.child.as_ref().map(|(pid, name)| (*pid, name.as_str())),
                    };
                    self.journal.append(self.machine.manager_record(at, &line));
                }
                Happened::Replied(_, reply) => replies.push(reply),
                Happened::JobRemoved(job, unit, result) => removed.push((job, unit, result)),
                _ => {}
            }
        }
        for (job, unit, result) in removed {
            for typed in &mut self.typed {
                typed.session.job_removed(job, &unit, result);
            }
        }
        replies
    }

    /// Lets every command go as far as it can at this moment.
    fn go_on(&mut self) {
        for at in 0..self.typed.len() {
            while self.typed[at].output.is_none() {
                let look = Look { world: &self.world, machine: &self.machine, journal: &self.journal };
                match self.typed[at].session.next(&look) {
                    Step::WaitJobs(_) => break,
                    Step::Exit(output) => {
                        let ended = self.world.now().since(self.origin).as_micros() / 1000;
                        self.typed[at].output = Some((ended, output));
                    }
                    Step::Ask(request) => {
                        self.world.request(request);
                        for reply in self.collect() {
                            self.typed[at].session.answer(reply);
                        }
                    }
                }
            }
        }
    }

    /// Advances to a moment, with a look at the commands whenever something happens.
    fn advance(&mut self, end: IncidentTime) {
        while self.typed.iter().any(|typed| typed.output.is_none()) {
            match self.world.next_moment() {
                Some(moment) if moment <= end => {
                    self.world.advance();
                    self.collect();
                    self.go_on();
                }
                _ => break,
            }
        }
        self.world.run_until(end);
        self.collect();
        self.go_on();
    }

    fn check(mut self) -> Vec<String> {
        let actions = self.case["actions"].as_array().expect("actions");
        let commands = self.case["expected"]["commands"].as_array().expect("commands");
        for (index, action) in actions.iter().enumerate() {
            let seconds = action["t"].as_f64().expect("a time");
            self.advance(self.origin + Span::from_micros((seconds * 1e6) as u64));
            let line = action["cmd"].as_str().unwrap_or_default();
            if let Some(path) = action["write"].as_str() {
                self.write(path, text(action, "text"));
            } else if let Some(path) = line.strip_prefix("rm ") {
                self.world.machine_mut().unit_files.entries.remove(path);
            } else {
                let words: Vec<String> = line.split_whitespace().skip(1).map(str::to_owned).collect();
                let session = Systemctl::new(&words, Profile::V252);
                self.typed.push(Typed { index, session, output: None });
                self.go_on();
                // It may have ended what another one waits for.
                self.collect();
                self.go_on();
            }
        }
        let last = commands.iter().filter_map(|command| command["end_ms"][1].as_u64()).max().unwrap_or(0);
        self.advance(self.origin + Span::from_millis(last + 2 * TOLERANCE_MS));
        let expected = cases::recording(self.case).expected;
        let mut wrong = Vec::new();
        for typed in &self.typed {
            let ours = typed.output.as_ref().map_or_else(Ended::default, |(at_ms, output)| Ended {
                rc: Some(output.code),
                out: String::from_utf8_lossy(&output.stdout).into_owned(),
                err: String::from_utf8_lossy(&output.stderr).into_owned(),
                end_ms: Some(Times::at(*at_ms)),
            });
            let line = text(&actions[typed.index], "cmd");
            compare::compare_command(line, &expected.commands[typed.index], &ours, &mut wrong);
        }
        wrong.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn every_recorded_command_line_is_answered_as_systemd_answered_it() {
    let mut failures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut count = 0;
    for case in cases::all() {
        count += 1;
        let wrong = Run::new(&case).check();
        if !wrong.is_empty() {
            failures.insert(format!("{} ({})", text(&case, "id"), text(&case, "family")), wrong);
        }
    }
    assert!(count >= 179, "only {count} cases");
    let list: Vec<String> =
        failures.iter().map(|(case, wrong)| format!("{case}:\n    {}", wrong.join("\n    "))).collect();
    assert!(failures.is_empty(), "{} of {count} cases differ:\n{}", failures.len(), list.join("\n"));
}
