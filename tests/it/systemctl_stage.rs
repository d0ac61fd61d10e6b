//! A machine made of data for `systemctl` to look at, and recordings of what the real one answered.

use std::collections::BTreeMap;

use relapse::ctl::systemctl::{Step, Systemctl};
use relapse::ctl::{JobInfo, Output, UnitProcess, Unmet, View};
use relapse::journal::{Journal, Machine, Record};
use relapse::manager::{JobId, JobResult, Reply, Request, RequestError, RequestErrorKind};
use relapse::time::IncidentTime;
use relapse::unit::{Files, Profile};

pub const BOOT: u64 = 1_795_451_344_261_714;
pub const BOOT_ID: &str = "3a89d074e4da4b8399992ebb427d8ee6";

/// The machine.
pub struct Stage {
    pub now: IncidentTime,
    pub machine: Machine,
    pub files: Files,
    pub journal: Journal,
    pub units: BTreeMap<String, Vec<(&'static str, String)>>,
    pub jobs: Vec<JobInfo>,
    pub processes: BTreeMap<String, Vec<UnitProcess>>,
    pub unmet: Vec<Unmet>,
    /// What the manager answers, in order; when there is no more it is done with everything.
    pub replies: Vec<Reply>,
    /// How the next jobs end.
    pub results: Vec<JobResult>,
    /// What changes when a job ends: (unit, property, value).
    pub afterwards: Vec<(String, &'static str, String)>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            now: IncidentTime::from_micros(BOOT),
            machine: Machine {
                hostname: "semtest".to_owned(),
                machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
                boot_id: BOOT_ID.to_owned(),
                boot: IncidentTime::from_micros(BOOT),
            },
            files: Files::default(),
            journal: Journal::new("d3a6489fb17b439ca072a0f317840063"),
            units: BTreeMap::new(),
            jobs: Vec::new(),
            processes: BTreeMap::new(),
            unmet: Vec::new(),
            replies: Vec::new(),
            results: Vec::new(),
            afterwards: Vec::new(),
        }
    }
}

impl View for Stage {
    fn now(&self) -> IncidentTime {
        self.now
    }
    fn machine(&self) -> &Machine {
        &self.machine
    }
    fn files(&self) -> &Files {
        &self.files
    }
    fn journal(&self) -> &Journal {
        &self.journal
    }
    fn units(&self) -> Vec<String> {
        // A unit without a file is loaded as long as it runs.
        let has = |list: &[(&str, String)], key: &str, value: &str| list.iter().any(|(k, v)| *k == key && v == value);
        let gone =
            |list: &[(&str, String)]| has(list, "LoadState", "not-found") && has(list, "ActiveState", "inactive");
        self.units.iter().filter(|(_, list)| !gone(list)).map(|(name, _)| name.clone()).collect()
    }
    fn jobs(&self) -> Vec<JobInfo> {
        self.jobs.clone()
    }
    fn properties(&self, unit: &str) -> Vec<(&'static str, String)> {
        self.units.get(unit).cloned().unwrap_or_default()
    }
    fn processes(&self, unit: &str) -> Vec<UnitProcess> {
        self.processes.get(unit).cloned().unwrap_or_default()
    }
    fn unmet(&self, _: &str) -> Vec<Unmet> {
        self.unmet.clone()
    }
    fn profile(&self) -> Profile {
        Profile::V252
    }
}

/// A property's name for as long as the tests run.
fn name(key: &str) -> &'static str {
    Box::leak(key.to_owned().into_boxed_str())
}

/// A moment of the day on which everything was recorded, `16:47:55.25`.
pub fn clock(time: &str) -> IncidentTime {
    relapse::journal::parse_timestamp(&format!("2026-11-23 {time}"), IncidentTime::default()).expect("a time")
}

/// Microseconds from boot to a time of that day.
pub fn since_boot(time: &str) -> String {
    clock(time).since(IncidentTime::from_micros(BOOT)).as_micros().to_string()
}

impl Stage {
    pub fn at(time: &str) -> Self {
        Self { now: clock(time), ..Self::default() }
    }

    /// A unit from the lines of a recorded `systemctl show`.
    #[must_use]
    pub fn shown(mut self, lines: &str) -> Self {
        let list: Vec<(&'static str, String)> = lines
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (name(key), value.to_owned()))
            .collect();
        let id = list.iter().find(|(key, _)| *key == "Id").expect("Id").1.clone();
        self.units.insert(id, list);
        self
    }

    /// A unit from `Key=Value` words; what every unit has is added.
    #[must_use]
    pub fn unit(self, id: &str, lines: &str) -> Self {
        let mut text = format!("Id={id}\n");
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            text.push_str(line);
            text.push('\n');
        }
        for (key, value) in
            [("LoadState", "loaded"), ("ActiveState", "inactive"), ("SubState", "dead"), ("Result", "success")]
        {
            if !lines.lines().any(|line| line.trim().starts_with(&format!("{key}="))) {
                text.push_str(&format!("{key}={value}\n"));
            }
        }
        self.shown(&text)
    }

    /// Properties that a recorded `show` leaves out because they are empty.
    #[must_use]
    pub fn unit_file_state_shown(mut self) -> Self {
        for list in self.units.values_mut() {
            let after = list.iter().position(|(key, _)| *key == "SubState").map_or(list.len(), |at| at + 1);
            list.insert(after, ("UnitFileState", String::new()));
        }
        self
    }

    #[must_use]
    pub fn process(mut self, unit: &str, pid: u32, comm: &str, cmdline: &str) -> Self {
        let process = UnitProcess { pid, comm: comm.to_owned(), cmdline: cmdline.to_owned() };
        self.processes.entry(unit.to_owned()).or_default().push(process);
        self
    }

    /// A line of the manager about a unit.
    #[must_use]
    pub fn log(mut self, time: &str, unit: &str, text: &str) -> Self {
        let record = Record::new(clock(time), self.machine.boot)
            .with("_BOOT_ID", BOOT_ID)
            .with("_HOSTNAME", self.machine.hostname.as_str())
            .with("SYSLOG_IDENTIFIER", "systemd")
            .with("_PID", "1")
            .with("_SYSTEMD_CGROUP", "/init.scope")
            .with("UNIT", unit)
            .with("MESSAGE", text);
        self.journal.append(record);
        self
    }

    /// A line that a process of the unit has printed.
    #[must_use]
    pub fn print(mut self, time: &str, unit: &str, pid: u32, text: &str) -> Self {
        let record = Record::new(clock(time), self.machine.boot)
            .with("_BOOT_ID", BOOT_ID)
            .with("_HOSTNAME", self.machine.hostname.as_str())
            .with("SYSLOG_IDENTIFIER", "python3")
            .with("_PID", pid.to_string())
            .with("_SYSTEMD_UNIT", unit)
            .with("MESSAGE", text);
        self.journal.append(record);
        self
    }

    /// A unit file, and links to it, that make `is-enabled` say this.
    #[must_use]
    pub fn file(mut self, unit: &str, state: &str) -> Self {
        let (etc, run) = ("/etc/systemd/system", "/run/systemd/system");
        let text = "[Unit]\n[Service]\nExecStart=/bin/true\n[Install]\n";
        let wanted = format!("{text}WantedBy=multi-user.target\nDefaultInstance=7\n");
        let path = format!("{etc}/{unit}");
        let link = match unit.strip_suffix("@.service") {
            Some(prefix) => format!("multi-user.target.wants/{prefix}@7.service"),
            None => format!("multi-user.target.wants/{unit}"),
        };
        let files = &mut self.files;
        match state {
            "enabled" => {
                files.insert(&path, wanted);
                files.symlink(format!("{etc}/{link}"), path);
            }
            "enabled-runtime" => {
                files.insert(&path, wanted);
                files.symlink(format!("{run}/{link}"), path);
            }
            "disabled" => files.insert(path, wanted),
            "static" => files.insert(path, "[Unit]\n"),
            "indirect" => files.insert(path, format!("{text}Also=other.service\n")),
            "generated" => files.insert(format!("/run/systemd/generator/{unit}"), text),
            "transient" => files.insert(format!("/run/systemd/transient/{unit}"), text),
            "alias" => {
                files.insert(format!("{etc}/real.service"), format!("{text}Alias={unit}\n"));
                files.symlink(path, format!("{etc}/real.service"));
            }
            "masked" => files.symlink(path, "/dev/null"),
            "masked-runtime" => files.symlink(format!("{run}/{unit}"), "/dev/null"),
            "linked" => {
                files.insert(format!("/opt/{unit}"), wanted);
                files.symlink(path, format!("/opt/{unit}"));
            }
            "bad" => files.insert(path, "[Unit\n"),
            other => panic!("no file is {other}"),
        }
        self
    }

    #[must_use]
    pub fn replies(mut self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.replies = replies.into_iter().collect();
        self
    }

    /// The next request that can be refused is.
    #[must_use]
    pub fn refuses(self, kind: RequestErrorKind, message: &str) -> Self {
        self.replies([Reply::Error(RequestError::new(kind, message))])
    }

    #[must_use]
    pub fn jobs_end(mut self, results: impl IntoIterator<Item = JobResult>) -> Self {
        self.results = results.into_iter().collect();
        self
    }

    /// Runs a command to its end. Jobs get numbers from 1 on and end, in that order, once the command waits.
    pub fn run(&mut self, command: &str, profile: Profile) -> (Output, Vec<Request>) {
        let words: Vec<String> = split(command);
        assert_eq!(words[0], "systemctl", "a command line begins with its program");
        let mut session = Systemctl::new(&words[1..], profile);
        let mut requests = Vec::new();
        let mut jobs: Vec<String> = Vec::new();
        let mut replies = std::mem::take(&mut self.replies).into_iter();
        let mut results = std::mem::take(&mut self.results).into_iter();
        for _ in 0..200_000 {
            match session.next(self) {
                Step::Exit(output) => return (output, requests),
                Step::Ask(request) => {
                    // Looks always succeed; the canned replies are for what changes something.
                    let reply = match &request {
                        Request::Load { .. } | Request::Show { .. } => Reply::Done,
                        Request::Job { unit, .. } => replies.next().unwrap_or_else(|| {
                            jobs.push(unit.clone());
                            Reply::Job(JobId::try_from(jobs.len()).expect("few jobs"))
                        }),
                        _ => replies.next().unwrap_or(Reply::Done),
                    };
                    requests.push(request);
                    session.answer(reply);
                }
                Step::WaitJobs(waiting) => {
                    let job = *waiting.iter().min().expect("a command waits for some job");
                    for (unit, key, value) in std::mem::take(&mut self.afterwards) {
                        let list = self.units.get_mut(&unit).expect("a unit of the stage");
                        list.retain(|(known, _)| *known != key);
                        list.push((key, value));
                    }
                    let unit = &jobs[usize::try_from(job).expect("a small number") - 1];
                    session.job_removed(job, unit, results.next().unwrap_or(JobResult::Done));
                }
            }
        }
        panic!("{command}: the session does not come to an end");
    }
}

/// Words of a command line; quotes group, nothing else is special.
fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = command.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').expect("a closing quote"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// What a recorded command answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded {
    pub stdout: String,
    pub stderr: String,
    pub code: u8,
}

/// The `nth` time (from 1) that `command` stands in a recording of `$ command`, `OUT:` and `ERR:` lines, and `rc=`.
pub fn recorded(recording: &str, command: &str, nth: usize) -> Recorded {
    let header = format!("$ {command}");
    let mut lines = recording.lines();
    let mut left = nth;
    while left > 0 {
        assert!(lines.any(|line| line == header), "{command} is recorded {nth} times");
        left -= 1;
    }
    let mut answer = Recorded { stdout: String::new(), stderr: String::new(), code: 0 };
    for line in lines {
        if let Some(code) = line.strip_prefix("rc=") {
            answer.code = code.parse().expect("an exit code");
            return answer;
        }
        let (target, text) = match line.split_once(':') {
            Some(("OUT", text)) => (&mut answer.stdout, text),
            Some(("ERR", text)) => (&mut answer.stderr, text),
            _ => panic!("{command}: a line that is neither: {line}"),
        };
        target.push_str(text.strip_prefix(' ').unwrap_or(text));
        target.push('\n');
    }
    panic!("{command}: the recording ends in it");
}

impl From<Output> for Recorded {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
            code: output.code,
        }
    }
}
