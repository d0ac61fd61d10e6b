//! What happens on a machine: units that are started, end and are started again, and what programs say meanwhile.
//!
//! A story is told line by line in the words that systemd or a program has for it. Which lines are starts is said by the
//! teller, never found out from the lines: the expectations do not depend on anything that `detect` does.

/// Microseconds.
pub const MS: i64 = 1_000;
/// A second in microseconds.
pub const SEC: i64 = 1_000_000;
/// A minute in microseconds.
pub const MIN: i64 = 60 * SEC;
/// An hour in microseconds.
pub const HOUR: i64 = 60 * MIN;
/// 2026-01-16 12:19:00 UTC, when the incident's second owner was started.
pub const INCIDENT: i64 = 1_768_565_940 * SEC;

/// Numbers that look random and are the same every time.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice for the case of this name.
    pub fn of(name: &str) -> Self {
        Self(
            name.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)),
        )
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in FROM..TO.
    pub fn within(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() % u64::try_from(to - from).expect("an ascending range")) as i64
    }

    /// 32 hexadecimal digits.
    pub fn id(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}

/// Who wrote a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PID 1.
    Manager,
    /// The manager of a user, with its PID.
    UserManager(u32),
    /// A program; `unit` is the one that it belongs to, empty for none.
    Program { ident: String, pid: Option<u32>, unit: String },
}

/// One line of a journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Microseconds since 1970 by the machine's clock.
    pub at: i64,
    /// Microseconds by a clock that nobody sets.
    pub monotonic: i64,
    pub source: Source,
    pub message: String,
    /// Fields of systemd's own records, `UNIT=` among them.
    pub fields: Vec<(&'static str, String)>,
    /// Whose run begins here.
    pub start_of: Option<String>,
    pub boot: String,
}

/// A row of a journal's text.
#[derive(Clone, Debug)]
pub enum Row {
    Record(Entry),
    /// A line that journalctl puts between records in its text formats.
    Note(String),
}

/// How a version of systemd words things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// From 249 on: `Started NAME - DESCRIPTION.`
    Current,
    /// From 257 on: no `Stopped` line in an automatic restart.
    V257,
    /// 239 to 245: two lines for a restart.
    V239,
    /// 235 to 238: the old line and the counter's.
    V237,
    /// Up to 234: no counter.
    V234,
    /// 219 and its like: `holdoff`, and `Starting` right after `Started`.
    V219,
}

/// A unit and its program.
#[derive(Clone, Debug)]
pub struct Unit {
    pub name: String,
    pub description: String,
    /// The program's syslog identifier.
    pub ident: String,
    pub wording: Wording,
    /// PID of its user's manager.
    pub user: Option<u32>,
    pub pid: u32,
    pub invocation: String,
    pub counter: u32,
}

impl Unit {
    pub fn new(name: &str, description: &str, ident: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            ident: ident.to_owned(),
            wording: Wording::Current,
            user: None,
            pid: 0,
            invocation: String::new(),
            counter: 0,
        }
    }

    pub fn wording(mut self, wording: Wording) -> Self {
        self.wording = wording;
        self
    }

    pub fn of_user(mut self, manager: u32) -> Self {
        self.user = Some(manager);
        self
    }

    /// What systemd calls it in its sentences.
    fn called(&self) -> String {
        match self.wording {
            Wording::Current | Wording::V257 if self.description.is_empty() => self.name.clone(),
            Wording::Current | Wording::V257 => format!("{} - {}", self.name, self.description),
            _ => self.description.clone(),
        }
    }
}

/// A machine and what has happened there so far.
#[derive(Clone, Debug)]
pub struct Story {
    pub now: i64,
    pub host: String,
    /// From which moment on its clock is so many minutes ahead of UTC, and the zone's name.
    pub zones: Vec<(i64, i64, &'static str)>,
    pub rows: Vec<Row>,
    pub dice: Dice,
    pub boot: String,
    /// How far the machine's clock is ahead of the right time.
    pub ahead: i64,
    next_pid: u32,
}

impl Story {
    pub fn new(name: &str) -> Self {
        let mut dice = Dice::of(name);
        let boot = dice.id();
        let next_pid = u32::try_from(dice.within(900, 3_400_000)).expect("a PID");
        Self {
            now: INCIDENT,
            host: "web1".to_owned(),
            zones: vec![(i64::MIN, 0, "UTC")],
            rows: Vec::new(),
            dice,
            boot,
            ahead: 0,
            next_pid,
        }
    }

    pub fn on(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    pub fn since(mut self, moment: i64) -> Self {
        self.now = moment;
        self
    }

    /// A PID that nobody had before.
    pub fn pid(&mut self) -> u32 {
        self.next_pid += u32::try_from(self.dice.within(1, 9)).expect("small");
        self.next_pid
    }

    /// Time passes.
    pub fn wait(&mut self, span: i64) -> &mut Self {
        self.now += span;
        self
    }

    pub fn note(&mut self, text: &str) -> &mut Self {
        self.rows.push(Row::Note(text.to_owned()));
        self
    }

    fn push(&mut self, source: Source, message: &str, fields: Vec<(&'static str, String)>) -> &mut Entry {
        let entry = Entry {
            at: self.now + self.ahead,
            monotonic: self.now - INCIDENT + HOUR,
            source,
            message: message.to_owned(),
            fields,
            start_of: None,
            boot: self.boot.clone(),
        };
        self.rows.push(Row::Record(entry));
        self.now += self.dice.within(40, 900);
        match self.rows.last_mut() {
            Some(Row::Record(entry)) => entry,
            _ => unreachable!("a record was just pushed"),
        }
    }

    /// A line of the unit's manager, with the fields of its kind.
    pub fn manager(&mut self, unit: &Unit, message: &str, fields: &[(&'static str, &str)]) -> &mut Entry {
        let source = unit.user.map_or(Source::Manager, Source::UserManager);
        let (unit_field, invocation_field) = match unit.user {
            Some(_) => ("USER_UNIT", "USER_INVOCATION_ID"),
            None => ("UNIT", "INVOCATION_ID"),
        };
        let mut all = vec![(unit_field, unit.name.clone())];
        if !unit.invocation.is_empty() {
            all.push((invocation_field, unit.invocation.clone()));
        }
        all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.push(source, message, all)
    }

    /// A line of a program that belongs to no unit.
    pub fn program(&mut self, ident: &str, pid: impl Into<Option<u32>>, message: &str) -> &mut Entry {
        self.push(
            Source::Program { ident: ident.to_owned(), pid: pid.into(), unit: String::new() },
            message,
            Vec::new(),
        )
    }

    /// The unit's program says something.
    pub fn says(&mut self, unit: &Unit, message: &str) -> &mut Entry {
        let (of, fields) = match unit.user {
            Some(_) => ("user@1000.service", vec![("_SYSTEMD_USER_UNIT", unit.name.clone())]),
            None => (unit.name.as_str(), Vec::new()),
        };
        let source = Source::Program { ident: unit.ident.clone(), pid: Some(unit.pid), unit: of.to_owned() };
        self.push(source, message, fields)
    }

    fn fresh(&mut self, unit: &mut Unit) {
        unit.pid = self.pid();
        unit.invocation = self.dice.id();
    }

    /// `Started`: a run begins.
    pub fn started(&mut self, unit: &mut Unit) -> &mut Self {
        self.fresh(unit);
        self.now_active(unit).start_here(&unit.name);
        self.afterthought(unit);
        self
    }

    /// `Started` for a run that began with `Starting`.
    pub fn now_active(&mut self, unit: &Unit) -> &mut Self {
        let fields =
            [("JOB_TYPE", "start"), ("JOB_RESULT", "done"), ("MESSAGE_ID", "39f53479d3a045ac8e11786248231fbf")];
        self.manager(unit, &format!("Started {}.", unit.called()), &fields);
        self
    }

    /// What 219 says after it.
    fn afterthought(&mut self, unit: &Unit) {
        if unit.wording == Wording::V219 {
            let fields = [("JOB_TYPE", "start"), ("MESSAGE_ID", "7d4958e842da4a758f6c1cdc7b36dcc5")];
            self.manager(unit, &format!("Starting {}...", unit.called()), &fields);
        }
    }

    /// Calls the last line a start of SUBJECT.
    pub fn start_here(&mut self, subject: &str) -> &mut Self {
        if let Some(Row::Record(entry)) = self.rows.last_mut() {
            entry.start_of = Some(subject.to_owned());
        }
        self
    }

    /// `Starting`: not a start yet by itself.
    pub fn starting(&mut self, unit: &mut Unit) -> &mut Self {
        self.fresh(unit);
        let fields = [("JOB_TYPE", "start"), ("MESSAGE_ID", "7d4958e842da4a758f6c1cdc7b36dcc5")];
        self.manager(unit, &format!("Starting {}...", unit.called()), &fields);
        self
    }

    /// `Finished`: a oneshot has done its work.
    pub fn finished(&mut self, unit: &Unit) -> &mut Self {
        let fields =
            [("JOB_TYPE", "start"), ("JOB_RESULT", "done"), ("MESSAGE_ID", "39f53479d3a045ac8e11786248231fbf")];
        self.manager(unit, &format!("Finished {}.", unit.called()), &fields);
        self
    }

    pub fn failed_to_start(&mut self, unit: &Unit) -> &mut Self {
        let fields =
            [("JOB_TYPE", "start"), ("JOB_RESULT", "failed"), ("MESSAGE_ID", "be02cf6855d2428ba40df7e9d022f03d")];
        self.manager(unit, &format!("Failed to start {}.", unit.called()), &fields);
        self
    }

    /// The process is gone: `code=exited, status=1/FAILURE` and the like.
    pub fn main_exited(&mut self, unit: &Unit, how: &str) -> &mut Self {
        self.process_exited(unit, "Main", "ExecStart", how)
    }

    pub fn control_exited(&mut self, unit: &Unit, how: &str) -> &mut Self {
        self.process_exited(unit, "Control", "ExecStartPre", how)
    }

    fn process_exited(&mut self, unit: &Unit, process: &str, command: &str, how: &str) -> &mut Self {
        let code = how.split(['=', ',']).nth(1).unwrap_or_default().to_owned();
        let status = how.split(['=', '/']).nth(2).unwrap_or_default().to_owned();
        let fields = [
            ("EXIT_CODE", code.as_str()),
            ("EXIT_STATUS", status.as_str()),
            ("COMMAND", command),
            ("MESSAGE_ID", "98e322203f7a4ed290d09fe03c09fe15"),
        ];
        let process = if unit.wording == Wording::V219 { process.to_lowercase() } else { process.to_owned() };
        self.manager(unit, &format!("{}: {process} process exited, {how}", unit.name), &fields);
        self
    }

    pub fn failed(&mut self, unit: &Unit, result: &str) -> &mut Self {
        match unit.wording {
            Wording::V234 => {
                self.manager(unit, &format!("{}: Unit entered failed state.", unit.name), &[]);
            }
            Wording::V219 => {
                self.manager(unit, &format!("Unit {} entered failed state.", unit.name), &[]);
                self.manager(unit, &format!("{} failed.", unit.name), &[]);
                return self;
            }
            _ => {}
        }
        let fields = [("UNIT_RESULT", result), ("MESSAGE_ID", "d9b373ed55a64feb8242e02dbe79a49c")];
        self.manager(unit, &format!("{}: Failed with result '{result}'.", unit.name), &fields);
        self
    }

    pub fn deactivated(&mut self, unit: &Unit) -> &mut Self {
        let fields = [("MESSAGE_ID", "7ad2d189f7e94e70a38c781354912448")];
        self.manager(unit, &format!("{}: Deactivated successfully.", unit.name), &fields);
        self
    }

    /// What systemd says when it restarts by itself, up to the start.
    pub fn scheduled(&mut self, unit: &mut Unit) -> &mut Self {
        unit.counter += 1;
        let counter = unit.counter.to_string();
        let restart = [("N_RESTARTS", counter.as_str()), ("MESSAGE_ID", "5eb03494b6584870a536b337290809b3")];
        match unit.wording {
            Wording::V237 | Wording::V234 => {
                self.manager(unit, &format!("{}: Service hold-off time over, scheduling restart.", unit.name), &[]);
            }
            Wording::V219 => {
                self.manager(unit, &format!("{} holdoff time over, scheduling restart.", unit.name), &[]);
            }
            Wording::V239 => {
                let text = format!("{}: Service RestartSec=10s expired, scheduling restart.", unit.name);
                self.manager(unit, &text, &[]);
            }
            Wording::Current | Wording::V257 => {}
        }
        if !matches!(unit.wording, Wording::V234 | Wording::V219) {
            let text = format!("{}: Scheduled restart job, restart counter is at {counter}.", unit.name);
            self.manager(unit, &text, &restart);
        }
        if unit.wording != Wording::V257 {
            self.stopped_as(unit, "restart");
        }
        self.now += self.dice.within(8 * MS, 23 * MS);
        self
    }

    fn stopped_as(&mut self, unit: &Unit, job: &str) {
        let fields = [("JOB_TYPE", job), ("JOB_RESULT", "done"), ("MESSAGE_ID", "9d1aaa27d60140bd96365438aad20286")];
        self.manager(unit, &format!("Stopped {}.", unit.called()), &fields);
    }

    /// Somebody asks for a stop, and it is gone `after` so long.
    pub fn stop_asked(&mut self, unit: &Unit, after: i64) -> &mut Self {
        let fields = [("JOB_TYPE", "stop"), ("MESSAGE_ID", "de5b426a63be47a7b6ac3eaac82e2f6f")];
        self.manager(unit, &format!("Stopping {}...", unit.called()), &fields);
        self.wait(after).deactivated(unit);
        self.stopped_as(unit, "stop");
        self
    }

    /// Somebody asks for a stop while it waits for its restart.
    pub fn stop_asked_in_the_wait(&mut self, unit: &Unit) -> &mut Self {
        self.stopped_as(unit, "stop");
        self
    }

    /// systemd refuses a start.
    pub fn limited(&mut self, unit: &Unit, result: &str) -> &mut Self {
        match unit.wording {
            Wording::V219 => self.manager(unit, &format!("start request repeated too quickly for {}", unit.name), &[]),
            _ => self.manager(unit, &format!("{}: Start request repeated too quickly.", unit.name), &[]),
        };
        self.failed(unit, result).failed_to_start(unit)
    }

    /// uvicorn's lines from its start to the failing bind.
    pub fn uvicorn_fails(&mut self, unit: &Unit, port: u16) -> &mut Self {
        self.says(unit, &format!("INFO:     Started server process [{}]", unit.pid));
        self.says(unit, "INFO:     Waiting for application startup.");
        self.says(unit, "INFO:     Application startup complete.");
        let error = "error while attempting to bind on address";
        self.says(unit, &format!("ERROR:    [Errno 98] {error} ('0.0.0.0', {port}): address already in use"));
        self.says(unit, "INFO:     Waiting for application shutdown.");
        self.says(unit, "INFO:     Application shutdown complete.");
        self
    }

    /// uvicorn's lines from its start to serving.
    pub fn uvicorn_serves(&mut self, unit: &Unit, port: u16) -> &mut Self {
        self.says(unit, &format!("INFO:     Started server process [{}]", unit.pid));
        self.says(unit, "INFO:     Waiting for application startup.");
        self.says(unit, "INFO:     Application startup complete.");
        self.says(unit, &format!("INFO:     Uvicorn running on http://0.0.0.0:{port} (Press CTRL+C to quit)"));
        self
    }

    /// `runs` automatic restarts of a unit that is running and ends in the same way each time.
    pub fn crashes(&mut self, unit: &mut Unit, runs: u32, crash: Crash<'_>) -> &mut Self {
        for run in 0..runs {
            self.wait(crash.runs_for);
            if !crash.last_words.is_empty() {
                self.says(unit, crash.last_words);
            }
            if !crash.how.is_empty() {
                self.main_exited(unit, crash.how);
            }
            match crash.result {
                "success" => self.deactivated(unit),
                result => self.failed(unit, result),
            };
            let slack = if crash.slack > 0 { self.dice.within(0, crash.slack) } else { 0 };
            self.wait(crash.waits(run) + slack).scheduled(unit).started(unit);
        }
        self
    }
}

/// How the runs of a loop end, and when the next one begins.
#[derive(Clone, Copy, Debug)]
pub struct Crash<'a> {
    pub runs_for: i64,
    pub last_words: &'a str,
    /// `code=exited, status=1/FAILURE`; empty for an exit that systemd calls clean.
    pub how: &'a str,
    pub result: &'a str,
    pub wait: i64,
    /// The wait is up to so much longer.
    pub slack: i64,
    /// Each wait is so many times the one before.
    pub growth: i64,
}

impl Crash<'_> {
    fn waits(&self, run: u32) -> i64 {
        self.wait * self.growth.pow(run)
    }
}

/// The usual crash: exit code 1 after four seconds, restarted after ten.
pub const CRASH: Crash<'static> = Crash {
    runs_for: 4_300 * MS,
    last_words: "",
    how: "code=exited, status=1/FAILURE",
    result: "exit-code",
    wait: 10 * SEC,
    slack: 250 * MS,
    growth: 1,
};
