//! Units, programs and operators' commands made at random. The same seed and number make the same case on every
//! machine; which others are made beside it does not matter.
//!
//! # Moments
//!
//! What a machine does at a moment must not hang on a few milliseconds, or its answer is a coin toss. The manager's
//! timers fire at 164 ms after each quarter of a second since the first action ([`super::TIMER_PHASE`]), or before, as soon
//! as they are due and somebody asks it something. So, modulo 250 ms, commands are entered at 235 (the very first, at 0, does
//! nothing), programs sleep for 150, and what is waited for takes 100, sleeps before it included: then what programs do
//! happens at 64 or 135, 70 ms and more away from every command, and whatever is due is so at 14 or 85, after the command of
//! that quarter and 79 ms before it fires, whether a command, a timer or another's end has begun it.

mod families;
mod operators;
mod random;
mod texts;

use std::collections::BTreeMap;

use super::case::{Act, Action, Case};
use crate::time::Span;
use random::Random;

/// What is shown of a unit.
pub(super) const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,NRestarts,ExecMainCode,ExecMainStatus,\
    UnitFileState,NeedDaemonReload,Type,Restart,RestartUSec,StartLimitBurst,StartLimitIntervalUSec,KillMode,KillSignal,\
    SendSIGKILL,TimeoutStartUSec,TimeoutStopUSec,RuntimeMaxUSec,RemainAfterExit,SuccessExitStatus,\
    RestartPreventExitStatus,RestartForceExitStatus,ReloadResult,ConditionResult,AssertResult,StatusText,Description";

/// A program counts its runs.
pub(super) const COUNT: &str = "cd \"$DIR\"\nn=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n\n";
/// A program that does nothing until it is told to end.
pub(super) const SLEEP: &str = "exec sleep 100";
/// The same by a shell, which reacts to signals.
const LOOP: &str = "while :; do sleep 50 & wait $!; done";

const RESTARTS: &[&str] = &["no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"];
const STATUSES: &[&str] = &["0", "0", "1", "1", "2", "3", "5", "42", "75", "143", "200", "203", "255"];
const SIGNALS: &[&str] = &["TERM", "KILL", "INT", "HUP", "USR1", "PIPE", "ABRT", "QUIT"];
/// When the first command is entered that does something; the others are whole quarters of a second later.
pub(super) const BEGIN: u64 = 235;
/// How long programs run.
const RUNS: &[&str] = &["0.15", "0.4", "0.65", "0.9"];
/// What limits something, or is waited for after what takes no time.
const WAITS: &[&str] = &["600ms", "850ms", "1.1s"];

/// The cases of a seed, for ever.
pub fn cases(seed: u64) -> impl Iterator<Item = Case> {
    (0..).map(move |number| case(seed, number))
}

/// The case of a seed and number.
pub fn case(seed: u64, number: u64) -> Case {
    let families: &[(&str, Family)] = &[
        ("sequence", Maker::sequence),
        ("operator", Maker::operator),
        ("limit", Maker::limit),
        ("phases", Maker::phases),
        ("dropins", Maker::dropins),
        ("timeouts", Maker::timeouts),
        ("kill", Maker::kill),
        ("lines", Maker::lines),
        ("oneshot", Maker::oneshot),
        ("notify", Maker::notify),
        ("conditions", Maker::conditions),
        ("waiting", Maker::waiting),
        ("words", Maker::words),
        ("reload", Maker::reload),
        ("install", Maker::install),
        ("forking", Maker::forking),
        ("pair", Maker::pair),
    ];
    let which = usize::try_from(number % families.len() as u64).unwrap_or(0);
    let (family, make) = families[which];
    let mut maker = Maker::new(format!("g{seed}n{number:04}"), Random::new(seed, number));
    make(&mut maker);
    maker.case(family, format!("{seed}/{number}"))
}

/// The case of this name.
pub fn named(id: &str) -> Option<Case> {
    let (seed, number) = id.strip_prefix('g')?.split_once('n')?;
    Some(case(seed.parse().ok()?, number.parse().ok()?)).filter(|case| case.id == id)
}

/// Makes cases of one kind.
type Family = fn(&mut Maker);

/// A case in the making.
struct Maker {
    id: String,
    own: String,
    random: Random,
    kind: &'static str,
    unit: Vec<String>,
    service: Vec<String>,
    install: Vec<String>,
    /// Text after all sections.
    more: String,
    /// Lines of the program before it does what its n-th run does.
    preamble: Vec<String>,
    runs: Vec<String>,
    rest: String,
    units: BTreeMap<String, String>,
    dropins: BTreeMap<String, String>,
    programs: BTreeMap<String, String>,
    /// In milliseconds after the first start.
    actions: Vec<(i64, Act)>,
    /// Whether units log side by side.
    side_by_side: bool,
}

impl Maker {
    fn new(id: String, random: Random) -> Self {
        let own = format!("{id}.service");
        Self {
            id,
            own,
            random,
            kind: "simple",
            unit: Vec::new(),
            service: Vec::new(),
            install: Vec::new(),
            more: String::new(),
            preamble: Vec::new(),
            runs: Vec::new(),
            rest: SLEEP.to_owned(),
            units: BTreeMap::new(),
            dropins: BTreeMap::new(),
            programs: BTreeMap::new(),
            actions: Vec::new(),
            side_by_side: false,
        }
    }

    fn pick(&mut self, of: &[&'static str]) -> &'static str {
        self.random.choose(of)
    }

    fn some(&mut self, chance: usize) -> bool {
        self.random.percent(chance)
    }

    /// A line of `[Service]`.
    fn set(&mut self, key: &str, value: &str) {
        self.service.push(format!("{key}={value}"));
    }

    /// A line of `[Service]` with one of several values.
    fn set_one(&mut self, key: &str, of: &[&'static str]) {
        let value = self.pick(of);
        self.set(key, value);
    }

    /// A line of `[Unit]`.
    fn set_unit(&mut self, key: &str, value: &str) {
        self.unit.push(format!("{key}={value}"));
    }

    /// `systemctl VERB UNIT` at a moment.
    fn at(&mut self, ms: i64, verb: &str) {
        let line = if verb == "daemon-reload" {
            "systemctl daemon-reload".to_owned()
        } else {
            format!("systemctl {verb} {}", self.own)
        };
        self.enter(ms, line);
    }

    fn at_one(&mut self, ms: i64, of: &[&'static str]) {
        let verb = self.pick(of);
        self.at(ms, verb);
    }

    fn enter(&mut self, ms: i64, cmd: String) {
        self.actions.push((ms, Act::Enter { cmd }));
    }

    /// How a run ends, after a while.
    fn end(&mut self) -> String {
        let after = self.pick(RUNS);
        match self.some(25) {
            true => format!("sleep {after}; kill -{} $$", self.pick(SIGNALS)),
            false => format!("sleep {after}; exit {}", self.pick(STATUSES)),
        }
    }

    fn case(mut self, family: &str, seed: String) -> Case {
        if self.kind == "simple" && self.some(30) {
            self.kind = self.pick(&["simple", "exec", "idle"]);
        }
        let mut unit = "[Unit]\n".to_owned();
        let description = self.pick(&["Worker", "Bridge \"A\"", "50%% done", "Queue consumer", ""]);
        if !description.is_empty() {
            unit += &format!("Description={description}\n");
        }
        unit.extend(self.unit.iter().map(|line| format!("{line}\n")));
        unit += "\n[Service]\nEnvironment=DIR=@DIR@\n";
        if self.kind != "simple" || self.some(50) {
            unit += &format!("Type={}\n", self.kind);
        }
        if !self.service.iter().any(|line| line.starts_with("ExecStart=")) {
            unit += "ExecStart=/bin/sh @DIR@/prog.sh\n";
        }
        unit.extend(self.service.iter().map(|line| format!("{line}\n")));
        if !self.install.is_empty() {
            unit += "\n[Install]\n";
            unit.extend(self.install.iter().map(|line| format!("{line}\n")));
        }
        unit += &self.more;

        let mut prog = COUNT.to_owned();
        prog.extend(self.preamble.iter().map(|line| format!("{line}\n")));
        prog += "case $n in\n";
        prog.extend(self.runs.iter().enumerate().map(|(index, run)| format!("{}) {run};;\n", index + 1)));
        prog += &format!("*) {};;\nesac\n", self.rest);
        let actions = self.steps();
        Case {
            id: self.id,
            seed: Some(seed),
            family: family.to_owned(),
            unit,
            units: self.units,
            dropins: self.dropins,
            prog,
            programs: self.programs,
            also: Vec::new(),
            order: self.side_by_side.then(|| "per unit".to_owned()),
            actions,
        }
    }

    /// All actions in the order of their moments, the first at zero: the start, what was added, a look in between, and
    /// one when all is over.
    fn steps(&mut self) -> Vec<Action> {
        let names: Vec<&str> = std::iter::once(&*self.own).chain(self.units.keys().map(String::as_str)).collect();
        let show = format!("systemctl show {} -p {PROPERTIES}", names.join(" "));
        let mut steps = std::mem::take(&mut self.actions);
        steps.push((0, Act::Enter { cmd: format!("systemctl start {}", self.own) }));
        steps.sort_by_key(|(at, _)| *at);
        let last = steps.last().map_or(0, |(at, _)| *at);
        if last > 1500 && self.some(30) {
            steps.push((last - 500, Act::Enter { cmd: show.clone() }));
        }
        if self.some(20) {
            steps.push((
                last + 2250,
                Act::Enter { cmd: format!("journalctl -q --no-pager -o cat -u {} _PID=1", self.own) },
            ));
        }
        steps.push((last + 2500, Act::Enter { cmd: show }));
        steps.sort_by_key(|(at, _)| *at);
        let first = steps.first().map_or(0, |(at, _)| *at);
        let moment = |at: i64| Span::from_millis(u64::try_from(at - first).unwrap_or(0) + BEGIN);
        let steps = steps.into_iter().map(|(at, act)| Action { t: moment(at), act });
        std::iter::once(Action::enter(Span::ZERO, "true")).chain(steps).collect()
    }
}
