//! Units that were generated at random and run on real systemd 252 (`fixtures/systemd/cases.jsonl`), run in the model:
//! the manager must log what systemd logged, answer what it answered, and show what it showed.

use std::collections::BTreeMap;
use std::sync::Arc;

use relapse::conform::{Answer, Said, compare, hear};
use relapse::manager::{Config, JobMode, JobVerb, KillWhom, Message, Reply, Request, RequestErrorKind, Spawn};
use relapse::time::Span;
use relapse::unit::{FileEntry, Files, Profile, signal};
use relapse::world::{Act, Happened, Launch, Machine, World};
use serde_json::Value;

use crate::cases::{self, DIR, text};
use crate::manager::BOOT;
use crate::manager_shell::{launch, shell};

/// The case's own program: a preamble, and what the n-th run does.
pub fn program(script: &str, spawn: &Spawn, machine: &mut Machine) -> Launch {
    let counter = format!("{DIR}/n");
    let before = machine.files.get(&counter).and_then(|bytes| std::str::from_utf8(bytes).ok()?.trim().parse().ok());
    let n = before.unwrap_or(0u32) + 1;
    if spawn.program.working_directory.as_ref().is_some_and(|(directory, _)| directory == "/etc/passwd") {
        return launch(spawn);
    }
    let (mut preamble, mut body, mut in_case) = (String::new(), None, false);
    for line in script.lines() {
        match line {
            "esac" => {}
            line if line.starts_with("cd ") || line.starts_with("n=$(") => {}
            line if line.starts_with("case ") => in_case = true,
            line if in_case => {
                let (pattern, acts) = line.split_once(") ").expect("a pattern");
                if body.is_none() && (pattern == "*" || pattern == n.to_string()) {
                    body = acts.strip_suffix(";;");
                }
            }
            line => preamble.extend([line, "\n"]),
        }
    }
    let mut program = shell(&preamble, false);
    program.acts.insert(0, Act::Write { path: counter, content: format!("{n}\n").into_bytes() });
    let shift = program.acts.len();
    let body = shell(body.unwrap_or_default(), false);
    program.acts.extend(body.acts.into_iter().map(|act| match act {
        Act::Again(index) => Act::Again(index + shift),
        act => act,
    }));
    program.reactions.extend(body.reactions);
    Launch::Runs(program)
}

/// A command line of systemctl, as far as the cases use it.
struct Command {
    verb: String,
    units: Vec<String>,
    now: bool,
    runtime: bool,
    signal: i32,
    whom: KillWhom,
}

impl Command {
    fn parse(line: &str) -> Self {
        let mut command = Self {
            verb: String::new(),
            units: Vec::new(),
            now: false,
            runtime: false,
            signal: 15,
            whom: KillWhom::All,
        };
        let mut words = line.split_whitespace().skip(1);
        while let Some(word) = words.next() {
            match word {
                "--now" => command.now = true,
                "--runtime" => command.runtime = true,
                "--no-block" => {}
                "--kill-who=main" => command.whom = KillWhom::Main,
                "-s" => command.signal = words.next().and_then(signal::from_name).expect("a signal"),
                "-p" => _ = words.next(),
                word if word.starts_with("--signal=") => {
                    command.signal = signal::from_name(&word["--signal=".len()..]).expect("a signal");
                }
                word if word.starts_with('-') => panic!("unknown option {word}"),
                word if command.verb.is_empty() => command.verb = word.to_owned(),
                word => command.units.push(word.to_owned()),
            }
        }
        command
    }

    fn requests(&self) -> Vec<Request> {
        let unit = || self.units[0].clone();
        let job = |verb| Request::Job { verb, unit: unit(), mode: JobMode::Replace };
        let (units, runtime) = (self.units.clone(), self.runtime);
        match self.verb.as_str() {
            "start" => vec![job(JobVerb::Start)],
            "stop" => vec![job(JobVerb::Stop)],
            "restart" => vec![job(JobVerb::Restart)],
            "reload" => vec![job(JobVerb::Reload)],
            "try-restart" | "condrestart" => vec![job(JobVerb::TryRestart)],
            "reload-or-restart" => vec![job(JobVerb::ReloadOrRestart)],
            "try-reload-or-restart" => vec![job(JobVerb::TryReloadOrRestart)],
            "kill" => vec![Request::Kill { unit: unit(), whom: self.whom, signal: self.signal }],
            "reset-failed" => vec![Request::ResetFailed { unit: self.units.first().cloned() }],
            "daemon-reload" => vec![Request::DaemonReload],
            "is-active" | "is-failed" => vec![Request::Load { unit: unit() }],
            "is-enabled" | "cat" => Vec::new(),
            "show" | "status" => vec![Request::Show { unit: unit() }],
            change => {
                let request = match change {
                    "enable" => Request::Enable { units, runtime },
                    "disable" => Request::Disable { units, runtime },
                    "mask" => Request::Mask { units, runtime },
                    "unmask" => Request::Unmask { units, runtime },
                    verb => panic!("unknown verb {verb}"),
                };
                let mut all = vec![request, Request::DaemonReload];
                if self.now {
                    all.push(job(if change == "enable" { JobVerb::Start } else { JobVerb::Stop }));
                }
                all
            }
        }
    }
}

/// One case in the model.
struct Run<'a> {
    case: &'a Value,
    unit: String,
    world: World,
    log: Vec<(u64, Message)>,
    generation: u64,
    wrong: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(case: &'a Value) -> Self {
        let unit = format!("{}.service", text(case, "id"));
        let script = text(case, "prog").to_owned();
        let dumps = unit == "d799.service";
        let launcher = move |spawn: &Spawn, machine: &mut Machine| {
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
                Launch::Runs(program) if dumps => {
                    // The one machine that was set up to dump core.
                    let dump = relapse::world::Reaction::Do(vec![Act::End(relapse::manager::Exit::Dumped(6))]);
                    Launch::Runs(program.on(6, dump))
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
        let mut run = Self { case, unit, world, log: Vec::new(), generation: 0, wrong: Vec::new() };
        let name = run.unit.clone();
        run.write(&name, text(case, "unit"));
        for (drop_in, content) in case["dropins"].as_object().expect("drop-ins") {
            run.write(&format!("{name}.d/{drop_in}"), content.as_str().expect("text"));
        }
        run.world.boot();
        run.world.run_for(Span::from_secs(10));
        run.world.take_happened();
        run
    }

    fn write(&mut self, name: &str, content: &str) {
        self.generation += 1;
        let content = content.replace("@DIR@", DIR).into_bytes();
        let entry = FileEntry::Regular { content, generation: self.generation };
        let path = format!("/etc/systemd/system/{name}");
        self.world.machine_mut().unit_files.entries.insert(path, entry);
    }

    /// Everything logged and answered since the last time.
    fn collect(&mut self, origin: relapse::time::IncidentTime) -> Vec<Reply> {
        let mut replies = Vec::new();
        for (at, happened) in self.world.take_happened() {
            match happened {
                Happened::Logged(message) => self.log.push((at.since(origin).as_micros() / 1000, message)),
                Happened::Replied(_, reply) => replies.push(reply),
                _ => {}
            }
        }
        replies
    }

    fn check(mut self) -> Vec<String> {
        let origin = self.world.now();
        let expected = &self.case["expected"];
        let actions = self.case["actions"].as_array().expect("actions");
        let commands = expected["commands"].as_array().expect("commands");
        for (index, (action, command)) in actions.iter().zip(commands).enumerate() {
            let seconds = action["t"].as_f64().expect("a time");
            self.world.run_until(origin + Span::from_micros((seconds * 1e6) as u64));
            self.collect(origin);
            if let Some(path) = action["write"].as_str() {
                let content = text(action, "text").to_owned();
                self.write(path, &content);
                continue;
            }
            let line = text(action, "cmd");
            if let Some(path) = line.strip_prefix("rm ") {
                self.world.machine_mut().unit_files.entries.remove(path);
                continue;
            }
            let parsed = Command::parse(line);
            let mut replies = Vec::new();
            for request in parsed.requests() {
                self.world.request(request);
                replies.extend(self.collect(origin));
                if matches!(replies.last(), Some(Reply::Error(_))) {
                    break;
                }
            }
            self.check_reply(line, &parsed, &replies, command);
            self.check_look(line, index, &parsed, command);
        }
        let last = commands.iter().filter_map(|command| command["end_ms"][0].as_u64()).max().unwrap_or(0);
        self.world.run_until(origin + Span::from_millis(last + 20));
        self.collect(origin);
        self.check_messages();
        self.wrong
    }

    /// The answer: whether it is a refusal, with which exit code and words.
    fn check_reply(&mut self, line: &str, parsed: &Command, replies: &[Reply], command: &Value) {
        let (code, stderr) = (command["rc"].as_i64().unwrap_or(0), command["err"].as_str().unwrap_or_default());
        for reply in replies {
            match reply {
                Reply::Error(error) => {
                    let mine = match error.kind {
                        RequestErrorKind::NoSuchUnit if matches!(&*parsed.verb, "kill" | "reset-failed") => 1,
                        RequestErrorKind::NoSuchUnit => 5,
                        RequestErrorKind::OnlyByDependency => 4,
                        RequestErrorKind::JobTypeNotApplicable => 3,
                        _ => 1,
                    };
                    if mine != code || !stderr.contains(&error.message) {
                        self.wrong
                            .push(format!("{line}: refused with {mine} {:?}, not {code} {stderr:?}", error.message));
                    }
                }
                Reply::UnitFiles(lines) if !stderr.starts_with("The unit files have no installation config") => {
                    let mine: String = lines.iter().map(|line| format!("{line}\n")).collect();
                    if mine != stderr {
                        self.wrong.push(format!("{line}: {mine:?}, not {stderr:?}"));
                    }
                }
                _ => {}
            }
        }
    }

    /// What the command shows.
    fn check_look(&mut self, line: &str, index: usize, parsed: &Command, command: &Value) {
        if matches!(&*parsed.verb, "is-active" | "is-failed") {
            let mine = self.world.manager().state(&parsed.units[0]).0.as_str();
            let theirs = text(command, "out").trim();
            if mine != theirs {
                self.wrong.push(format!("{line}: {mine}, not {theirs}"));
            }
        }
        let shows = self.case["expected"]["shows"].as_array().expect("shows");
        let Some(show) = shows.iter().find(|show| show["action"].as_u64() == Some(index as u64)) else { return };
        let mine: BTreeMap<&str, String> = self.world.properties(&self.unit).unwrap_or_default().into_iter().collect();
        for (name, theirs) in show["properties"].as_object().expect("properties") {
            let theirs = theirs.as_str().expect("text");
            let mine = mine.get(name.as_str()).map_or_else(|| "(none)".into(), |value| value.replace(DIR, "@DIR@"));
            if mine != theirs {
                self.wrong.push(format!("action {index}: {name}={mine}, not {theirs}"));
            }
        }
    }

    /// PID 1's messages and those of its children.
    fn check_messages(&mut self) {
        let mine = self.log.iter().filter(|(_, message)| message.unit.as_deref() == Some(&self.unit));
        let said: Vec<Said> = mine
            .map(|(at, message)| Said {
                at_ms: *at,
                priority: message.priority,
                units: vec![self.unit.clone()],
                text: message.text.clone(),
                message_id: message.message_id.map(str::to_owned),
                invocations: message.invocation_id.iter().map(|id| id.to_string()).collect(),
                fields: message.fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect(),
                by_child: message.child.is_some(),
            })
            .collect();
        let recording = cases::recording(self.case);
        let (messages, child_messages) = hear(&recording.case, said);
        let ours = Answer { messages, child_messages, ..Answer::default() };
        let mut wrong = Vec::new();
        compare::compare_messages(&recording.expected, &ours, &mut wrong);
        self.wrong.extend(wrong.iter().map(ToString::to_string));
    }
}

pub fn script_marker() -> Vec<u8> {
    b"#!/bin/sh\n".to_vec()
}

#[test]
fn every_recorded_case_gives_systemd_s_messages_answers_and_properties() {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in cases::all() {
        count += 1;
        let wrong = Run::new(&case).check();
        if !wrong.is_empty() {
            failures.push(format!("{} ({}):\n    {}", text(&case, "id"), text(&case, "family"), wrong.join("\n    ")));
        }
    }
    assert!(count >= 179, "only {count} cases");
    assert!(failures.is_empty(), "{} of {count} cases differ:\n{}", failures.len(), failures.join("\n"));
}
